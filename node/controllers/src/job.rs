//! The Job controller: runs pods until enough of them succeeded or too many failed, and counts each end exactly once
//! by a finalizer on the pods. Behaviour as upstream's `pkg/controller/job`.
//!
//! It must not remove finished jobs; `ttl.rs` does.

mod indexes;
mod outcome;
mod pods;
mod policy;

use crate::context::{Context, Life, feed, feed_orphans, feed_owners, seconds, selects};
use crate::metrics::JOBS_FINISHED;
use crate::owner::{claim, controlled_by, lives, settle};
use crate::pod::{create_slowly, delete_all, is_active, is_ready};
use crate::status::write;
use api::Status;
use client::{After, Meta, ObjectKey, Patch, Queue, Store};
use futures_util::future::join_all;
use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use outcome::{Tally, condition, is_finished};
use pods::{FINALIZER, is_ended};
use serde_json::json;
use std::sync::Arc;

/// Ends of pods that may wait to be counted at a time; the status would grow without bound otherwise. Upstream's 500.
pub const UNCOUNTED_MAX: usize = 500;

struct Shell<'a> {
    context: &'a Context,
    jobs: &'a Arc<Store<Job>>,
    pods: &'a Arc<Store<Pod>>,
}

/// Runs the controller.
pub fn start(context: Context) -> Life {
    Box::pin(async move {
        let queue = Arc::new(Queue::default());
        let jobs = context.informers.of::<Job>();
        let pods = context.informers.of::<Pod>();
        feed(&jobs, &queue);
        feed_owners(&pods, &queue, "Job");
        feed_orphans(&pods, &jobs, &queue, |job: &Job, pod: &Pod| wants(job, pod));
        jobs.synced().await;
        pods.synced().await;
        let shell = Shell { context: &context, jobs: &jobs, pods: &pods };
        let look = |key: ObjectKey| {
            let (shell, job) = (&shell, jobs.get(&key));
            async move {
                match job {
                    Some(job) => shell.sync(&job).await,
                    None => shell.release_orphans(&key).await,
                }
            }
        };
        context.work("job", &queue, look).await;
    })
}

fn wants(job: &Job, pod: &Pod) -> bool {
    selects(job.spec.as_ref().and_then(|s| s.selector.as_ref()), pod.metadata.labels.as_ref())
}

/// Whether the job's selector takes the pods it would make. The server sees to that; without it every pod would be
/// let go and replaced without end.
fn takes_its_own(job: &Job) -> bool {
    let spec = job.spec.as_ref();
    let labels = spec.and_then(|s| s.template.metadata.as_ref()?.labels.as_ref());
    selects(spec.and_then(|s| s.selector.as_ref()), labels)
}

