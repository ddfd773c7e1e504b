//! Refuses nodes that take no new pods (`kubectl cordon`).

use crate::failure::Refusal;
use crate::snapshot::{NodeView, PodView, Snapshot};
use api::Tree;
use pods::taints::tolerates;

/// See [`super::Filter`].
pub fn refuses(_: &Snapshot, pod: &PodView, node: &NodeView) -> Option<Refusal> {
    if node.tree.bool_at(&["spec", "unschedulable"]) != Some(true) {
        return None;
    }
    let mut taint = Tree::map();
    taint.set("key", "node.kubernetes.io/unschedulable");
    taint.set("effect", "NoSchedule");
    let tolerated = pod.tree.list_at(&["spec", "tolerations"]).iter().any(|t| tolerates(t, &taint));
    (!tolerated).then(|| Refusal::hopeless("node(s) were unschedulable"))
}
