//! What a CronJob wants done now. Pure: the objects, the zones and the time come in.

use super::times::{MISSED_MAX, Since, newest, next};
use crate::context::{span, until};
use api::cron::Schedule;
use client::Meta;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{CronJob, CronJobStatus, Job};
use std::sync::Arc;
use std::time::Duration;

/// How much later than its time a schedule is looked at, so that a clock that is put right a little does not make it
/// come too soon; upstream's.
const LOOK_AFTER: SignedDuration = SignedDuration::from_millis(100);

/// Finds time zones by name.
pub type Zones = fn(&str) -> Result<TimeZone, String>;

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// Whether something is wrong.
    pub warning: bool,
    /// Its reason.
    pub reason: &'static str,
    /// Its text.
    pub message: String,
}

fn normal(reason: &'static str, message: String) -> News {
    News { warning: false, reason, message }
}

fn warning(reason: &'static str, message: String) -> News {
    News { warning: true, reason, message }
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing until the object changes.
    Rest,
    /// Nothing until then.
    Wait(Duration),
    /// Make the job of a time, after deleting those that run if they are to be replaced.
    Start {
        /// The scheduled time.
        at: Timestamp,
        /// Whether running ones are deleted first.
        replace: bool,
    },
}

/// How a job ended: `Complete` or `Failed`.
fn end(job: &Job) -> Option<&str> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let ended = conditions.iter().find(|c| matches!(c.type_.as_str(), "Complete" | "Failed") && c.status == "True");
    ended.map(|condition| condition.type_.as_str())
}

/// Ended jobs beyond the history's limits, the oldest of each end.
pub fn surplus(cron: &CronJob, jobs: &[Arc<Job>]) -> Vec<Arc<Job>> {
    let spec = &cron.spec;
    let limits = [("Complete", spec.successful_jobs_history_limit), ("Failed", spec.failed_jobs_history_limit)];
    let mut surplus = Vec::new();
    for (how, limit) in limits {
        let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else { continue };
        let mut ended: Vec<Arc<Job>> = jobs.iter().filter(|job| end(job) == Some(how)).cloned().collect();
        ended.sort_by_key(|job| {
            let started = job.status.as_ref().and_then(|s| s.start_time.as_ref()).map(|t| t.0);
            (started.is_none(), started, job.name().to_owned())
        });
        ended.truncate(ended.len().saturating_sub(limit));
        surplus.extend(ended.into_iter().filter(|job| !job.is_deleting()));
    }
    surplus
}

/// Whether a job is in the list of active ones.
pub fn is_active(status: &CronJobStatus, uid: &str) -> bool {
    status.active.iter().flatten().any(|active| active.uid.as_deref() == Some(uid))
}

/// Takes a job off the list of active ones.
pub fn forget(status: &mut CronJobStatus, uid: &str) {
    if let Some(active) = &mut status.active {
        active.retain(|active| active.uid.as_deref() != Some(uid));
        if active.is_empty() {
            status.active = None;
        }
    }
}

/// Notes in the status what became of the jobs. `gone` are active ones that are not there any more, by uid.
pub fn note(status: &mut CronJobStatus, jobs: &[Arc<Job>], gone: &[String]) -> Vec<News> {
    let mut news = Vec::new();
    for job in jobs {
        let Some(how) = end(job) else {
            if !is_active(status, job.uid()) {
                let text = format!("Saw a job that the controller did not create or forgot: {}", job.name());
                news.push(warning("UnexpectedJob", text));
            }
            continue;
        };
        if is_active(status, job.uid()) {
            forget(status, job.uid());
            news.push(normal("SawCompletedJob", format!("Saw completed job: {}, condition: {how}", job.name())));
        }
        let completed = job.status.as_ref().and_then(|s| s.completion_time.clone()).filter(|_| how == "Complete");
        if let Some(at) = completed
            && status.last_successful_time.as_ref().is_none_or(|last| last.0 < at.0)
        {
            status.last_successful_time = Some(at);
        }
    }
    for uid in gone {
        let name = status.active.iter().flatten().find(|a| a.uid.as_ref() == Some(uid)).and_then(|a| a.name.clone());
        forget(status, uid);
        news.push(normal("MissingJob", format!("Active job went missing: {}", name.unwrap_or_default())));
    }
    news
}

