//! Prefers nodes whose CPU and memory are taken to the same degree.

use super::{points_of, share};
use crate::snapshot::{NodeView, PodView, Snapshot};

/// See [`super::Score`].
pub fn points(_: &Snapshot, pod: &PodView, nodes: &[&NodeView]) -> Vec<i64> {
    let balance = |node: &&NodeView| match (share(pod, node, "cpu"), share(pod, node, "memory")) {
        (Some(cpu), Some(memory)) => points_of(1.0 - (cpu - memory).abs() / 2.0),
        _ => 0,
    };
    nodes.iter().map(balance).collect()
}
