//! The status of a Deployment: its counts and its conditions, and when to look whether a rollout is stuck. Behaviour
//! as upstream's `progress.go`.
//!
//! It must not write anything.

use super::sets::{Sets, available, may_be_missing, wanted};
use crate::context::{seconds, span, until};
use client::Meta;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus};
use std::time::Duration;

const PROGRESSING: &str = "Progressing";
const DONE: &str = "NewReplicaSetAvailable";
const STUCK: &str = "ProgressDeadlineExceeded";
const PAUSED: &str = "DeploymentPaused";

fn condition<'a>(status: &'a DeploymentStatus, kind: &str) -> Option<&'a DeploymentCondition> {
    status.conditions.as_ref()?.iter().find(|c| c.type_ == kind)
}

fn remove(status: &mut DeploymentStatus, kind: &str) {
    if let Some(conditions) = &mut status.conditions {
        conditions.retain(|c| c.type_ != kind);
    }
    status.conditions = status.conditions.take().filter(|c| !c.is_empty());
}

/// Sets a condition unless it says the same already; the transition time moves with the truth value only.
fn set(status: &mut DeploymentStatus, kind: &str, truth: &str, reason: &str, message: &str, now: Timestamp) {
    let old = condition(status, kind);
    if old.is_some_and(|c| c.status == truth && c.reason.as_deref() == Some(reason)) {
        return;
    }
    let since = old.filter(|c| c.status == truth).and_then(|c| c.last_transition_time.clone());
    let new = DeploymentCondition {
        type_: kind.to_owned(),
        status: truth.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_update_time: Some(seconds(now)),
        last_transition_time: since.or(Some(seconds(now))),
    };
    remove(status, kind);
    status.conditions.get_or_insert_default().push(new);
}

fn deadline(deployment: &Deployment) -> Option<i32> {
    deployment.spec.as_ref()?.progress_deadline_seconds.filter(|s| *s != i32::MAX)
}

/// Notes that a rollout was paused or goes on, so that its deadline does not run meanwhile.
pub fn note_pause(deployment: &Deployment, status: &mut DeploymentStatus, now: Timestamp) {
    let reason = condition(status, PROGRESSING).and_then(|c| c.reason.clone());
    if deadline(deployment).is_none() || reason.as_deref() == Some(STUCK) {
        return;
    }
    let paused = deployment.spec.as_ref().and_then(|s| s.paused) == Some(true);
    match (paused, reason.as_deref() == Some(PAUSED)) {
        (true, false) => set(status, PROGRESSING, "Unknown", PAUSED, "Deployment is paused", now),
        (false, true) => set(status, PROGRESSING, "Unknown", "DeploymentResumed", "Deployment is resumed", now),
        _ => (),
    }
}

/// Notes that an existing set serves the template.
pub fn note_found(deployment: &Deployment, status: &mut DeploymentStatus, name: &str, now: Timestamp) {
    if deadline(deployment).is_some() && condition(status, PROGRESSING).is_none() {
        let text = format!("Found new replica set {name:?}");
        set(status, PROGRESSING, "True", "FoundNewReplicaSet", &text, now);
    }
}

/// Notes that a set was made.
pub fn note_created(deployment: &Deployment, status: &mut DeploymentStatus, name: &str, now: Timestamp) {
    if deadline(deployment).is_some() {
        let text = format!("Created new replica set {name:?}");
        set(status, PROGRESSING, "True", "NewReplicaSetCreated", &text, now);
    }
}

/// Notes that a set could not be made.
pub fn note_failed(deployment: &Deployment, status: &mut DeploymentStatus, text: &str, now: Timestamp) {
    if deadline(deployment).is_some() {
        set(status, PROGRESSING, "False", "ReplicaSetCreateError", text, now);
    }
}

/// The counts, over what was noted so far.
#[must_use]
pub fn count(deployment: &Deployment, sets: &Sets, noted: DeploymentStatus) -> DeploymentStatus {
    let replicas: i32 = sets.all().map(|s| s.status.as_ref().map_or(0, |s| s.replicas)).sum();
    let ready: i32 = sets.all().map(|s| s.status.as_ref().and_then(|s| s.ready_replicas).unwrap_or(0)).sum();
    let available: i32 = sets.all().map(|s| available(s)).sum();
    let updated = sets.new_set().and_then(|s| s.status.as_ref()).map_or(0, |s| s.replicas);
    let some = |n: i32| (n > 0).then_some(n);
    DeploymentStatus {
        observed_generation: Some(deployment.generation()),
        replicas: some(replicas),
        updated_replicas: some(updated),
        ready_replicas: some(ready),
        available_replicas: some(available),
        unavailable_replicas: some(sets.total() - available),
        terminating_replicas: None,
        ..noted
    }
}

