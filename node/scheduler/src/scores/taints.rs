//! Prefers nodes with fewer soft taints that the pod does not tolerate.

use super::normalize;
use crate::snapshot::{NodeView, PodView, Snapshot};
use pods::taints::{Effect, tolerates};

/// See [`super::Score`].
pub fn points(_: &Snapshot, pod: &PodView, nodes: &[&NodeView]) -> Vec<i64> {
    let tolerations = pod.tree.list_at(&["spec", "tolerations"]);
    let soft = |node: &&NodeView| {
        let taints = node.tree.list_at(&["spec", "taints"]).iter();
        let count = taints
            .filter(|t| Effect::of(t) == Some(Effect::PreferNoSchedule))
            .filter(|t| !tolerations.iter().any(|toleration| tolerates(toleration, t)))
            .count();
        i64::try_from(count).unwrap_or(i64::MAX)
    };
    normalize(&nodes.iter().map(soft).collect::<Vec<_>>(), true)
}
