//! Keeping a number of equal pods alive: what the ReplicaSet and ReplicationController controllers share. Behaviour as
//! upstream's `pkg/controller/replicaset`.
//!
//! It must not know which of the two it serves; [`Replicated`] tells what differs.

use crate::context::{Context, feed, feed_orphans, feed_owners, seconds};
use crate::owner::{claim, controlled_by, controls, lives, settle};
use crate::pod::{available_in, create_slowly, delete_all, from_template, is_active, is_ready, rank_for_removal};
use crate::status;
use api::Status;
use client::{After, Meta, Object, ObjectKey, Queue, Store};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// Pods created or deleted in one go, as upstream's `BurstReplicas`.
pub const BURST: usize = 500;

/// What a ReplicaSet and a ReplicationController have in common.
pub trait Replicated: Object {
    /// Whether the selector takes the pod.
    fn wants(&self, pod: &Pod) -> bool;
    /// How many pods there shall be.
    fn replicas(&self) -> usize;
    /// What the pods are made from.
    fn template(&self) -> Option<&PodTemplateSpec>;
    /// How long a pod must be ready to count.
    fn min_ready_seconds(&self) -> i32;
    /// The status as it is.
    fn status(&self) -> Value;
}

/// What to do about the number of pods.
#[derive(Debug)]
pub enum Step {
    /// Nothing.
    Keep,
    /// So many are missing.
    Create(usize),
    /// These are too many.
    Delete(Vec<Arc<Pod>>),
}

/// Compares the pods that count with the number wanted. `crowd` counts related pods on a pod's node.
pub fn plan(wanted: usize, mut active: Vec<Arc<Pod>>, crowd: impl Fn(&Pod) -> usize) -> Step {
    if active.len() < wanted {
        return Step::Create((wanted - active.len()).min(BURST));
    }
    let surplus = (active.len() - wanted).min(BURST);
    if surplus == 0 {
        return Step::Keep;
    }
    rank_for_removal(&mut active, crowd);
    active.truncate(surplus);
    Step::Delete(active)
}

/// The status that the pods amount to. `failure` is a condition's reason and message.
#[must_use]
pub fn summary<R: Replicated>(owner: &R, pods: &[Arc<Pod>], failure: Option<(&str, String)>, now: Timestamp) -> Value {
    let labels = owner.template().and_then(|t| t.metadata.as_ref()?.labels.clone()).unwrap_or_default();
    let labeled = |pod: &&Arc<Pod>| labels.iter().all(|(key, want)| pod.label(key) == Some(want));
    let available = |pod: &&Arc<Pod>| available_in(pod, owner.min_ready_seconds(), now).is_some_and(|w| w.is_zero());
    let old = owner.status();
    let mut new = json!({"replicas": pods.len(), "observedGeneration": owner.generation()});
    let counts = [
        ("fullyLabeledReplicas", pods.iter().filter(labeled).count()),
        ("readyReplicas", pods.iter().filter(|p| is_ready(p)).count()),
        ("availableReplicas", pods.iter().filter(available).count()),
    ];
    for (field, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        new[field] = json!(count);
    }
    let conditions = old["conditions"].as_array().cloned().unwrap_or_default();
    let mut conditions: Vec<Value> = conditions
        .into_iter()
        .filter(|c| c["type"] != "ReplicaFailure" || failure.as_ref().is_some_and(|(reason, _)| c["reason"] == *reason))
        .collect();
    if let Some((reason, message)) = failure
        && !conditions.iter().any(|c| c["type"] == "ReplicaFailure")
    {
        let since: Time = seconds(now);
        conditions.push(json!({"type": "ReplicaFailure", "status": "True", "reason": reason, "message": message,
            "lastTransitionTime": since}));
    }
    if !conditions.is_empty() {
        new["conditions"] = json!(conditions);
    }
    new
}

/// Runs a controller of one of the two kinds.
pub async fn run<R: Replicated>(name: &'static str, context: Context) {
    let queue = Arc::new(Queue::default());
    let owners = context.informers.of::<R>();
    let pods = context.informers.of::<Pod>();
    feed(&owners, &queue);
    feed_owners(&pods, &queue, R::KIND);
    feed_orphans(&pods, &owners, &queue, |owner: &R, pod: &Pod| owner.wants(pod));
    owners.synced().await;
    pods.synced().await;
    let look = |key: ObjectKey| {
        let (context, pods, owner) = (&context, &pods, owners.get(&key));
        async move {
            match owner {
                Some(owner) => sync(context, pods, owner.as_ref()).await,
                None => Ok(After::Done),
            }
        }
    };
    context.work(name, &queue, look).await;
}

