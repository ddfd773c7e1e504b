//! What the scheduler counts. Names, labels and bounds are those of `k8s.io/kubernetes/pkg/scheduler/metrics`.

use ::metrics::{Metric, Table, Values};

/// Tries by how they ended.
pub static ATTEMPTS: Metric = Metric::counter(
    "scheduler_schedule_attempts_total",
    &["result", "profile"],
    "Tries to find a node for a pod, by how they ended.",
);
/// How long they took.
pub static SECONDS: Metric = Metric::histogram(
    "scheduler_scheduling_attempt_duration_seconds",
    &["result", "profile"],
    &[0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384],
    "Time from the choice of a node until the pod was bound to it.",
);
/// Pods that wait.
pub static PENDING: Metric =
    Metric::gauge("scheduler_pending_pods", &["queue"], "Pods without a node, by what they wait for.");
/// Tries that a pod needed.
pub static TRIES: Metric = Metric::histogram(
    "scheduler_pod_scheduling_attempts",
    &[],
    &[1.0, 2.0, 4.0, 8.0, 16.0],
    "Tries that pods needed until they had a node.",
);

/// All of them.
pub static TABLE: Table = &[&ATTEMPTS, &SECONDS, &PENDING, &TRIES];

/// No values yet.
#[must_use]
pub fn values() -> Values {
    Values::new(&[TABLE])
}
