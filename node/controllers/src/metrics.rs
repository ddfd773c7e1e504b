//! What the controllers count, beside their queues. Names and labels are upstream's.

use ::metrics::{Metric, Table, Values};

/// How late jobs of CronJobs were made.
pub static CRON_SKEW: Metric = Metric::histogram(
    "cronjob_controller_job_creation_skew_duration_seconds",
    &[],
    &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0],
    "Time from when a job was due until it was made.",
);
/// Jobs that ended.
pub static JOBS_FINISHED: Metric = Metric::counter(
    "job_controller_jobs_finished_total",
    &["completion_mode", "result", "reason"],
    "Jobs that ended, by how and why.",
);

/// All of them, the queues' apart.
pub static TABLE: Table = &[&CRON_SKEW, &JOBS_FINISHED];

/// No values yet.
#[must_use]
pub fn values() -> Values {
    Values::new(&[client::queue::METRICS, TABLE])
}
