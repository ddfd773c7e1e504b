//! Refuses nodes with a taint that the pod does not tolerate.

use crate::failure::Refusal;
use crate::snapshot::{NodeView, PodView, Snapshot};
use pods::taints::keeps_away;

/// See [`super::Filter`].
pub fn refuses(_: &Snapshot, pod: &PodView, node: &NodeView) -> Option<Refusal> {
    keeps_away(&pod.tree, &node.tree).map(|_| Refusal::hopeless("node(s) had untolerated taint(s)"))
}
