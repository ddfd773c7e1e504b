//! The disruption controller: says in each PodDisruptionBudget how many pods may be evicted now, which the eviction
//! subresource takes from. Behaviour as upstream's `pkg/controller/disruption`.
//!
//! It must not evict.

mod budget;
mod stale;

use crate::context::{Context, Keys, Life, feed, selects};
use crate::status::write;
use api::Status;
use budget::{Scale, Sum};
use client::{After, Meta, ObjectKey, Store};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use std::sync::Arc;

/// What pods may be controlled by.
struct Owners {
    deployments: Arc<Store<Deployment>>,
    sets: Arc<Store<ReplicaSet>>,
    controllers: Arc<Store<ReplicationController>>,
    stateful: Arc<Store<StatefulSet>>,
}

/// Runs the controller.
pub fn start(context: Context) -> Life {
    Box::pin(async move {
        let (queue, pods_queue): (Keys, Keys) = (Arc::default(), Arc::default());
        let budgets = context.informers.of::<PodDisruptionBudget>();
        let pods = context.informers.of::<Pod>();
        let owners = Owners {
            deployments: context.informers.of(),
            sets: context.informers.of(),
            controllers: context.informers.of(),
            stateful: context.informers.of(),
        };
        feed(&budgets, &queue);
        let (fed, known, stale) = (queue.clone(), budgets.clone(), pods_queue.clone());
        pods.on_change(move |change| {
            let there = known.in_namespace(change.latest().namespace());
            for budget in there.iter().filter(|budget| change.sides().any(|pod| wants(budget, pod))) {
                fed.add(budget.key());
            }
            if change.new.as_ref().is_some_and(|pod| stale::marked(pod).is_some()) {
                stale.add(change.latest().key());
            }
        });
        budgets.synced().await;
        pods.synced().await;
        owners.synced().await;
        let look = |key: ObjectKey| {
            let (context, pods, owners, budget) = (&context, &pods, &owners, budgets.get(&key));
            async move {
                match budget {
                    Some(budget) => sync(context, pods, owners, &budget).await,
                    None => Ok(After::Done),
                }
            }
        };
        let look_at_pod = |key: ObjectKey| {
            let (context, pod) = (&context, pods.get(&key));
            async move {
                match pod {
                    Some(pod) => stale::sync(context, &pod).await,
                    None => Ok(After::Done),
                }
            }
        };
        tokio::join!(
            context.work("disruption", &queue, look),
            context.work("stale_pod_disruption", &pods_queue, look_at_pod),
        );
    })
}

fn wants(budget: &PodDisruptionBudget, pod: &Pod) -> bool {
    selects(budget.spec.as_ref().and_then(|s| s.selector.as_ref()), pod.metadata.labels.as_ref())
}

impl Owners {
    async fn synced(&self) {
        self.deployments.synced().await;
        self.sets.synced().await;
        self.controllers.synced().await;
        self.stateful.synced().await;
    }

    /// How many pods the controller of a pod wants. A Deployment counts for its sets, whose numbers change while it
    /// rolls.
    fn scale(&self, pod: &Pod) -> Scale {
        let Some(owner) = pod.controller() else { return Scale::Nobody };
        let namespace = pod.namespace();
        let known = |uid: &str, replicas: Option<i32>| Scale::Known(uid.to_owned(), replicas.unwrap_or(1));
        match owner.kind.as_str() {
            "ReplicaSet" => {
                let Some(set) = self.sets.find(namespace, &owner.name).filter(|set| set.uid() == owner.uid) else {
                    return Scale::Unknown;
                };
                let above = set.controller().filter(|above| above.kind == "Deployment");
                let above = above.and_then(|above| {
                    self.deployments.find(namespace, &above.name).filter(|found| found.uid() == above.uid)
                });
                match above {
                    Some(above) => known(above.uid(), above.spec.as_ref().and_then(|s| s.replicas)),
                    None => known(set.uid(), set.spec.as_ref().and_then(|s| s.replicas)),
                }
            }
            "ReplicationController" => {
                let found = self.controllers.find(namespace, &owner.name).filter(|found| found.uid() == owner.uid);
                found.map_or(Scale::Unknown, |c| known(c.uid(), c.spec.as_ref().and_then(|s| s.replicas)))
            }
            "StatefulSet" => {
                let found = self.stateful.find(namespace, &owner.name).filter(|found| found.uid() == owner.uid);
                found.map_or(Scale::Unknown, |s| known(s.uid(), s.spec.as_ref().and_then(|s| s.replicas)))
            }
            _ => Scale::Unknown,
        }
    }
}

async fn sync(
    context: &Context,
    pods: &Arc<Store<Pod>>,
    owners: &Owners,
    budget: &PodDisruptionBudget,
) -> Result<After, Status> {
    let mut chosen = pods.in_namespace(budget.namespace());
    chosen.retain(|pod| wants(budget, pod));
    if chosen.is_empty() {
        context.events.normal(budget, "NoPods", "No matching pods found");
    }
    let now = context.now();
    let (new, wait) = match budget::expected(budget, &chosen, |pod| owners.scale(pod)) {
        Ok(Sum { expected, desired, unmanaged }) => {
            if unmanaged {
                let text = "Pods selected by this PodDisruptionBudget were found to be unmanaged. As a result, the \
                            status of the PDB cannot be calculated correctly, which may result in undefined behavior. \
                            To account for these pods please set \".spec.minAvailable\" field of the PDB to an integer \
                            value.";
                context.events.warning(budget, "UnmanagedPods", text);
            }
            let (disrupted, late, wait) = budget::disrupted(budget, &chosen, now);
            for pod in late {
                let text = format!("Pod was expected by PDB {} to be deleted but it wasn't", budget.key());
                context.events.warning(pod.as_ref(), "NotDeleted", text);
            }
            (budget::status(budget, &chosen, (expected, desired), disrupted, now), wait)
        }
        // Better nobody is evicted than one too many.
        Err(why) => {
            let text = format!("Failed to calculate the number of expected pods: {why}");
            context.events.warning(budget, "CalculateExpectedPodCountFailed", text);
            (budget::unsafe_to_evict(budget, &why, now), None)
        }
    };
    let old = budget.status.clone().unwrap_or_default();
    write(&context.client.of::<PodDisruptionBudget>(), budget, &old, &new, true).await?;
    Ok(wait.map_or(After::Done, After::In))
}

#[cfg(test)]
mod tests;
