//! Removes pods from nodes with a `NoExecute` taint that they do not tolerate, or no longer. Behaviour as upstream's
//! `pkg/controller/tainteviction`.
//!
//! It must not set taints.

use crate::context::{Context, Life, feed, span, tree, until};
use crate::pod::{BY_NODE, is_finished, nodes};
use crate::status;
use api::{Status, Tree};
use client::{After, DeleteOptions, Meta, ObjectKey, Queue};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, PodCondition, PodStatus};
use pods::taints::{Effect, Stay, stay};
use std::sync::Arc;
use std::time::Duration;

/// How long a pod may stay on its node; `None` for ever. Time runs from the oldest taint.
#[must_use]
pub fn left(pod: &Pod, node: &Node, now: Timestamp) -> Option<Duration> {
    let node_tree = tree(node);
    let taints: &[Tree] = node_tree.list_at(&["spec", "taints"]);
    let since = node.spec.iter().flat_map(|s| s.taints.iter().flatten()).filter(|t| t.effect == "NoExecute");
    let since = since.filter_map(|t| t.time_added.as_ref()).map(|t| t.0).min().unwrap_or(now);
    if !taints.iter().any(|taint| Effect::of(taint) == Some(Effect::NoExecute)) {
        return None;
    }
    match stay(&tree(pod), taints) {
        Stay::Forever => None,
        Stay::Never => Some(Duration::ZERO),
        Stay::Seconds(seconds) => Some(until(since + span(seconds), now)),
    }
}

/// Runs the controller.
pub fn start(context: Context) -> Life {
    Box::pin(async move {
        let queue = Arc::new(Queue::default());
        let all = context.informers.of::<Node>();
        let pods = context.informers.of::<Pod>();
        pods.index(BY_NODE, nodes);
        feed(&pods, &queue);
        let (fed, known) = (queue.clone(), pods.clone());
        all.on_change(move |change| {
            let taints = |n: &Arc<Node>| n.spec.as_ref().and_then(|s| s.taints.clone());
            if change.old.as_ref().map(taints) != change.new.as_ref().map(taints) {
                known.by(BY_NODE, change.latest().name()).iter().for_each(|pod| fed.add(pod.key()));
            }
        });
        all.synced().await;
        pods.synced().await;
        let look = |key: ObjectKey| {
            let pod = pods.get(&key).filter(|p| !p.is_deleting() && !is_finished(p));
            let node = pod.as_ref().and_then(|p| all.find("", p.spec.as_ref()?.node_name.as_deref()?));
            let context = &context;
            async move {
                match (pod, node) {
                    (Some(pod), Some(node)) => sync(context, &pod, &node).await,
                    _ => Ok(After::Done),
                }
            }
        };
        context.work("taint-eviction", &queue, look).await;
    })
}

async fn sync(context: &Context, pod: &Pod, node: &Node) -> Result<After, Status> {
    let Some(wait) = left(pod, node, context.now()) else { return Ok(After::Done) };
    if !wait.is_zero() {
        return Ok(After::In(wait));
    }
    let api = context.client.of::<Pod>();
    let old = pod.status.clone().unwrap_or_default();
    let mut conditions = old.conditions.clone().unwrap_or_default();
    conditions.retain(|c| c.type_ != "DisruptionTarget");
    conditions.push(PodCondition {
        type_: "DisruptionTarget".to_owned(),
        status: "True".to_owned(),
        reason: Some("DeletionByTaintManager".to_owned()),
        message: Some("Taint manager: deleting due to NoExecute taint".to_owned()),
        last_transition_time: Some(crate::context::seconds(context.now())),
        ..PodCondition::default()
    });
    let new = PodStatus { conditions: Some(conditions), ..old.clone() };
    match status::write(&api, pod, &old, &new, true).await {
        Err(status) if status.is_not_found() => return Ok(After::Done),
        other => other?,
    };
    context.events.normal(pod, "TaintManagerEviction", format!("Marking for deletion Pod {}", pod.key()));
    api.delete_if_there(pod.namespace(), pod.name(), &DeleteOptions::only(pod.uid())).await?;
    Ok(After::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_toleration_with_a_time_runs_from_the_taint() {
        let node: Node = serde_json::from_value(json!({"spec": {"taints": [
            {"key": "k", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"}]}}))
        .unwrap();
        let pod = |tolerations: serde_json::Value| -> Pod {
            serde_json::from_value(json!({"spec": {"containers": [], "tolerations": tolerations}})).unwrap()
        };
        let now = "2026-01-01T00:00:10Z".parse().unwrap();
        assert_eq!(left(&pod(json!([])), &node, now), Some(Duration::ZERO));
        assert_eq!(left(&pod(json!([{"operator": "Exists"}])), &node, now), None);
        let limited = json!([{"operator": "Exists", "tolerationSeconds": 30}]);
        assert_eq!(left(&pod(limited), &node, now), Some(Duration::from_secs(20)));
    }
}