/// Whether every pod is new and available.
#[must_use]
pub fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let wanted = wanted(deployment);
    let counts = [status.updated_replicas, status.replicas, status.available_replicas];
    counts.iter().all(|n| n.unwrap_or(0) == wanted)
        && status.observed_generation.unwrap_or(0) >= deployment.generation()
}

fn moves(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let n = |v: Option<i32>| v.unwrap_or(0);
    let outdated = |s: &DeploymentStatus| n(s.replicas) - n(s.updated_replicas);
    n(new.updated_replicas) > n(old.updated_replicas)
        || outdated(new) < outdated(old)
        || n(new.ready_replicas) > n(old.ready_replicas)
        || n(new.available_replicas) > n(old.available_replicas)
}

fn is_stuck(deployment: &Deployment, status: &DeploymentStatus, now: Timestamp) -> bool {
    let (Some(limit), Some(condition)) = (deadline(deployment), condition(status, PROGRESSING)) else { return false };
    match condition.reason.as_deref() {
        Some(DONE) => false,
        Some(STUCK) => true,
        _ => condition.last_update_time.as_ref().is_some_and(|t| t.0 + span(i64::from(limit)) < now),
    }
}

fn judge_progress(deployment: &Deployment, sets: &Sets, status: &mut DeploymentStatus, now: Timestamp) {
    if deadline(deployment).is_none() {
        return remove(status, PROGRESSING);
    }
    let current = condition(status, PROGRESSING).cloned();
    let was_done = current.as_ref().is_some_and(|c| c.reason.as_deref() == Some(DONE));
    if status.replicas == status.updated_replicas && was_done {
        return;
    }
    let what = match sets.new_set() {
        Some(set) => format!("ReplicaSet {:?}", set.name()),
        None => format!("Deployment {:?}", deployment.name()),
    };
    let old = deployment.status.clone().unwrap_or_default();
    if is_complete(deployment, status) {
        set(status, PROGRESSING, "True", DONE, &format!("{what} has successfully progressed."), now);
    } else if moves(&old, status) {
        // Each step forward restarts the deadline, so the update time must move though nothing else does.
        let since = current.filter(|c| c.status == "True").and_then(|c| c.last_transition_time);
        remove(status, PROGRESSING);
        set(status, PROGRESSING, "True", "ReplicaSetUpdated", &format!("{what} is progressing."), now);
        let fresh = status.conditions.iter_mut().flatten().find(|c| c.type_ == PROGRESSING);
        if let (Some(fresh), Some(since)) = (fresh, since) {
            fresh.last_transition_time = Some(since);
        }
    } else if is_stuck(deployment, status, now) {
        set(status, PROGRESSING, "False", STUCK, &format!("{what} has timed out progressing."), now);
    }
}

/// The whole status.
#[must_use]
pub fn status(deployment: &Deployment, sets: &Sets, noted: DeploymentStatus, now: Timestamp) -> DeploymentStatus {
    let mut new = count(deployment, sets, noted);
    let enough = new.available_replicas.unwrap_or(0) >= wanted(deployment) - may_be_missing(deployment);
    if enough {
        let text = "Deployment has minimum availability.";
        set(&mut new, "Available", "True", "MinimumReplicasAvailable", text, now);
    } else {
        let text = "Deployment does not have minimum availability.";
        set(&mut new, "Available", "False", "MinimumReplicasUnavailable", text, now);
    }
    let paused = deployment.spec.as_ref().and_then(|s| s.paused) == Some(true);
    if deployment.is_deleting() || paused {
        return new;
    }
    judge_progress(deployment, sets, &mut new, now);
    let order = sets.new_set().into_iter().chain(sets.all());
    let failures = order.flat_map(|s| s.status.iter().flat_map(|s| s.conditions.iter().flatten()));
    match failures.into_iter().find(|c| c.type_ == "ReplicaFailure") {
        Some(failure) => {
            let text = |t: &Option<String>| t.clone().unwrap_or_default();
            set(&mut new, "ReplicaFailure", &failure.status, &text(&failure.reason), &text(&failure.message), now);
        }
        None => remove(&mut new, "ReplicaFailure"),
    }
    new
}

/// When a rollout that does not move is to be looked at again.
#[must_use]
pub fn check_in(deployment: &Deployment, status: &DeploymentStatus, now: Timestamp) -> Option<Duration> {
    let condition = condition(status, PROGRESSING)?;
    if is_complete(deployment, status) || matches!(condition.reason.as_deref(), Some(STUCK | PAUSED | DONE)) {
        return None;
    }
    let at = condition.last_update_time.as_ref()?.0 + span(i64::from(deadline(deployment)?));
    Some(until(at, now) + Duration::from_secs(1))
}
