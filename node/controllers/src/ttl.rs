//! Removes finished Jobs when their time is up (`ttlSecondsAfterFinished`). Behaviour as upstream's
//! `pkg/controller/ttlafterfinished`.
//!
//! It must not finish jobs.

use crate::context::{Context, Life, feed, span, until};
use client::{After, DeleteOptions, Meta, ObjectKey, Propagation, Queue};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use std::sync::Arc;
use std::time::Duration;

/// How long a job may stay; `None` for ever.
#[must_use]
pub fn left(job: &Job, now: Timestamp) -> Option<Duration> {
    let ttl = job.spec.as_ref()?.ttl_seconds_after_finished?;
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let end = conditions.iter().find(|c| matches!(c.type_.as_str(), "Complete" | "Failed") && c.status == "True")?;
    Some(until(end.last_transition_time.as_ref()?.0 + span(i64::from(ttl)), now))
}

/// Runs the controller.
pub fn start(context: Context) -> Life {
    Box::pin(async move {
        let queue = Arc::new(Queue::default());
        let jobs = context.informers.of::<Job>();
        feed(&jobs, &queue);
        jobs.synced().await;
        let look = |key: ObjectKey| {
            let (context, job) = (&context, jobs.get(&key).filter(|j| !j.is_deleting()));
            async move {
                let Some((job, wait)) = job.and_then(|j| Some((j.clone(), left(&j, context.now())?))) else {
                    return Ok(After::Done);
                };
                if !wait.is_zero() {
                    return Ok(After::In(wait));
                }
                let options =
                    DeleteOptions::only(job.uid()).at(job.resource_version()).propagate(Propagation::Foreground);
                context.client.of::<Job>().delete_if_there(job.namespace(), job.name(), &options).await?;
                Ok(After::Done)
            }
        };
        context.work("ttl-after-finished", &queue, look).await;
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_finished_jobs_with_a_time_are_removed() {
        let job = |ttl: Option<i32>, end: &str| -> Job {
            serde_json::from_value(
                json!({"spec": {"ttlSecondsAfterFinished": ttl, "template": {}}, "status": {"conditions":
                [{"type": end, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}),
            )
            .unwrap()
        };
        let now = "2026-01-01T00:00:10Z".parse().unwrap();
        assert_eq!(left(&job(Some(30), "Complete"), now), Some(Duration::from_secs(20)));
        assert_eq!(left(&job(Some(5), "Failed"), now), Some(Duration::ZERO));
        assert_eq!(left(&job(None, "Complete"), now), None);
        assert_eq!(left(&job(Some(5), "Suspended"), now), None);
    }
}
