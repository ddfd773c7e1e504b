//! The table of scores; each gives every fitting node 0 to [`crate::pick::SCORE_MAX`] points.
//!
//! It must not refuse.

mod affinity;
mod balanced;
mod least;
mod spread;
mod taints;

use crate::snapshot::{NodeView, PodView, Snapshot};

/// One score.
pub struct Score {
    /// Upstream's name of the plugin.
    pub name: &'static str,
    /// How much it counts, upstream's default.
    pub weight: i64,
    /// The points of the nodes, in their order.
    pub points: fn(&Snapshot, &PodView, &[&NodeView]) -> Vec<i64>,
}

/// All scores.
pub const SCORES: &[Score] = &[
    Score { name: "NodeResourcesFit", weight: 1, points: least::points },
    Score { name: "NodeResourcesBalancedAllocation", weight: 1, points: balanced::points },
    Score { name: "NodeAffinity", weight: 2, points: affinity::points },
    Score { name: "TaintToleration", weight: 3, points: taints::points },
    Score { name: "PodTopologySpread", weight: 2, points: spread::points },
];

/// Stretches counts to 0..=100; with `fewer` the smallest count is the best.
fn normalize(counts: &[i64], fewer: bool) -> Vec<i64> {
    let most = counts.iter().copied().max().unwrap_or(0);
    let stretch = |n: &i64| if most == 0 { 0 } else { n * crate::pick::SCORE_MAX / most };
    let points = counts.iter().map(stretch);
    if fewer { points.map(|p| crate::pick::SCORE_MAX - p).collect() } else { points.collect() }
}

/// The share of a resource that is taken with the pod, 0 to 1; `None` when the node has none of it.
fn share(pod: &PodView, node: &NodeView, resource: &str) -> Option<f64> {
    let has = node.allocatable.get(resource);
    #[allow(clippy::cast_precision_loss, reason = "a score needs no more than two digits")]
    let share = (node.weight.get(resource) + pod.weight.get(resource)) as f64 / has as f64;
    (has > 0).then_some(share.min(1.0))
}

#[allow(clippy::cast_possible_truncation, reason = "the fraction is between 0 and 1")]
fn points_of(fraction: f64) -> i64 {
    (fraction * 100.0) as i64
}
