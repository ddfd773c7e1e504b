//! Refuses nodes where a port of the node that the pod wants is held.

use crate::failure::Refusal;
use crate::snapshot::{NodeView, PodView, Snapshot};

/// See [`super::Filter`].
pub fn refuses(_: &Snapshot, pod: &PodView, node: &NodeView) -> Option<Refusal> {
    let reason = "node(s) didn't have free ports for the requested pod ports";
    node.ports.conflict(&pod.ports).map(|_| Refusal::resolvable(reason))
}
