//! The DaemonSet controller: one pod on every node that fits, replaced in turn when the template changes. Behaviour as
//! upstream's `pkg/controller/daemon`.
//!
//! It must not choose among nodes: each pod names its node, and the scheduler brings it there.

mod plan;
mod pods;
mod update;

use crate::context::{Context, Keys, Life, feed, feed_orphans, feed_owners, selects, tree};
use crate::history;
use crate::owner::{claim, controlled_by, lives, settle};
use crate::pod::{create_slowly, delete_all};
use crate::replica::BURST;
use crate::status::write;
use api::Status;
use client::backoff::Backoff;
use client::{After, Meta, ObjectKey, Queue, Store};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use plan::{Changes, Place, View};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Waits before another failed pod of one node is removed: a kubelet that refuses the pod would otherwise keep both of
/// us busy. Upstream's.
const FAILED: Backoff = Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(15 * 60) };

/// Failed pods of one node that were removed, and when the last was.
struct Failures {
    count: u32,
    last: Timestamp,
}

struct Shell<'a> {
    context: &'a Context,
    nodes: &'a Arc<Store<Node>>,
    pods: &'a Arc<Store<Pod>>,
    history: &'a Arc<Store<ControllerRevision>>,
    /// By set, then by node; what a set's nodes had goes with the set.
    failures: Mutex<HashMap<ObjectKey, HashMap<String, Failures>>>,
}

/// Runs the controller.
pub fn start(context: Context) -> Life {
    Box::pin(async move {
        let queue = Arc::new(Queue::default());
        let sets = context.informers.of::<DaemonSet>();
        let nodes = context.informers.of::<Node>();
        let pods = context.informers.of::<Pod>();
        let history = context.informers.of::<ControllerRevision>();
        feed(&sets, &queue);
        feed_owners(&pods, &queue, "DaemonSet");
        feed_orphans(&pods, &sets, &queue, |set: &DaemonSet, pod: &Pod| wants(set, pod));
        feed_nodes(&nodes, &sets, &queue);
        sets.synced().await;
        nodes.synced().await;
        pods.synced().await;
        history.synced().await;
        let shell =
            Shell { context: &context, nodes: &nodes, pods: &pods, history: &history, failures: Mutex::default() };
        let look = |key: ObjectKey| {
            let (shell, set) = (&shell, sets.get(&key));
            async move {
                match set {
                    Some(set) => shell.sync(&set).await,
                    None => {
                        shell.failures().remove(&key);
                        Ok(After::Done)
                    }
                }
            }
        };
        context.work("daemonset", &queue, look).await;
    })
}

/// Wants every set looked at when a node comes, goes, or becomes another place for pods. Heartbeats are none.
fn feed_nodes(nodes: &Arc<Store<Node>>, sets: &Arc<Store<DaemonSet>>, queue: &Keys) {
    let (sets, queue) = (sets.clone(), queue.clone());
    nodes.on_change(move |change| {
        if let (Some(old), Some(new)) = (&change.old, &change.new)
            && old.spec == new.spec
            && old.metadata.labels == new.metadata.labels
        {
            return;
        }
        sets.all().iter().for_each(|set| queue.add(set.key()));
    });
}

fn wants(set: &DaemonSet, pod: &Pod) -> bool {
    selects(set.spec.as_ref().map(|s| &s.selector), pod.metadata.labels.as_ref())
}

