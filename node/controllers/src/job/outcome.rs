//! Where a Job stands: its counts, whether it is to end and how, how many pods it wants next, and its status. Pure.
//!
//! It must not write anything.

use super::UNCOUNTED_MAX;
use super::indexes;
use super::pods::{FINALIZER, INDEX_FAILURES, Slot, ended_at, has_succeeded, index, is_ended};
use super::policy::{Verdict, enough, judge};
use super::{is_active, is_ready, seconds};
use crate::context::{span, until};
use crate::pod::{phase, rank_for_removal};
use client::Meta;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobSpec, JobStatus, UncountedTerminatedPods};
use k8s_openapi::api::core::v1::Pod;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Wait after the first failure; doubled with each one. Upstream's values.
const BACKOFF: client::backoff::Backoff =
    client::backoff::Backoff { first: Duration::from_secs(10), cap: Duration::from_secs(600) };
/// Pods made in one go, upstream's 500.
const CREATE_MAX: usize = 500;

/// What to do about running pods.
#[derive(Debug)]
pub enum Step {
    /// Nothing.
    Keep,
    /// These are missing.
    Create(Vec<Slot>),
    /// These are too many.
    Remove(Vec<Arc<Pod>>),
}

/// A condition that ends the job: `FailureTarget` or `SuccessCriteriaMet`, with reason and message.
#[derive(Clone, Debug)]
pub struct End {
    kind: &'static str,
    reason: String,
    message: String,
}

/// One condition of a status.
#[must_use]
pub fn condition<'a>(status: &'a JobStatus, kind: &str) -> Option<&'a JobCondition> {
    status.conditions.as_ref()?.iter().find(|c| c.type_ == kind)
}

fn holds(status: &JobStatus, kind: &str) -> bool {
    condition(status, kind).is_some_and(|c| c.status == "True")
}

/// Whether the job has ended for good.
#[must_use]
pub fn is_finished(job: &Job) -> bool {
    job.status.as_ref().is_some_and(|s| holds(s, "Complete") || holds(s, "Failed"))
}

/// Sets a condition; a false one that was never there is not added.
pub fn set_condition(status: &mut JobStatus, kind: &str, truth: bool, reason: &str, message: &str, now: Timestamp) {
    let text = if truth { "True" } else { "False" };
    let all = status.conditions.get_or_insert_default();
    let there = all.iter().position(|c| c.type_ == kind);
    if there.is_none() && !truth || there.is_some_and(|at| all[at].status == text) {
        status.conditions = status.conditions.take().filter(|c| !c.is_empty());
        return;
    }
    let fresh = JobCondition {
        type_: kind.to_owned(),
        status: text.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_probe_time: Some(seconds(now)),
        last_transition_time: Some(seconds(now)),
    };
    match there {
        Some(at) => all[at] = fresh,
        None => all.push(fresh),
    }
}

/// A job's state at one moment.
pub struct Tally {
    job: Job,
    spec: JobSpec,
    status: JobStatus,
    succeeded: i32,
    failed: i32,
    done: BTreeSet<i32>,
    broken: BTreeSet<i32>,
    index_failures: BTreeMap<i32, i32>,
    /// How the job is to end, once that is settled.
    pub end: Option<End>,
}

impl Tally {
    /// Takes stock.
    #[must_use]
    pub fn take(job: &Job, all: &[Arc<Pod>], now: Timestamp) -> Tally {
        let spec = job.spec.clone().unwrap_or_default();
        let mut status = job.status.clone().unwrap_or_default();
        if status.start_time.is_none() && spec.suspend != Some(true) {
            status.start_time = Some(seconds(now));
        }
        let mut tally = Tally {
            job: job.clone(),
            spec,
            status,
            succeeded: 0,
            failed: 0,
            done: BTreeSet::new(),
            broken: BTreeSet::new(),
            index_failures: BTreeMap::new(),
            end: None,
        };
        tally.count(all);
        tally.end = tally.judge_end(all, now);
        tally
    }