/// What to do now.
pub fn decide(cron: &CronJob, status: &CronJobStatus, zones: Zones, now: Timestamp, news: &mut Vec<News>) -> Step {
    if cron.is_deleting() {
        return Step::Rest;
    }
    let spec = &cron.spec;
    let zone = match zones(spec.time_zone.as_deref().unwrap_or_default()) {
        Ok(zone) => zone,
        Err(why) => {
            let name = spec.time_zone.as_deref().unwrap_or_default();
            news.push(warning("UnknownTimeZone", format!("invalid timeZone: {name:?}: {why}")));
            return Step::Rest;
        }
    };
    if spec.suspend == Some(true) {
        return Step::Rest;
    }
    let schedule = match Schedule::parse(&spec.schedule) {
        Ok(schedule) => schedule,
        Err(why) => {
            let text = format!("unparseable schedule: {:?} : {why}", spec.schedule);
            news.push(warning("UnparseableSchedule", text));
            return Step::Rest;
        }
    };
    let earliest = earliest(cron, status, now, true);
    let (at, count) = match newest(&schedule, &zone, earliest, now) {
        Err(why) => {
            news.push(warning("InvalidSchedule", format!("invalid schedule: {} : {why}", spec.schedule)));
            return Step::Rest;
        }
        Ok(Since::Nothing) => return later(cron, status, zones, now),
        Ok(Since::Newest(at, count)) => (at, count),
    };
    if count > MISSED_MAX {
        let text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
        news.push(warning("TooManyMissedTimes", text.to_owned()));
    }
    start(cron, status, at, now, news).unwrap_or_else(|| later(cron, status, zones, now))
}

/// The start of the job of a time, unless something speaks against it.
fn start(cron: &CronJob, status: &CronJobStatus, at: Timestamp, now: Timestamp, news: &mut Vec<News>) -> Option<Step> {
    let spec = &cron.spec;
    if spec.starting_deadline_seconds.is_some_and(|seconds| at + span(seconds) < now) {
        let when = at.strftime("%a, %d %b %Y %H:%M:%S UTC");
        news.push(warning("MissSchedule", format!("Missed scheduled time to start a job: {when}")));
        return None;
    }
    let name = job_name(cron, at);
    let active = status.active.as_deref().unwrap_or_default();
    let done = status.last_schedule_time.as_ref().is_some_and(|last| last.0 == at);
    if done || active.iter().any(|job| job.name.as_ref() == Some(&name)) {
        return None;
    }
    let policy = spec.concurrency_policy.as_deref().unwrap_or_default();
    if policy == "Forbid" && !active.is_empty() {
        let text = "Not starting job because prior execution is running and concurrency policy is Forbid";
        news.push(normal("JobAlreadyActive", text.to_owned()));
        return None;
    }
    Some(Step::Start { at, replace: policy == "Replace" })
}

fn later(cron: &CronJob, status: &CronJobStatus, zones: Zones, now: Timestamp) -> Step {
    wait(cron, status, zones, now).map_or(Step::Rest, Step::Wait)
}

/// How long until the next time; `None` when there is none.
pub fn wait(cron: &CronJob, status: &CronJobStatus, zones: Zones, now: Timestamp) -> Option<Duration> {
    let spec = &cron.spec;
    let schedule = Schedule::parse(&spec.schedule).ok()?;
    let zone = zones(spec.time_zone.as_deref().unwrap_or_default()).ok()?;
    let earliest = earliest(cron, status, now, false);
    let from = match newest(&schedule, &zone, earliest, now) {
        Ok(Since::Nothing) => earliest,
        Ok(Since::Newest(at, _)) => at,
        Err(_) => now,
    };
    Some(until(next(&schedule, &zone, from)? + LOOK_AFTER, now))
}

/// The time after which something may be due: the last one, or the object's beginning; with a deadline no sooner than
/// it lets us start.
fn earliest(cron: &CronJob, status: &CronJobStatus, now: Timestamp, with_deadline: bool) -> Timestamp {
    let created = cron.metadata.creation_timestamp.as_ref().map_or(now, |t| t.0);
    let from = status.last_schedule_time.as_ref().map_or(created, |t| t.0);
    let deadline = cron.spec.starting_deadline_seconds.filter(|_| with_deadline);
    deadline.map_or(from, |seconds| from.max(now - span(seconds)))
}

/// The name of the job of a scheduled time: minutes since 1970, as a cron has no finer times.
pub fn job_name(cron: &CronJob, at: Timestamp) -> String {
    format!("{}-{}", cron.name(), at.as_second().div_euclid(60))
}

/// A scheduled time by the clock of the CronJob's zone.
pub fn local(cron: &CronJob, zones: Zones, at: Timestamp) -> String {
    let name = cron.spec.time_zone.as_deref().unwrap_or_default();
    match zones(name) {
        Ok(zone) if zone != TimeZone::UTC => at.to_zoned(zone).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        _ => at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    }
}
