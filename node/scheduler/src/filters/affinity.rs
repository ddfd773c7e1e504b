//! Refuses nodes that the pod's node selector or node affinity does not take.

use crate::failure::Refusal;
use crate::snapshot::{NodeView, PodView, Snapshot};
use pods::affinity::matches_node;

/// See [`super::Filter`].
pub fn refuses(_: &Snapshot, pod: &PodView, node: &NodeView) -> Option<Refusal> {
    let takes = matches_node(&pod.tree, &node.tree);
    (!takes).then(|| Refusal::hopeless("node(s) didn't match Pod's node affinity/selector"))
}
