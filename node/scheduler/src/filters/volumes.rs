//! Refuses nodes from which one of the pod's volumes cannot be reached.

use crate::failure::Refusal;
use crate::snapshot::{NodeView, PodView, Snapshot};
use pods::affinity::matches_selector;

/// See [`super::Filter`].
pub fn refuses(_: &Snapshot, pod: &PodView, node: &NodeView) -> Option<Refusal> {
    let reached = pod.volumes.iter().all(|selector| matches_selector(selector, &node.tree));
    (!reached).then(|| Refusal::hopeless("node(s) didn't match PersistentVolume's node affinity"))
}