    /// Whether the user wants no pods at all for now.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.spec.suspend == Some(true)
    }

    /// Whether only pods that failed are replaced, not those that are still going.
    #[must_use]
    pub fn only_failed(&self) -> bool {
        self.spec.pod_replacement_policy.as_deref() == Some("Failed") || self.spec.pod_failure_policy.is_some()
    }

    fn is_indexed(&self) -> bool {
        self.spec.completion_mode.as_deref() == Some("Indexed")
    }

    fn uncounted(&self) -> (Vec<String>, Vec<String>) {
        let lists = self.status.uncounted_terminated_pods.clone().unwrap_or_default();
        (lists.succeeded.unwrap_or_default(), lists.failed.unwrap_or_default())
    }

    /// Pods whose end is not in the status yet.
    fn fresh<'a>(&self, all: &'a [Arc<Pod>]) -> Vec<&'a Arc<Pod>> {
        let (won, lost) = self.uncounted();
        all.iter()
            .filter(|p| p.has_finalizer(FINALIZER) && is_ended(p, self.only_failed()))
            .filter(|p| !won.iter().chain(&lost).any(|uid| uid == p.uid()))
            .collect()
    }

    fn count(&mut self, all: &[Arc<Pod>]) {
        let (won, lost) = self.uncounted();
        let len = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        let fresh = self.fresh(all);
        let counts = |p: &&&Arc<Pod>| !has_succeeded(p) && judge(&self.job, p) != Verdict::Ignore;
        let failed = self.status.failed.unwrap_or(0) + len(lost.len() + fresh.iter().filter(counts).count());
        self.succeeded =
            self.status.succeeded.unwrap_or(0) + len(won.len() + fresh.iter().filter(|p| has_succeeded(p)).count());
        self.failed = failed;
        if self.is_indexed() {
            self.count_indexes(all);
        }
    }

    fn count_indexes(&mut self, all: &[Arc<Pod>]) {
        let limit = self.spec.completions.unwrap_or(0);
        let known = |text: &Option<String>| indexes::parse(text.as_deref().unwrap_or_default(), limit);
        self.done = known(&self.status.completed_indexes);
        self.broken = known(&self.status.failed_indexes);
        for pod in all {
            let Some(index) = index(pod).filter(|i| *i < limit) else { continue };
            if has_succeeded(pod) {
                self.done.insert(index);
                continue;
            }
            let before: i32 = pod.annotation(INDEX_FAILURES).and_then(|n| n.parse().ok()).unwrap_or(0);
            let verdict = is_ended(pod, self.only_failed()).then(|| judge(&self.job, pod));
            let failures = before + i32::from(matches!(verdict, Some(Verdict::Count | Verdict::FailIndex)));
            let most = self.index_failures.entry(index).or_default();
            *most = failures.max(*most);
            let Some(allowed) = self.spec.backoff_limit_per_index else { continue };
            if verdict == Some(Verdict::FailIndex) || *most > allowed {
                self.broken.insert(index);
            }
        }
        self.broken.retain(|index| !self.done.contains(index));
        self.succeeded = i32::try_from(self.done.len()).unwrap_or(i32::MAX);
    }

    fn judge_end(&self, all: &[Arc<Pod>], now: Timestamp) -> Option<End> {
        for kind in ["SuccessCriteriaMet", "FailureTarget"] {
            if let Some(there) = condition(&self.status, kind).filter(|c| c.status == "True") {
                let text = |t: &Option<String>| t.clone().unwrap_or_default();
                return Some(End { kind, reason: text(&there.reason), message: text(&there.message) });
            }
        }
        let failure = |reason: &str, message: &str| {
            Some(End { kind: "FailureTarget", reason: reason.to_owned(), message: message.to_owned() })
        };
        for pod in all.iter().filter(|p| phase(p) == "Failed") {
            if let Verdict::FailJob(message) = judge(&self.job, pod) {
                return failure("PodFailurePolicy", &message);
            }
        }
        if self.failed > self.spec.backoff_limit.unwrap_or(6) || self.restarts_too_often(all) {
            return failure("BackoffLimitExceeded", "Job has reached the specified backoff limit");
        }
        if self.deadline().is_some_and(|at| at <= now) {
            return failure("DeadlineExceeded", "Job was active longer than specified deadline");
        }
        if self.is_indexed() && self.spec.backoff_limit_per_index.is_some() {
            let (broken, done) = (self.broken.len(), self.done.len());
            let as_len = |n: i32| usize::try_from(n).unwrap_or(0);
            if self.spec.max_failed_indexes.is_some_and(|max| broken > as_len(max)) {
                let text = "Job has exceeded the specified maximal number of failed indexes";
                return failure("MaxFailedIndexesExceeded", text);
            }
            if broken > 0 && broken + done >= as_len(self.spec.completions.unwrap_or(0)) {
                return failure("FailedIndexes", "Job has failed indexes");
            }
        }
        let message = if self.is_indexed() { enough(&self.job, &self.done) } else { None };
        if let Some(message) = message {
            return Some(End { kind: "SuccessCriteriaMet", reason: "SuccessPolicy".to_owned(), message });
        }
        let active = all.iter().any(|p| is_active(p));
        let complete = match self.spec.completions {
            None => self.succeeded > 0 && !active,
            Some(wanted) => self.succeeded >= wanted && !active,
        };
        complete.then(|| End {
            kind: "SuccessCriteriaMet",
            reason: "CompletionsReached".to_owned(),
            message: "Reached expected number of succeeded pods".to_owned(),
        })
    }

    fn restarts_too_often(&self, all: &[Arc<Pod>]) -> bool {
        let policy = self.spec.template.spec.as_ref().and_then(|s| s.restart_policy.as_deref());
        if policy != Some("OnFailure") {
            return false;
        }
        let running = all.iter().filter(|p| matches!(phase(p), "Running" | "Pending"));
        let statuses = running.filter_map(|p| p.status.as_ref());
        let both = |s: &k8s_openapi::api::core::v1::PodStatus| -> i32 {
            let init = s.init_container_statuses.iter().flatten();
            init.chain(s.container_statuses.iter().flatten()).map(|c| c.restart_count).sum()
        };
        let restarts: i32 = statuses.map(both).sum();
        match self.spec.backoff_limit.unwrap_or(6) {
            0 => restarts > 0,
            limit => restarts >= limit,
        }
    }

    fn deadline(&self) -> Option<Timestamp> {
        let limit = self.spec.active_deadline_seconds.filter(|_| !self.is_suspended())?;
        Some(self.status.start_time.as_ref()?.0 + span(limit))
    }

    /// When the back-off after the latest failures is over: each failure since the last success doubles it.
    fn backoff_ends(&self, all: &[Arc<Pod>]) -> Option<Timestamp> {
        let ends = |won: bool| {
            all.iter()
                .filter(move |p| is_ended(p, self.only_failed()) && has_succeeded(p) == won)
                .filter_map(|p| ended_at(p))
        };
        let success = ends(true).max();
        let failures: Vec<Timestamp> = ends(false).filter(|at| success.is_none_or(|s| *at > s)).collect();
        let last = failures.iter().max()?;
        let wait = BACKOFF.after(u32::try_from(failures.len()).unwrap_or(u32::MAX));
        Some(*last + span(i64::try_from(wait.as_secs()).unwrap_or(i64::MAX)))
    }

    /// What to do about running pods.
    #[must_use]
    pub fn plan(&self, all: &[Arc<Pod>], now: Timestamp) -> Step {
        let mut active: Vec<Arc<Pod>> = all.iter().filter(|p| is_active(p)).cloned().collect();
        let parallelism = self.spec.parallelism.unwrap_or(1).max(0);
        let wanted = match self.spec.completions {
            None if self.succeeded > 0 => active.len(),
            None => usize::try_from(parallelism).unwrap_or(0),
            Some(completions) => {
                let broken = i32::try_from(self.broken.len()).unwrap_or(0);
                usize::try_from((completions - self.succeeded - broken).min(parallelism)).unwrap_or(0)
            }
        };
        if active.len() > wanted {
            rank_for_removal(&mut active, |_| 0);
            active.truncate(active.len() - wanted);
            return Step::Remove(active);
        }
        if self.backoff_ends(all).is_some_and(|at| at > now) {
            return Step::Keep;
        }
        let going = all.iter().filter(|p| p.is_deleting() && !matches!(phase(p), "Succeeded" | "Failed")).count();
        let held = if self.only_failed() { going } else { 0 };
        let missing = wanted.saturating_sub(active.len() + held).min(CREATE_MAX);
        if missing == 0 {
            return Step::Keep;
        }
        if !self.is_indexed() {
            return Step::Create(vec![Slot { index: None, failures: None }; missing]);
        }
        let taken = |p: &&Arc<Pod>| is_active(p) || (self.only_failed() && p.is_deleting() && phase(p) != "Failed");
        let busy: BTreeSet<i32> = all.iter().filter(taken).filter_map(|p| index(p)).collect();
        let free = (0..self.spec.completions.unwrap_or(0))
            .filter(|i| !self.done.contains(i) && !self.broken.contains(i) && !busy.contains(i));
        let limited = self.spec.backoff_limit_per_index.is_some();
        let slot = |index| Slot {
            index: Some(index),
            failures: limited.then(|| self.index_failures.get(&index).copied().unwrap_or(0)),
        };
        Step::Create(free.take(missing).map(slot).collect())
    }

    /// How long until time alone changes something.
    #[must_use]
    pub fn wait(&self, all: &[Arc<Pod>], now: Timestamp) -> Option<Duration> {
        let backoff = self.backoff_ends(all).filter(|at| *at > now && self.end.is_none());
        let waits = [self.deadline().filter(|at| *at > now), backoff].into_iter().flatten();
        waits.min().map(|at| until(at, now) + Duration::from_millis(100))
    }

    /// Notes how many pods run, and whether the job is suspended.
    pub fn note_active(&mut self, all: &[Arc<Pod>], now: Timestamp) {
        let len = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        let active = all.iter().filter(|p| is_active(p));
        self.status.active = Some(len(active.clone().count())).filter(|n| *n > 0);
        self.status.ready = Some(len(active.filter(|p| is_ready(p)).count()));
        let going = all.iter().filter(|p| p.is_deleting() && !matches!(phase(p), "Succeeded" | "Failed"));
        self.status.terminating = Some(len(going.count()));
        if self.end.is_some() {
            return;
        }
        if self.is_suspended() {
            set_condition(&mut self.status, "Suspended", true, "JobSuspended", "Job suspended", now);
            self.status.start_time = None;
        } else if holds(&self.status, "Suspended") {
            set_condition(&mut self.status, "Suspended", false, "JobResumed", "Job resumed", now);
            self.status.start_time = Some(seconds(now));
        }
    }

    /// The status that lists the ends that are about to be counted.
    #[must_use]
    pub fn announce(&self, all: &[Arc<Pod>]) -> JobStatus {
        let mut status = self.status.clone();
        let (mut won, mut lost) = self.uncounted();
        for pod in self.fresh(all).into_iter().take(UNCOUNTED_MAX.saturating_sub(won.len() + lost.len())) {
            if has_succeeded(pod) {
                if !self.is_indexed() {
                    won.push(pod.uid().to_owned());
                }
            } else if judge(&self.job, pod) != Verdict::Ignore {
                lost.push(pod.uid().to_owned());
            }
        }
        let some = |list: Vec<String>| Some(list).filter(|l| !l.is_empty());
        status.uncounted_terminated_pods = Some(UncountedTerminatedPods { failed: some(lost), succeeded: some(won) });
        if self.is_indexed() {
            status.completed_indexes = Some(indexes::format(&self.done)).filter(|t| !t.is_empty());
            status.succeeded = Some(self.succeeded).filter(|n| *n > 0);
            if self.spec.backoff_limit_per_index.is_some() {
                status.failed_indexes = Some(indexes::format(&self.broken));
            }
        }
        status
    }

    /// The status after the finalizers went: the counters take in every listed pod that is free or gone, and the job
    /// ends when none is left and none runs.
    #[must_use]
    pub fn settle(&self, announced: &JobStatus, present: &[Arc<Pod>], now: Timestamp) -> JobStatus {
        let mut status = announced.clone();
        let held = |uid: &String| present.iter().any(|p| p.uid() == uid && p.has_finalizer(FINALIZER));
        let lists = announced.uncounted_terminated_pods.clone().unwrap_or_default();
        let add = |list: Option<Vec<String>>, count: &mut Option<i32>| {
            let (keep, free): (Vec<String>, Vec<String>) = list.unwrap_or_default().into_iter().partition(held);
            let more = i32::try_from(free.len()).unwrap_or(0);
            *count = Some(count.unwrap_or(0) + more).filter(|n| *n > 0);
            Some(keep).filter(|k| !k.is_empty())
        };
        let succeeded = add(lists.succeeded, &mut status.succeeded);
        let failed = add(lists.failed, &mut status.failed);
        let waiting = succeeded.is_some() || failed.is_some();
        status.uncounted_terminated_pods = Some(UncountedTerminatedPods { failed, succeeded });
        let Some(end) = &self.end else { return status };
        set_condition(&mut status, end.kind, true, &end.reason, &end.message, now);
        let runs = |p: &&Arc<Pod>| !matches!(phase(p), "Succeeded" | "Failed");
        let uncounted = present.iter().any(|p| p.has_finalizer(FINALIZER));
        if waiting || uncounted || present.iter().any(|p| runs(&p)) {
            return status;
        }
        let last = if end.kind == "SuccessCriteriaMet" { "Complete" } else { "Failed" };
        set_condition(&mut status, last, true, &end.reason, &end.message, now);
        if last == "Complete" {
            status.completion_time = Some(seconds(now));
        }
        status
    }
}
