//! The pods of a Job: how one is made, when one has ended, which index it has.
//!
//! It must not know the job's state.

use crate::owner::controlled_by;
use crate::pod::{from_template, phase};
use client::Meta;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, ObjectFieldSelector, Pod};

/// The finalizer that keeps a pod until its end is counted.
pub const FINALIZER: &str = "batch.kubernetes.io/job-tracking";
/// Label and annotation with the completion index.
pub const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// Annotation with the failures of the pod's index before it.
pub const INDEX_FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
/// The variable that tells a container its index.
const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";

/// One pod to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its index, for an indexed job.
    pub index: Option<i32>,
    /// Failures of that index so far, for a job that limits them.
    pub failures: Option<i32>,
}

/// Whether a pod has ended, or, unless only failures count, is going before its time.
#[must_use]
pub fn is_ended(pod: &Pod, only_failed: bool) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed") || (!only_failed && pod.is_deleting())
}

/// Whether the pod's end is a success.
#[must_use]
pub fn has_succeeded(pod: &Pod) -> bool {
    phase(pod) == "Succeeded"
}

/// The completion index of a pod.
#[must_use]
pub fn index(pod: &Pod) -> Option<i32> {
    pod.annotation(INDEX)?.parse().ok()
}

/// When a pod ended, as its containers tell.
#[must_use]
pub fn ended_at(pod: &Pod) -> Option<Timestamp> {
    let statuses = pod.status.iter().flat_map(|s| s.container_statuses.iter().flatten());
    let ends = statuses.filter_map(|c| c.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref());
    ends.map(|t| t.0).max().or_else(|| pod.metadata.deletion_timestamp.as_ref().map(|t| t.0))
}

/// A pod of the job.
#[must_use]
pub fn make(job: &Job, slot: Slot) -> Pod {
    let Some(spec) = &job.spec else { return Pod::default() };
    let prefix = match slot.index {
        Some(index) => format!("{}-{index}", job.name()),
        None => job.name().to_owned(),
    };
    let mut pod = from_template(&spec.template, &prefix, controlled_by(job));
    pod.metadata.finalizers.get_or_insert_default().push(FINALIZER.to_owned());
    let Some(index) = slot.index else { return pod };
    let annotations = pod.metadata.annotations.get_or_insert_default();
    annotations.insert(INDEX.to_owned(), index.to_string());
    if let Some(failures) = slot.failures {
        annotations.insert(INDEX_FAILURES.to_owned(), failures.to_string());
    }
    pod.metadata.labels.get_or_insert_default().insert(INDEX.to_owned(), index.to_string());
    let Some(inside) = &mut pod.spec else { return pod };
    inside.hostname = Some(prefix);
    let own = inside.containers.iter_mut().chain(inside.init_containers.iter_mut().flatten());
    for container in own {
        let env = container.env.get_or_insert_default();
        if env.iter().any(|v| v.name == INDEX_VARIABLE) {
            continue;
        }
        let field = ObjectFieldSelector { api_version: None, field_path: format!("metadata.annotations['{INDEX}']") };
        env.push(EnvVar {
            name: INDEX_VARIABLE.to_owned(),
            value: None,
            value_from: Some(EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() }),
        });
    }
    pod
}