impl Shell<'_> {
    /// The job is gone: nobody counts its pods any more.
    async fn release_orphans(&self, key: &ObjectKey) -> Result<After, Status> {
        let left = self.pods.in_namespace(&key.namespace).into_iter().filter(|pod| {
            pod.has_finalizer(FINALIZER) && pod.controller().is_some_and(|o| o.kind == "Job" && o.name == key.name)
        });
        self.release(&left.collect::<Vec<_>>()).await?;
        Ok(After::Done)
    }

    async fn sync(&self, job: &Job) -> Result<After, Status> {
        let external = job.spec.as_ref().and_then(|s| s.managed_by.as_deref());
        if external.is_some_and(|by| by != "kubernetes.io/job-controller") {
            return Ok(After::Done);
        }
        if !takes_its_own(job) {
            self.context.events.warning(job, "SelectorMismatch", "the selector does not take pods of the template");
            return Ok(After::Done);
        }
        let all = self.claim(job).await?;
        if is_finished(job) || job.is_deleting() {
            let held: Vec<Arc<Pod>> = all.into_iter().filter(|p| p.has_finalizer(FINALIZER)).collect();
            self.release(&held).await?;
            return Ok(After::Done);
        }
        let now = self.context.now();
        let mut tally = Tally::take(job, &all, now);
        let mut trouble = None;
        if tally.end.is_some() || tally.is_suspended() {
            let active: Vec<Arc<Pod>> = all.iter().filter(|p| is_active(p)).cloned().collect();
            trouble = self.remove(&active).await.err();
        } else {
            match self.adjust(job, &tally, &all).await {
                Ok(()) => (),
                Err(status) => trouble = Some(status),
            }
        }
        let seen = self.pods.owned_by(job.uid());
        let wait = tally.wait(&seen, now);
        tally.note_active(&seen, now);
        self.count(job, tally, &seen).await?;
        match trouble {
            Some(status) => Err(status),
            None => Ok(wait.map_or(After::Done, After::In)),
        }
    }

    async fn claim(&self, job: &Job) -> Result<Vec<Arc<Pod>>, Status> {
        let jobs = self.context.client.of::<Job>();
        let claimed = claim(job.uid(), job.is_deleting(), self.pods.in_namespace(job.namespace()), |p| wants(job, p));
        settle(&self.context.client.of(), &controlled_by(job), claimed, lives(&jobs, job)).await
    }

    /// Brings the number of running pods to what is wanted.
    async fn adjust(&self, job: &Job, tally: &Tally, all: &[Arc<Pod>]) -> Result<(), Status> {
        let api = self.context.client.of::<Pod>();
        match tally.plan(all, self.context.now()) {
            outcome::Step::Keep => Ok(()),
            outcome::Step::Remove(surplus) => {
                self.release(&surplus).await?;
                delete_all(&api, self.pods, &surplus).await?;
                for pod in &surplus {
                    self.context.events.normal(job, "SuccessfulDelete", format!("Deleted pod: {}", pod.name()));
                }
                Ok(())
            }
            outcome::Step::Create(slots) => {
                let make = |at: usize| pods::make(job, slots[at]);
                let (made, failure) = create_slowly(&api, self.pods, job.namespace(), slots.len(), make).await;
                for pod in made {
                    self.context.events.normal(job, "SuccessfulCreate", format!("Created pod: {}", pod.name()));
                }
                match failure {
                    Some(status) if !crate::serviceaccount::refuses(&status) => {
                        self.context.events.warning(job, "FailedCreate", format!("Error creating: {status}"));
                        Err(status)
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    /// Deletes pods; their finalizers stay until their ends are counted.
    async fn remove(&self, pods: &[Arc<Pod>]) -> Result<(), Status> {
        delete_all(&self.context.client.of(), self.pods, pods).await
    }

    /// Counts the ends of pods: first their uids go into the status, then the finalizers go, then the counters move.
    /// A crash at any point neither loses nor doubles an end.
    async fn count(&self, job: &Job, tally: Tally, all: &[Arc<Pod>]) -> Result<(), Status> {
        let jobs = self.context.client.of::<Job>();
        let first = tally.announce(all);
        let old = job.status.clone().unwrap_or_default();
        let mut newest = match write(&jobs, job, &old, &first, true).await? {
            Some(written) => written,
            None => job.clone(),
        };
        self.jobs.reached(newest.revision()).await;
        let ended: Vec<Arc<Pod>> =
            all.iter().filter(|p| p.has_finalizer(FINALIZER) && is_ended(p, tally.only_failed())).cloned().collect();
        self.release(&ended).await?;
        let present = self.pods.owned_by(job.uid());
        let second = tally.settle(&first, &present, self.context.now());
        if let Some(written) = write(&jobs, &newest, &first, &second, true).await? {
            newest = written;
            self.jobs.reached(newest.revision()).await;
        }
        self.tell(job, &old, &second);
        Ok(())
    }

    fn tell(&self, job: &Job, old: &JobStatus, new: &JobStatus) {
        let appeared = |kind: &str| {
            condition(old, kind).is_none_or(|c| c.status != "True").then(|| condition(new, kind)).flatten()
        };
        let events = &self.context.events;
        for (kind, result) in [("Complete", "succeeded"), ("Failed", "failed")] {
            if let Some(end) = appeared(kind).filter(|c| c.status == "True") {
                let mode = job.spec.as_ref().and_then(|s| s.completion_mode.as_deref()).unwrap_or("NonIndexed");
                // Upstream names reasons of failures only.
                let reason = if kind == "Failed" { end.reason.as_deref().unwrap_or_default() } else { "" };
                self.context.settings.metrics.count(&JOBS_FINISHED, &[mode, result, reason]);
            }
        }
        if appeared("Complete").is_some_and(|c| c.status == "True") {
            events.normal(job, "Completed", "Job completed");
        }
        if let Some(failed) = appeared("Failed").filter(|c| c.status == "True") {
            let text = |t: &Option<String>| t.clone().unwrap_or_default();
            events.warning(job, &text(&failed.reason), text(&failed.message));
        }
        let truth = |s: &JobStatus| condition(s, "Suspended").map(|c| c.status == "True");
        match (truth(old), truth(new)) {
            (was, Some(true)) if was != Some(true) => events.normal(job, "Suspended", "Job suspended"),
            (Some(true), Some(false)) => events.normal(job, "Resumed", "Job resumed"),
            _ => (),
        }
    }

    /// Takes our finalizer off pods and waits until the cache knows.
    async fn release(&self, pods: &[Arc<Pod>]) -> Result<(), Status> {
        let api = self.context.client.of::<Pod>();
        let held = pods.iter().filter(|p| p.has_finalizer(FINALIZER));
        let results = join_all(held.map(|pod| {
            let api = &api;
            async move {
                let change =
                    json!({"metadata": {"uid": pod.uid(), "$deleteFromPrimitiveList/finalizers": [FINALIZER]}});
                match api.patch(pod.namespace(), pod.name(), "", &Patch::Strategic(change)).await {
                    Ok(changed) => {
                        self.pods.reached(changed.revision()).await;
                        Ok(())
                    }
                    // 404: gone; 409 and 422: another pod has the name now.
                    Err(status) if matches!(status.code, 404 | 409 | 422) => Ok(()),
                    Err(status) => Err(status),
                }
            }
        }));
        results.await.into_iter().collect()
    }
}

#[cfg(test)]
mod tests;
