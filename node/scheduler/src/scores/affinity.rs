//! Prefers nodes that the pod's preferred node affinity names.

use super::normalize;
use crate::snapshot::{NodeView, PodView, Snapshot};
use pods::affinity::preference;

/// See [`super::Score`].
pub fn points(_: &Snapshot, pod: &PodView, nodes: &[&NodeView]) -> Vec<i64> {
    let weights: Vec<i64> = nodes.iter().map(|node| preference(&pod.tree, &node.tree)).collect();
    normalize(&weights, false)
}
