//! The node lifecycle controller: notices nodes that went silent by their leases, writes that into their conditions,
//! and turns conditions into taints. Behaviour as upstream's `pkg/controller/nodelifecycle`.
//!
//! It must not evict pods; `taint_eviction.rs` does.

use crate::context::{Context, Life, feed, seconds};
use crate::pod::{BY_NODE, condition, nodes};
use api::Status;
use client::{After, Meta, ObjectKey, Patch, Queue, Store};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod, Taint};
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Where nodes keep their leases.
pub const LEASES: &str = "kube-node-lease";
const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

/// Condition, its value, and the taint that keeps new pods away while it holds.
const TAINTS: &[(&str, &str, &str)] = &[
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
];
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// Conditions that a silent node can no longer vouch for.
const VOUCHED: &[&str] = &["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

fn truth<'a>(node: &'a Node, kind: &str) -> Option<&'a str> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|c| c.type_ == kind).map(|c| c.status.as_str())
}

/// The conditions of a silent node; `None` when they say so already.
#[must_use]
pub fn silenced(node: &Node, now: Timestamp) -> Option<Vec<NodeCondition>> {
    let old = node.status.as_ref().and_then(|s| s.conditions.clone()).unwrap_or_default();
    let mut new = old.clone();
    for kind in VOUCHED {
        let (reason, message) = match old.iter().any(|c| c.type_ == *kind) {
            true => ("NodeStatusUnknown", "Kubelet stopped posting node status."),
            false => ("NodeStatusNeverUpdated", "Kubelet never posted node status."),
        };
        let there = new.iter().position(|c| c.type_ == *kind);
        if there.is_some_and(|at| new[at].status == "Unknown") {
            continue;
        }
        let fresh = NodeCondition {
            type_: (*kind).to_owned(),
            status: "Unknown".to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_heartbeat_time: there.and_then(|at| new[at].last_heartbeat_time.clone()),
            last_transition_time: Some(seconds(now)),
        };
        match there {
            Some(at) => new[at] = fresh,
            None => new.push(fresh),
        }
    }
    (new != old).then_some(new)
}

/// The taints that a node's conditions call for; `None` when it has them. Taints of others stay.
#[must_use]
pub fn taints(node: &Node, now: Timestamp) -> Option<Vec<Taint>> {
    let holds = |kind: &str, value: &str| truth(node, kind) == Some(value);
    let taint = |key: &str, effect: &str| (key.to_owned(), effect.to_owned());
    let mut wanted: Vec<(String, String)> = TAINTS
        .iter()
        .filter(|(kind, value, _)| holds(kind, value))
        .map(|(_, _, key)| taint(key, "NoSchedule"))
        .collect();
    let drained = node.spec.as_ref().and_then(|s| s.unschedulable) == Some(true);
    wanted.extend(drained.then(|| taint(UNSCHEDULABLE, "NoSchedule")));
    wanted.extend(holds("Ready", "False").then(|| taint(NOT_READY, "NoExecute")));
    wanted.extend(holds("Ready", "Unknown").then(|| taint(UNREACHABLE, "NoExecute")));
    let ours = |t: &Taint| {
        let by_condition = TAINTS.iter().any(|(_, _, key)| t.key == *key) || t.key == UNSCHEDULABLE;
        (by_condition && t.effect == "NoSchedule")
            || ([NOT_READY, UNREACHABLE].contains(&t.key.as_str()) && t.effect == "NoExecute")
    };
    let old = node.spec.as_ref().and_then(|s| s.taints.clone()).unwrap_or_default();
    let mut new: Vec<Taint> =
        old.iter().filter(|t| !ours(t) || wanted.contains(&taint(&t.key, &t.effect))).cloned().collect();
    for (key, effect) in wanted {
        if !new.iter().any(|t| t.key == key && t.effect == effect) {
            new.push(Taint { key, effect, value: None, time_added: Some(seconds(now)) });
        }
    }
    (new != old).then_some(new)
}

/// When each node was last heard of, by our own clock, so that a wrong clock on a node does no harm.
#[derive(Default)]
struct Heard(Mutex<HashMap<String, (String, Instant)>>);

impl Heard {
    /// How long until a node counts as silent, given its newest sign of life.
    fn left(&self, node: &str, sign: String, grace: Duration) -> Duration {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let entry = heard.entry(node.to_owned()).or_insert_with(|| (sign.clone(), now));
        if entry.0 != sign {
            *entry = (sign, now);
        }
        (entry.1 + grace).saturating_duration_since(now)
    }

    fn forget(&self, node: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(node);
    }
}

