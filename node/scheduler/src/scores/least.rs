//! Prefers nodes of which less is taken.

use super::{points_of, share};
use crate::snapshot::{NodeView, PodView, Snapshot};

/// See [`super::Score`].
pub fn points(_: &Snapshot, pod: &PodView, nodes: &[&NodeView]) -> Vec<i64> {
    let free = |node: &&NodeView| {
        let shares: Vec<f64> = ["cpu", "memory"].iter().filter_map(|r| share(pod, node, r)).collect();
        let points: i64 = shares.iter().map(|s| points_of(1.0 - s)).sum();
        points / i64::try_from(shares.len().max(1)).unwrap_or(1)
    };
    nodes.iter().map(free).collect()
}
