//! Removes pods that nobody will remove: of nodes that are gone, and the oldest finished ones beyond a limit. Behaviour
//! as upstream's `pkg/controller/podgc`, woken by changes instead of a clock.
//!
//! It must not touch pods that a node still looks after.

use crate::context::{Context, Life};
use crate::pod::is_finished;
use api::Status;
use client::{After, DeleteOptions, Meta, ObjectKey, Queue};
use k8s_openapi::api::core::v1::{Node, Pod};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How long a node may be absent before its pods go, as upstream: it may only be registering anew.
pub const QUARANTINE: Duration = Duration::from_secs(40);

/// The pods to remove, by kind of reason: on absent nodes, and too many finished ones.
#[must_use]
pub fn plan(pods: &[Arc<Pod>], nodes: &BTreeSet<String>, finished_max: usize) -> (Vec<Arc<Pod>>, Vec<Arc<Pod>>) {
    let node = |p: &Pod| p.spec.as_ref().and_then(|s| s.node_name.clone()).unwrap_or_default();
    let lost = pods.iter().filter(|p| !node(p).is_empty() && !nodes.contains(&node(p))).cloned().collect();
    let mut finished: Vec<Arc<Pod>> = pods.iter().filter(|p| is_finished(p) && !p.is_deleting()).cloned().collect();
    finished.sort_by_key(|p| (p.metadata.creation_timestamp.clone(), p.name().to_owned()));
    finished.truncate(finished.len().saturating_sub(finished_max));
    let unscheduled = |p: &&Arc<Pod>| p.is_deleting() && node(p).is_empty();
    finished.extend(pods.iter().filter(unscheduled).cloned());
    (lost, finished)
}

/// Runs the controller.
pub fn start(context: Context) -> Life {
    Box::pin(async move {
        let queue = Arc::new(Queue::default());
        let all = ObjectKey::default();
        let pods = context.informers.of::<Pod>();
        let nodes = context.informers.of::<Node>();
        let (fed, key) = (queue.clone(), all.clone());
        pods.on_change(move |change| {
            if change.new.as_ref().is_some_and(|p| is_finished(p) || p.is_deleting()) {
                fed.add(key.clone());
            }
        });
        let (fed, key) = (queue.clone(), all.clone());
        nodes.on_change(move |change| {
            if change.new.is_none() {
                fed.add_after(key.clone(), QUARANTINE);
            }
        });
        pods.synced().await;
        nodes.synced().await;
        // Nodes may have gone while nobody looked.
        queue.add_after(all, QUARANTINE);
        let began = tokio::time::Instant::now();
        let look = |_: ObjectKey| {
            let names: BTreeSet<String> = nodes.all().iter().map(|n| n.name().to_owned()).collect();
            let (context, seen) = (&context, pods.all());
            let known_long = began.elapsed() >= QUARANTINE;
            async move {
                let (lost, surplus) = plan(&seen, &names, context.settings.terminated_pods_max);
                let api = context.client.of::<Node>();
                for pod in lost.iter().filter(|_| known_long) {
                    let node = pod.spec.as_ref().and_then(|s| s.node_name.clone()).unwrap_or_default();
                    if api.find("", &node).await?.is_none() {
                        remove(context, pod).await?;
                    }
                }
                for pod in &surplus {
                    remove(context, pod).await?;
                }
                Ok(After::Done)
            }
        };
        context.work("pod-garbage-collector", &queue, look).await;
    })
}

async fn remove(context: &Context, pod: &Pod) -> Result<(), Status> {
    let options = DeleteOptions::only(pod.uid()).grace(0);
    match context.client.of::<Pod>().delete_if_there(pod.namespace(), pod.name(), &options).await {
        Err(status) if !status.is_conflict() => Err(status),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lost_pods_and_old_finished_ones_go() {
        let pod = |name: &str, node: &str, phase: &str| -> Arc<Pod> {
            Arc::new(
                serde_json::from_value(
                    json!({"metadata": {"name": name}, "spec": {"nodeName": node, "containers": []},
                "status": {"phase": phase}}),
                )
                .unwrap(),
            )
        };
        let pods = [
            pod("a", "n", "Running"),
            pod("b", "gone", "Running"),
            pod("c", "n", "Failed"),
            pod("d", "n", "Succeeded"),
        ];
        let (lost, surplus) = plan(&pods, &BTreeSet::from(["n".to_owned()]), 1);
        let names = |pods: &[Arc<Pod>]| pods.iter().map(|p| p.name().to_owned()).collect::<Vec<_>>();
        assert_eq!((names(&lost), names(&surplus)), (vec!["b".to_owned()], vec!["c".to_owned()]));
    }
}