impl Shell<'_> {
    fn failures(&self) -> MutexGuard<'_, HashMap<ObjectKey, HashMap<String, Failures>>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn sync(&self, set: &DaemonSet) -> Result<After, Status> {
        let Some(spec) = &set.spec else { return Ok(After::Done) };
        if spec.selector == LabelSelector::default() {
            let text = "This daemon set is selecting all pods. A non-empty selector is required.";
            self.context.events.warning(set, "SelectingAll", text);
            return Ok(After::Done);
        }
        // Its history may go before its pods do, so nothing certain can be said of it any more.
        if set.is_deleting() {
            return Ok(After::Done);
        }
        let owned = self.claim(set).await?;
        let selector = spec.selector.clone();
        let takes = move |r: &ControllerRevision| selects(Some(&selector), r.metadata.labels.as_ref());
        let mut revisions = history::list(self.context, self.history, set, takes).await?;
        let current =
            history::current(self.context, self.history, set, &spec.template, history::LABEL, &mut revisions).await?;
        let hash = current.label(history::LABEL).unwrap_or(current.name()).to_owned();
        let places = self.places(set);
        let mut trouble = self.manage(set, &View::new(set, &hash, &places, owned, self.context.now())).await.err();
        if trouble.is_none() {
            let view = View::new(set, &hash, &places, self.mine(set), self.context.now());
            trouble = self.carry_out(set, &hash, update::roll(&view)).await.err();
        }
        let view = View::new(set, &hash, &places, self.mine(set), self.context.now());
        let old = set.status.clone().unwrap_or_default();
        write(&self.context.client.of::<DaemonSet>(), set, &old, &view.status(&old), false).await?;
        if let Some(status) = trouble {
            return Err(status);
        }
        self.clean_up(spec.revision_history_limit.unwrap_or(10), &revisions, &hash, &view).await?;
        let held = plan::manage(&view, |node| self.held(set, node)).wait;
        Ok(view.due_in().into_iter().chain(held).min().map_or(After::Done, After::In))
    }

    async fn claim(&self, set: &DaemonSet) -> Result<Vec<Arc<Pod>>, Status> {
        let sets = self.context.client.of::<DaemonSet>();
        let claimed = claim(set.uid(), false, self.pods.in_namespace(set.namespace()), |pod| wants(set, pod));
        settle(&self.context.client.of(), &controlled_by(set), claimed, lives(&sets, set)).await
    }

    fn mine(&self, set: &DaemonSet) -> Vec<Arc<Pod>> {
        self.pods.owned_by(set.uid()).into_iter().filter(|pod| wants(set, pod)).collect()
    }

    fn places(&self, set: &DaemonSet) -> Vec<Place> {
        let probe = tree(&pods::probe(set));
        let mut places: Vec<Place> =
            self.nodes.all().iter().map(|node| plan::place(&probe, &tree(node.as_ref()))).collect();
        places.sort_by(|a, b| a.name.cmp(&b.name));
        places
    }

    /// How long a failed pod on a node stays, because others failed there before it.
    fn held(&self, set: &DaemonSet, node: &str) -> Option<Duration> {
        let failures = self.failures();
        let failed = failures.get(&set.key())?.get(node)?;
        let until = failed.last + jiff::SignedDuration::try_from(FAILED.after(failed.count)).ok()?;
        Some(crate::context::until(until, self.context.now())).filter(|wait| !wait.is_zero())
    }

    /// Brings the number of pods on each node to one.
    async fn manage(&self, set: &DaemonSet, view: &View<'_>) -> Result<(), Status> {
        let changes = plan::manage(view, |node| self.held(set, node));
        for (node, pod) in &changes.failed {
            let text = format!("Found failed daemon pod {} on node {node}, will try to kill it", pod.key());
            self.context.events.warning(set, "FailedDaemonPod", text);
            let now = self.context.now();
            let mut failures = self.failures();
            let of_node = failures.entry(set.key()).or_default();
            let failed = of_node.entry(node.clone()).or_insert(Failures { count: 0, last: now });
            // Long after the last failure this one is the first again, as upstream forgets.
            let quiet = crate::context::until(now, failed.last) > FAILED.cap * 2;
            *failed = Failures { count: if quiet { 1 } else { failed.count + 1 }, last: now };
        }
        for (node, pod) in &changes.succeeded {
            let text = format!("Found succeeded daemon pod {} on node {node}, will try to delete it", pod.key());
            self.context.events.normal(set, "SucceededDaemonPod", text);
        }
        self.carry_out(set, view.hash, changes).await
    }

    async fn carry_out(&self, set: &DaemonSet, hash: &str, mut changes: Changes) -> Result<(), Status> {
        let api = self.context.client.of::<Pod>();
        changes.create.truncate(BURST);
        changes.delete.truncate(BURST);
        let make = |at: usize| pods::make(set, hash, &changes.create[at]);
        let (made, failure) = create_slowly(&api, self.pods, set.namespace(), changes.create.len(), make).await;
        for pod in &made {
            self.context.events.normal(set, "SuccessfulCreate", format!("Created pod: {}", pod.name()));
        }
        delete_all(&api, self.pods, &changes.delete).await?;
        for pod in &changes.delete {
            self.context.events.normal(set, "SuccessfulDelete", format!("Deleted pod: {}", pod.name()));
        }
        match failure {
            Some(status) if !crate::serviceaccount::refuses(&status) => {
                self.context.events.warning(set, "FailedCreate", format!("Error creating: {status}"));
                Err(status)
            }
            _ => Ok(()),
        }
    }

    /// Removes old revisions beyond the limit that no pod has.
    async fn clean_up(
        &self,
        limit: i32,
        revisions: &[Arc<ControllerRevision>],
        hash: &str,
        view: &View<'_>,
    ) -> Result<(), Status> {
        let used = |name: &str| {
            let own = revisions.iter().find(|r| r.name() == name).and_then(|r| r.label(history::LABEL));
            own == Some(hash) || view.all().any(|pod| pod.label(history::LABEL) == own)
        };
        history::truncate(self.context, revisions, limit, used).await
    }
}

#[cfg(test)]
mod tests;