async fn sync<R: Replicated>(context: &Context, pods: &Arc<Store<Pod>>, owner: &R) -> Result<After, Status> {
    let (owners, api) = (context.client.of::<R>(), context.client.of::<Pod>());
    let reference = controlled_by(owner);
    let mine = pods.in_namespace(owner.namespace());
    let mine: Vec<Arc<Pod>> = mine.into_iter().filter(|p| is_active(p) || controls(owner.uid(), p.as_ref())).collect();
    let claimed = claim(owner.uid(), owner.is_deleting(), mine, |pod| owner.wants(pod));
    let mut active = settle(&api, &reference, claimed, lives(&owners, owner)).await?;
    active.retain(|pod| is_active(pod));
    let mut trouble: Option<(Status, &str)> = None;
    if !owner.is_deleting() {
        match act(context, pods, owner, &active).await {
            Ok(made) => active.extend(made),
            Err(failed) => trouble = Some(failed),
        }
        // The cache has seen every write of ours, so it is the better count now.
        let seen = pods.owned_by(owner.uid());
        active = seen.into_iter().filter(|p| is_active(p) && owner.wants(p)).collect();
    }
    let failure = trouble.as_ref().map(|(status, reason)| (*reason, status.message.clone()));
    let now = context.now();
    let new = summary(owner, &active, failure, now);
    status::write(&owners, owner, &owner.status(), &new, false).await?;
    if let Some((status, _)) = trouble {
        return Err(status);
    }
    let due = active.iter().filter_map(|p| available_in(p, owner.min_ready_seconds(), now)).filter(|w| !w.is_zero());
    Ok(due.min().map_or(After::Done, After::In))
}

/// Creates or deletes what is missing or too much.
async fn act<R: Replicated>(
    context: &Context,
    pods: &Arc<Store<Pod>>,
    owner: &R,
    active: &[Arc<Pod>],
) -> Result<Vec<Arc<Pod>>, (Status, &'static str)> {
    let api = context.client.of::<Pod>();
    let crowds: HashMap<String, usize> = active.iter().fold(HashMap::new(), |mut crowds, pod| {
        *crowds.entry(node_of(pod)).or_default() += 1;
        crowds
    });
    match plan(owner.replicas(), active.to_vec(), |pod| crowds.get(&node_of(pod)).copied().unwrap_or(0)) {
        Step::Keep => Ok(Vec::new()),
        Step::Create(count) => {
            let Some(template) = owner.template() else { return Ok(Vec::new()) };
            // The server refuses such an owner; without it every pod would be let go and replaced without end.
            if !owner.wants(&from_template(template, owner.name(), controlled_by(owner))) {
                context.events.warning(owner, "SelectorMismatch", "the selector does not take pods of the template");
                return Ok(Vec::new());
            }
            let make = |_| from_template(template, owner.name(), controlled_by(owner));
            let (made, failure) = create_slowly(&api, pods, owner.namespace(), count, make).await;
            for pod in &made {
                context.events.normal(owner, "SuccessfulCreate", format!("Created pod: {}", pod.name()));
            }
            match failure {
                None => Ok(made.into_iter().map(Arc::new).collect()),
                Some(status) if crate::serviceaccount::refuses(&status) => Ok(Vec::new()),
                Some(status) => {
                    context.events.warning(owner, "FailedCreate", format!("Error creating: {status}"));
                    Err((status, "FailedCreate"))
                }
            }
        }
        Step::Delete(surplus) => {
            delete_all(&api, pods, &surplus).await.map_err(|status| {
                context.events.warning(owner, "FailedDelete", format!("Error deleting: {status}"));
                (status, "FailedDelete")
            })?;
            for pod in &surplus {
                context.events.normal(owner, "SuccessfulDelete", format!("Deleted pod: {}", pod.name()));
            }
            Ok(Vec::new())
        }
    }
}

fn node_of(pod: &Pod) -> String {
    pod.spec.as_ref().and_then(|s| s.node_name.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
