//! The two policies of a Job: what a pod's failure means, and which successes are enough.
//!
//! It must not know counters or conditions.

use super::indexes;
use crate::pod::phase;
use client::Meta;
use k8s_openapi::api::batch::v1::{Job, PodFailurePolicyRule};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use std::collections::BTreeSet;

/// What a failure means.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// One more failure.
    Count,
    /// Nothing.
    Ignore,
    /// The pod's index has failed.
    FailIndex,
    /// The whole job has failed, for this reason.
    FailJob(String),
}

/// Judges a failed pod; the first rule that matches counts.
#[must_use]
pub fn judge(job: &Job, pod: &Pod) -> Verdict {
    let rules = job.spec.iter().flat_map(|s| s.pod_failure_policy.iter().flat_map(|p| p.rules.iter()));
    for (at, rule) in rules.enumerate() {
        if let Some(why) = matches(rule, pod) {
            return match rule.action.as_str() {
                "FailJob" => Verdict::FailJob(format!("{why} matching FailJob rule at index {at}")),
                "Ignore" => Verdict::Ignore,
                "FailIndex" => Verdict::FailIndex,
                _ => Verdict::Count,
            };
        }
    }
    Verdict::Count
}

fn matches(rule: &PodFailurePolicyRule, pod: &Pod) -> Option<String> {
    if phase(pod) != "Failed" {
        return None;
    }
    if let Some(codes) = &rule.on_exit_codes {
        let listed = |container: &&ContainerStatus| {
            let named = codes.container_name.as_ref().is_none_or(|name| *name == container.name);
            let code = container.state.as_ref().and_then(|s| s.terminated.as_ref()).map_or(0, |t| t.exit_code);
            named && code != 0 && codes.values.contains(&code) == (codes.operator == "In")
        };
        let status = pod.status.as_ref();
        let init = status.and_then(|s| s.init_container_statuses.as_ref()).into_iter().flatten();
        let mut own = status.and_then(|s| s.container_statuses.as_ref()).into_iter().flatten().chain(init);
        let found = own.find(listed)?;
        let code = found.state.as_ref().and_then(|s| s.terminated.as_ref()).map_or(0, |t| t.exit_code);
        let text = format!("Container {} for pod {} failed with exit code {code}", found.name, pod.key());
        return Some(text);
    }
    let wanted = rule.on_pod_conditions.iter().flatten();
    let there = |kind: &str, truth: &str| {
        pod.status.iter().flat_map(|s| s.conditions.iter().flatten()).any(|c| c.type_ == kind && c.status == truth)
    };
    let found = wanted.into_iter().find(|p| there(&p.type_, p.status.as_deref().unwrap_or("True")))?;
    Some(format!("Pod {} has condition {}", pod.key(), found.type_))
}

/// The rule of the success policy that the finished indexes satisfy, as a condition's message.
#[must_use]
pub fn enough(job: &Job, done: &BTreeSet<i32>) -> Option<String> {
    let spec = job.spec.as_ref()?;
    let completions = spec.completions?;
    for (at, rule) in spec.success_policy.as_ref()?.rules.iter().enumerate() {
        let listed = rule.succeeded_indexes.as_ref().map(|text| indexes::parse(text, completions));
        let have = match &listed {
            Some(listed) => listed.intersection(done).count(),
            None => done.len(),
        };
        let need = match (rule.succeeded_count, &listed) {
            (Some(count), _) => usize::try_from(count).unwrap_or(usize::MAX),
            (None, Some(listed)) => listed.len(),
            (None, None) => continue,
        };
        if have >= need {
            return Some(format!("Matched rules at index {at}"));
        }
    }
    None
}