/// Runs the controller.
pub fn start(context: Context) -> Life {
    Box::pin(async move {
        let queue = Arc::new(Queue::default());
        let all = context.informers.of::<Node>();
        let leases = context.informers.of::<Lease>();
        let pods = context.informers.of::<Pod>();
        pods.index(BY_NODE, nodes);
        feed(&all, &queue);
        let fed = queue.clone();
        leases.on_change(move |change| {
            if change.latest().namespace() == LEASES {
                fed.add(ObjectKey::new("", change.latest().name()));
            }
        });
        all.synced().await;
        leases.synced().await;
        pods.synced().await;
        let heard = Heard::default();
        let look = |key: ObjectKey| {
            let (context, leases, pods, heard) = (&context, &leases, &pods, &heard);
            let node = all.get(&key);
            async move {
                match node {
                    Some(node) => sync(context, leases, pods, heard, &node).await,
                    None => {
                        heard.forget(&key.name);
                        Ok(After::Done)
                    }
                }
            }
        };
        context.work("node-lifecycle", &queue, look).await;
    })
}

async fn sync(
    context: &Context,
    leases: &Store<Lease>,
    pods: &Store<Pod>,
    heard: &Heard,
    node: &Node,
) -> Result<After, Status> {
    let api = context.client.of::<Node>();
    let renewed =
        leases.find(LEASES, node.name()).and_then(|l| Some(l.spec.as_ref()?.renew_time.as_ref()?.0.to_string()));
    let ready = node.status.iter().flat_map(|s| s.conditions.iter().flatten()).find(|c| c.type_ == "Ready");
    let beat =
        ready.filter(|c| c.status != "Unknown").and_then(|c| c.last_heartbeat_time.as_ref()).map(|t| t.0.to_string());
    let sign = format!("{} {}", renewed.unwrap_or_default(), beat.unwrap_or_default());
    let left = heard.left(node.name(), sign, context.settings.node_grace);
    if left.is_zero()
        && let Some(conditions) = silenced(node, context.now())
    {
        let change =
            json!({"metadata": {"resourceVersion": node.resource_version()}, "status": {"conditions": conditions}});
        api.patch("", node.name(), "status", &Patch::Merge(change)).await?;
        context.events.normal(node, "NodeNotReady", format!("Node {} status is now: NodeNotReady", node.name()));
    }
    if let Some(taints) = taints(node, context.now()) {
        let change = json!({"metadata": {"resourceVersion": node.resource_version()}, "spec": {"taints": taints}});
        api.patch("", node.name(), "", &Patch::Merge(change)).await?;
    }
    if truth(node, "Ready").is_some_and(|t| t != "True") {
        doubt_pods(context, &pods.by(BY_NODE, node.name())).await?;
    }
    let silent = left.is_zero();
    Ok(if silent { After::Done } else { After::In(left) })
}

/// Pods of a node that is not ready are not ready either, so that Services leave them out.
async fn doubt_pods(context: &Context, pods: &[Arc<Pod>]) -> Result<(), Status> {
    let api = context.client.of::<Pod>();
    for pod in pods {
        if condition(pod, "Ready").is_none_or(|c| c.status != "True") {
            continue;
        }
        let change = json!({"metadata": {"uid": pod.uid()}, "status": {"conditions": [
            {"type": "Ready", "status": "False", "lastTransitionTime": seconds(context.now())}]}});
        match api.patch(pod.namespace(), pod.name(), "status", &Patch::Strategic(change)).await {
            Err(status) if !matches!(status.code, 404 | 409 | 422) => return Err(status),
            _ => (),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(ready: &str, taints: serde_json::Value, drained: bool) -> Node {
        serde_json::from_value(json!({"metadata": {"name": "n"}, "spec": {"taints": taints, "unschedulable": drained},
            "status": {"conditions": [{"type": "Ready", "status": ready}]}}))
        .unwrap()
    }

    fn told(node: &Node) -> Vec<String> {
        let taints = taints(node, "2026-01-01T00:00:00Z".parse().unwrap()).unwrap_or_default();
        taints.iter().map(|t| format!("{}:{}", t.key.trim_start_matches("node.kubernetes.io/"), t.effect)).collect()
    }

    #[test]
    fn conditions_become_taints_and_foreign_taints_stay() {
        let foreign = json!([{"key": "mine", "effect": "NoSchedule"}]);
        assert_eq!(
            told(&node("False", foreign.clone(), false)),
            ["mine:NoSchedule", "not-ready:NoSchedule", "not-ready:NoExecute"]
        );
        assert_eq!(
            told(&node("Unknown", json!([]), true)),
            ["unreachable:NoSchedule", "unschedulable:NoSchedule", "unreachable:NoExecute"]
        );
        assert!(told(&node("True", foreign, false)).is_empty());
        let was = json!([{"key": NOT_READY, "effect": "NoExecute"}, {"key": "mine", "effect": "NoSchedule"}]);
        assert_eq!(told(&node("True", was, false)), ["mine:NoSchedule"]);
    }

    #[test]
    fn a_silent_node_vouches_for_nothing() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut silent = node("True", json!([]), false);
        let conditions = silenced(&silent, now).unwrap();
        assert!(conditions.iter().all(|c| c.status == "Unknown") && conditions.len() == 4);
        silent.status.as_mut().unwrap().conditions = Some(conditions);
        assert!(silenced(&silent, now).is_none());
    }
}
