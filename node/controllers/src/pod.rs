//! What the workload controllers ask of pods: phase, readiness, availability, which of them to remove first; and how
//! a pod is made from a template.
//!
//! It must not know which controller asks.

use crate::context::{Labels, span, tree, until};
use api::Status;
use client::{Api, DeleteOptions, Meta, Store};
use futures_util::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use std::sync::Arc;
use std::time::Duration;

/// Creations tried at once at first; doubled after each success, so that a refusal costs one request.
pub const SLOW_START: usize = 1;

/// The phase; empty when there is none yet.
#[must_use]
pub fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|s| s.phase.as_deref()).unwrap_or_default()
}

/// One condition.
#[must_use]
pub fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|c| c.type_ == kind)
}

/// Whether the pod's containers have all ended for good.
#[must_use]
pub fn is_finished(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Whether the pod counts as a replica: not finished, not being deleted.
#[must_use]
pub fn is_active(pod: &Pod) -> bool {
    !is_finished(pod) && !pod.is_deleting()
}

/// Whether the pod is ready.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|c| c.status == "True")
}

/// How long until a ready pod counts as available; zero when it does; `None` when it is not ready.
#[must_use]
pub fn available_in(pod: &Pod, min_ready_seconds: i32, now: Timestamp) -> Option<Duration> {
    let ready = condition(pod, "Ready").filter(|c| c.status == "True")?;
    if min_ready_seconds == 0 {
        return Some(Duration::ZERO);
    }
    let since = ready.last_transition_time.as_ref()?.0;
    Some(until(since + span(i64::from(min_ready_seconds)), now))
}

/// Restarts of the most restarted container.
fn restarts(pod: &Pod) -> i32 {
    let status = pod.status.as_ref();
    let own = status.and_then(|s| s.container_statuses.as_ref()).into_iter().flatten();
    let init = status.and_then(|s| s.init_container_statuses.as_ref()).into_iter().flatten();
    own.chain(init).map(|c| c.restart_count).max().unwrap_or(0)
}

/// Orders pods by how little is lost when they go, as upstream's `ActivePodsWithRanks`: unassigned, pending, unready,
/// cheap to delete, crowded, ready for a shorter time, restarted more, younger. `crowd` counts related pods per node.
pub fn rank_for_removal(pods: &mut [Arc<Pod>], crowd: impl Fn(&Pod) -> usize) {
    pods.sort_by_cached_key(|pod| {
        let assigned = pod.spec.as_ref().and_then(|s| s.node_name.as_deref()).is_some_and(|n| !n.is_empty());
        let progress = match phase(pod) {
            "Pending" => 0,
            "Running" => 2,
            _ => 1,
        };
        let ready = is_ready(pod);
        let cost: i32 =
            pod.annotation("controller.kubernetes.io/pod-deletion-cost").and_then(|c| c.parse().ok()).unwrap_or(0);
        let since = condition(pod, "Ready").and_then(|c| c.last_transition_time.as_ref()).map(|t| t.0.as_second());
        let age = pod.meta().creation_timestamp.as_ref().map(|t| t.0.as_second());
        let crowded = std::cmp::Reverse(crowd(pod));
        // Times on a logarithmic scale in upstream; the exact order is finer and as good.
        let young = std::cmp::Reverse(since.filter(|_| ready));
        (assigned, progress, ready, cost, crowded, young, std::cmp::Reverse(restarts(pod)), std::cmp::Reverse(age))
    });
}

/// A pod from a template, without a fixed name: the server appends to `prefix`.
#[must_use]
pub fn from_template(template: &PodTemplateSpec, prefix: &str, owner: OwnerReference) -> Pod {
    let given = template.metadata.clone().unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            generate_name: Some(format!("{prefix}-")),
            labels: given.labels,
            annotations: given.annotations,
            finalizers: given.finalizers,
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    }
}

/// A short hash of a template that stays the same as long as the template does: FNV-1a over its canonical JSON, in the
/// letters that upstream allows in names. `salt` resolves collisions.
#[must_use]
pub fn template_hash(template: &PodTemplateSpec, without_label: &str, salt: Option<i32>) -> String {
    let mut template = template.clone();
    if let Some(labels) = template.metadata.as_mut().and_then(|m| m.labels.as_mut()) {
        labels.remove(without_label);
    }
    short_hash(&tree(&template).to_json(), salt)
}

/// A short hash of bytes, see [`template_hash`].
#[must_use]
pub fn short_hash(bytes: &[u8], salt: Option<i32>) -> String {
    let salt = salt.map(i32::to_le_bytes).unwrap_or_default();
    let hash = bytes.iter().chain(&salt).fold(0x811c_9dc5_u32, |h, b| (h ^ u32::from(*b)).wrapping_mul(0x0100_0193));
    let letters = b"bcdfghjklmnpqrstvwxz2456789";
    hash.to_string().bytes().map(|digit| char::from(letters[usize::from(digit) % letters.len()])).collect()
}

