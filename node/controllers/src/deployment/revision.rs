//! Revisions: what a new ReplicaSet looks like, which annotations it carries, which old ones may go. Behaviour as
//! upstream's `deployment_util.go`.
//!
//! It must not write anything.

use super::scale::next_of_new;
use super::sets::{DESIRED, HASH, HISTORY, MAX, REVISION, Sets, revision, size, surge, wanted};
use crate::context::Labels;
use crate::owner::controlled_by;
use crate::pod::template_hash;
use client::Meta;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Annotations of a deployment that its sets do not get.
const NOT_COPIED: &[&str] = &[
    "kubectl.kubernetes.io/last-applied-configuration",
    "deprecated.deployment.rollback.to",
    REVISION,
    HISTORY,
    DESIRED,
    MAX,
];

fn copied(deployment: &Deployment) -> Labels {
    let all = deployment.metadata.annotations.iter().flatten();
    all.filter(|(key, _)| !NOT_COPIED.contains(&key.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// The revision after those of the old sets.
fn next(sets: &Sets) -> i64 {
    sets.old().map(|s| revision(s.as_ref())).max().unwrap_or(0) + 1
}

/// The set for the deployment's present template.
#[must_use]
pub fn make(deployment: &Deployment, sets: &Sets) -> ReplicaSet {
    let spec = deployment.spec.clone().unwrap_or_default();
    let collisions = deployment.status.as_ref().and_then(|s| s.collision_count);
    let hash = template_hash(&spec.template, HASH, collisions);
    let mut template = spec.template.clone();
    template.metadata.get_or_insert_default().labels.get_or_insert_default().insert(HASH.to_owned(), hash.clone());
    let mut selector = spec.selector.clone();
    selector.match_labels.get_or_insert_default().insert(HASH.to_owned(), hash.clone());
    let mut annotations = copied(deployment);
    annotations.insert(REVISION.to_owned(), next(sets).to_string());
    annotations.insert(DESIRED.to_owned(), wanted(deployment).to_string());
    annotations.insert(MAX.to_owned(), (wanted(deployment) + surge(deployment)).to_string());
    ReplicaSet {
        metadata: ObjectMeta {
            name: Some(format!("{}-{hash}", deployment.name())),
            namespace: Some(deployment.namespace().to_owned()),
            labels: template.metadata.as_ref().and_then(|m| m.labels.clone()),
            annotations: Some(annotations),
            owner_references: Some(vec![controlled_by(deployment)]),
            ..ObjectMeta::default()
        },
        spec: Some(ReplicaSetSpec {
            replicas: Some(next_of_new(deployment, sets.total(), 0)),
            min_ready_seconds: spec.min_ready_seconds,
            selector,
            template: Some(template),
        }),
        status: None,
    }
}

/// The patch that gives the new set its revision, the deployment's annotations and its `minReadySeconds`; `None` when
/// it has them.
#[must_use]
pub fn annotate(deployment: &Deployment, sets: &Sets) -> Option<Value> {
    let set = sets.new_set()?;
    let mut change = Map::new();
    for (key, value) in copied(deployment) {
        if set.annotation(&key) != Some(&value) {
            change.insert(key, json!(value));
        }
    }
    let (old, new) = (revision(set.as_ref()), next(sets));
    if old < new {
        change.insert(REVISION.to_owned(), json!(new.to_string()));
        if old > 0 {
            let mut history: Vec<String> = set
                .annotation(HISTORY)
                .unwrap_or_default()
                .split(',')
                .filter(|r| !r.is_empty())
                .map(str::to_owned)
                .collect();
            history.push(old.to_string());
            change.insert(HISTORY.to_owned(), json!(history.join(",")));
        }
    }
    let seconds = |s: Option<i32>| s.unwrap_or(0);
    let wanted_seconds = seconds(deployment.spec.as_ref().and_then(|s| s.min_ready_seconds));
    let min_ready = seconds(set.spec.as_ref().and_then(|s| s.min_ready_seconds)) != wanted_seconds;
    if change.is_empty() && !min_ready {
        return None;
    }
    let mut patch = json!({"metadata": {"resourceVersion": set.resource_version(), "annotations": change}});
    if min_ready {
        patch["spec"] = json!({"minReadySeconds": wanted_seconds});
    }
    Some(patch)
}

/// The empty old sets beyond the history limit, the oldest revision first.
#[must_use]
pub fn outdated(deployment: &Deployment, sets: &Sets) -> Vec<Arc<ReplicaSet>> {
    let limit = deployment.spec.as_ref().and_then(|s| s.revision_history_limit).unwrap_or(10);
    if limit == i32::MAX {
        return Vec::new();
    }
    let mut old: Vec<Arc<ReplicaSet>> = sets.old().filter(|s| !s.is_deleting()).cloned().collect();
    let surplus = old.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
    old.sort_by_key(|s| (revision(s.as_ref()), s.metadata.creation_timestamp.clone()));
    old.truncate(surplus);
    let is_empty = |s: &Arc<ReplicaSet>| {
        let status = s.status.as_ref();
        let observed = status.and_then(|s| s.observed_generation).unwrap_or(0);
        size(s) == 0 && status.is_none_or(|s| s.replicas == 0) && observed >= s.generation()
    };
    old.retain(is_empty);
    old
}
