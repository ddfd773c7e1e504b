//! Refuses nodes that have too little left of something.

use crate::failure::Refusal;
use crate::snapshot::{NodeView, PodView, Snapshot};
use pods::Insufficient;
use pods::fit::shortages;

/// See [`super::Filter`].
pub fn refuses(_: &Snapshot, pod: &PodView, node: &NodeView) -> Option<Refusal> {
    let short = shortages(&pod.requests, &node.used, node.pods.len(), &node.allocatable, node.pods_max);
    if short.is_empty() {
        return None;
    }
    let hopeless = short.iter().any(Insufficient::is_hopeless);
    Some(Refusal { reasons: short.iter().map(Insufficient::reason).collect(), hopeless })
}