/// Creates `count` pods that `make` describes (by index), one at first, then twice as many at a time, until one fails.
/// Waits until the cache has seen what was made. How many were made, and what stopped it.
pub async fn create_slowly(
    api: &Api<Pod>,
    seen: &Store<Pod>,
    namespace: &str,
    count: usize,
    make: impl Fn(usize) -> Pod,
) -> (Vec<Pod>, Option<Status>) {
    let mut made = Vec::new();
    let mut failure = None;
    let mut batch = SLOW_START;
    let mut next = 0;
    while next < count && failure.is_none() {
        let upto = (next + batch).min(count);
        let pods: Vec<Pod> = (next..upto).map(&make).collect();
        for result in join_all(pods.iter().map(|pod| api.create(namespace, pod))).await {
            match result {
                Ok(pod) => made.push(pod),
                Err(status) => failure = Some(status),
            }
        }
        next = upto;
        batch *= 2;
    }
    if let Some(newest) = made.iter().map(Meta::revision).max() {
        seen.reached(newest).await;
    }
    (made, failure)
}

/// Deletes pods, each under its uid, and waits until the cache knows. A pod that is already gone is fine.
///
/// # Errors
/// The first refusal, after all were tried.
pub async fn delete_all(api: &Api<Pod>, seen: &Store<Pod>, pods: &[Arc<Pod>]) -> Result<(), Status> {
    let results = join_all(pods.iter().map(|pod| async move {
        let options = DeleteOptions::only(pod.uid());
        match api.delete(pod.namespace(), pod.name(), &options).await {
            // 409: the name now belongs to another pod, so ours is gone.
            Ok(_) => {
                seen.going(&pod.key(), pod.uid()).await;
                Ok(())
            }
            Err(status) if matches!(status.code, 404 | 409) => Ok(()),
            Err(status) => Err(status),
        }
    }));
    results.await.into_iter().collect()
}

/// Whether a template's labels and a pod's are the same but for one.
#[must_use]
pub fn same_labels_but(a: Option<&Labels>, b: Option<&Labels>, but: &str) -> bool {
    let strip = |l: Option<&Labels>| {
        l.into_iter().flatten().filter(|(k, _)| *k != but).map(|(k, v)| (k.clone(), v.clone())).collect::<Labels>()
    };
    strip(a) == strip(b)
}

/// The index of pods by node.
pub const BY_NODE: &str = "node";

/// Where a pod runs, for the index [`BY_NODE`].
#[must_use]
pub fn nodes(pod: &Pod) -> Vec<String> {
    pod.spec.iter().filter_map(|s| s.node_name.clone()).filter(|n| !n.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, phase: &str, node: &str, ready: &str) -> Arc<Pod> {
        let tree = json!({"metadata": {"name": name}, "spec": {"nodeName": node, "containers": []}, "status":
            {"phase": phase, "conditions": [{"type": "Ready", "status": ready,
             "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
        Arc::new(serde_json::from_value(tree).unwrap())
    }

    #[test]
    fn pods_that_do_least_are_removed_first() {
        let mut pods = vec![
            pod("ready", "Running", "n", "True"),
            pod("unready", "Running", "n", "False"),
            pod("pending", "Pending", "n", "False"),
            pod("unassigned", "Pending", "", "False"),
        ];
        rank_for_removal(&mut pods, |_| 0);
        let order: Vec<&str> = pods.iter().map(|p| p.name()).collect();
        assert_eq!(order, ["unassigned", "pending", "unready", "ready"]);
    }

    #[test]
    fn a_ready_pod_is_available_after_its_minimum_time() {
        let pod = pod("p", "Running", "n", "True");
        let now = "2026-01-01T00:00:04Z".parse().unwrap();
        assert_eq!(available_in(&pod, 10, now), Some(Duration::from_secs(6)));
        assert_eq!(available_in(&pod, 4, now), Some(Duration::ZERO));
    }

    #[test]
    fn the_hash_ignores_its_own_label_and_heeds_the_salt() {
        let template = |label: &str| -> PodTemplateSpec {
            serde_json::from_value(json!({"metadata": {"labels": {"app": "a", "h": label}}})).unwrap()
        };
        assert_eq!(template_hash(&template("x"), "h", None), template_hash(&template("y"), "h", None));
        assert_ne!(template_hash(&template("x"), "h", None), template_hash(&template("x"), "h", Some(1)));
    }
}
