//! Prefers nodes with fewer pods of the same controller, so that replicas do not pile up.

use super::normalize;
use crate::snapshot::{NodeView, PodView, Snapshot};
use api::{Tree, meta};

fn owner(pod: &Tree) -> Option<&str> {
    meta::controller_of(pod)?.str_at(&["uid"])
}

/// See [`super::Score`].
pub fn points(_: &Snapshot, pod: &PodView, nodes: &[&NodeView]) -> Vec<i64> {
    let Some(owner_of_pod) = owner(&pod.tree) else { return vec![0; nodes.len()] };
    let same = |node: &&NodeView| {
        let count = node.pods.values().filter(|p| owner(&p.tree) == Some(owner_of_pod)).count();
        i64::try_from(count).unwrap_or(i64::MAX)
    };
    normalize(&nodes.iter().map(same).collect::<Vec<_>>(), true)
}
