//! The thin shell: pods that wait, the picture of the cluster, bindings, conditions and events.
//!
//! It must not know filters or scores.

use crate::claims::{Needs, SELECTED_NODE, needs};
use crate::cluster::Cluster;
use crate::metrics::{ATTEMPTS, PENDING, SECONDS, TRIES};
use crate::pick::pick;
use crate::snapshot::PodView;
use ::metrics::Values;
use api::{Status, Tree};
use client::Boxed;
use client::backoff::Backoff;
use client::events::{About, Face};
use client::queue::work;
use client::{After, Client, Informers, Meta, ObjectKey, Patch, Queue, Recorder, Store};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use serde::Serialize;
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;

/// The scheduler's user, with a bootstrap role of its own.
pub const USER: &str = "system:kube-scheduler";
/// The name that pods ask for when they ask for none.
pub const NAME: &str = "default-scheduler";
/// Waits of a pod that fitted nowhere before it is tried again after an event, upstream's 1 s to 10 s.
pub const RETRY: Backoff =
    Backoff { first: std::time::Duration::from_secs(1), cap: std::time::Duration::from_secs(10) };

/// Reads the time of day.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

struct Shell {
    client: Client,
    events: Recorder,
    clock: Clock,
    pods: Arc<Store<Pod>>,
    claims: Arc<Store<PersistentVolumeClaim>>,
    volumes: Arc<Store<PersistentVolume>>,
    classes: Arc<Store<StorageClass>>,
    cluster: Mutex<Cluster>,
    queue: Arc<Queue<ObjectKey>>,
    metrics: Arc<Values>,
    /// Pods that fitted nowhere, with the tries so far.
    waiting: Mutex<HashMap<ObjectKey, Attempts>>,
    /// Pods that have a node and wait for volumes to be made on it: looked at again with every change of a claim.
    for_volumes: Mutex<HashSet<ObjectKey>>,
}

struct Attempts {
    uid: String,
    count: u32,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tree(value: &impl Serialize) -> Tree {
    let json = serde_json::to_vec(value).unwrap_or_default();
    Tree::from_json(&json).map(|decoded| decoded.tree).unwrap_or_default()
}

fn node_of(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|s| s.node_name.as_deref()).unwrap_or_default()
}

fn is_over(pod: &Pod) -> bool {
    matches!(pod.status.as_ref().and_then(|s| s.phase.as_deref()), Some("Succeeded" | "Failed"))
}

/// Whether the pod waits for us.
fn is_ours(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let named = spec.scheduler_name.as_deref().unwrap_or(NAME);
    let gated = spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty());
    node_of(pod).is_empty() && named == NAME && !gated && !pod.is_deleting() && !is_over(pod)
}

/// Schedules until told to stop, and counts in `metrics`.
pub fn run(client: Client, clock: Clock, metrics: Arc<Values>, stop: CancellationToken) -> Boxed<'static, ()> {
    Box::pin(schedule(client, clock, metrics, stop))
}

async fn schedule(client: Client, clock: Clock, metrics: Arc<Values>, stop: CancellationToken) {
    let informers = Informers::new(client.clone(), stop.clone());
    let nodes = informers.of::<Node>();
    let namespaces = informers.of::<Namespace>();
    let shell = Arc::new(Shell {
        events: Recorder::new(client.clone(), NAME, NAME, Face::Series, clock.clone()),
        client,
        clock,
        pods: informers.of(),
        claims: informers.of(),
        volumes: informers.of(),
        classes: informers.of(),
        cluster: Mutex::default(),
        queue: Arc::default(),
        metrics,
        waiting: Mutex::default(),
        for_volumes: Mutex::default(),
    });
    listen(&shell, &nodes, &namespaces);
    let synced = async {
        nodes.synced().await;
        namespaces.synced().await;
        shell.pods.synced().await;
        shell.claims.synced().await;
        shell.volumes.synced().await;
        shell.classes.synced().await;
    };
    tokio::select! {
        () = stop.cancelled() => return,
        () = synced => (),
    }
    let look = |key: ObjectKey| {
        let shell = shell.clone();
        async move {
            let result = shell.schedule(&key).await;
            shell.count_pending();
            result
        }
    };
    // One pod at a time: each decision has to see the one before.
    work("scheduler", shell.queue.clone(), 1, stop, look).await;
}

fn listen(shell: &Arc<Shell>, nodes: &Store<Node>, namespaces: &Store<Namespace>) {
    let here = shell.clone();
    nodes.on_change(move |change| {
        match &change.new {
            Some(node) => lock(&here.cluster).set_node(tree(node.as_ref())),
            None => lock(&here.cluster).remove_node(change.latest().name()),
        }
        if change.new.as_ref().is_some_and(|new| change.old.as_ref().is_none_or(|old| matters(old, new))) {
            here.wake();
        }
    });
    let here = shell.clone();
    namespaces.on_change(move |change| match &change.new {
        Some(namespace) => lock(&here.cluster).set_namespace(tree(namespace.as_ref())),
        None => lock(&here.cluster).remove_namespace(change.latest().name()),
    });
    let here = shell.clone();
    shell.pods.on_change(move |change| here.pod_changed(change.old.as_deref(), change.new.as_deref()));
    let here = shell.clone();
    shell.claims.on_change(move |_| {
        here.wake();
        lock(&here.for_volumes).drain().for_each(|key| here.queue.add(key));
    });
    let here = shell.clone();
    shell.volumes.on_change(move |_| here.wake());
}

/// Whether a node's change may make room: heartbeats do not.
fn matters(old: &Node, new: &Node) -> bool {
    let allocatable = |n: &Node| n.status.as_ref().and_then(|s| s.allocatable.clone());
    old.spec != new.spec || old.metadata.labels != new.metadata.labels || allocatable(old) != allocatable(new)
}

impl Shell {
    /// Gives every pod that fitted nowhere another try, after its back-off.
    fn wake(&self) {
        for (key, attempts) in lock(&self.waiting).iter() {
            self.queue.add_after(key.clone(), RETRY.after(attempts.count));
        }
    }

    fn pod_changed(&self, old: Option<&Pod>, new: Option<&Pod>) {
        let Some(latest) = new.or(old) else { return };
        let Some(pod) = new.filter(|pod| !is_over(pod)) else {
            lock(&self.waiting).remove(&latest.key());
            if lock(&self.cluster).remove_pod(latest.uid()) {
                self.wake();
            }
            return;
        };
        if !node_of(pod).is_empty() {
            lock(&self.waiting).remove(&pod.key());
            match PodView::new(tree(pod), true) {
                Ok(view) => lock(&self.cluster).place(view, node_of(pod)),
                Err(error) => tracing::warn!(pod = %pod.key(), %error, "a pod's requests cannot be read"),
            }
            // A pod that others want to be near has found its place, or changed its labels.
            if old.is_none_or(|old| old.metadata.labels != pod.metadata.labels || node_of(old).is_empty()) {
                self.wake();
            }
        } else if is_ours(pod)
            && old.is_none_or(|old| old.spec != pod.spec || old.metadata.labels != pod.metadata.labels)
        {
            self.queue.add(pod.key());
        }
    }

    async fn schedule(&self, key: &ObjectKey) -> Result<After, Status> {
        let Some(pod) = self.pods.get(key).filter(|pod| is_ours(pod)) else {
            lock(&self.waiting).remove(key);
            return Ok(After::Done);
        };
        let view = match PodView::new(tree(pod.as_ref()), false) {
            Ok(view) => view,
            Err(error) => return Err(Status::internal(format!("reading the requests of {key}: {error}"))),
        };
        let found = |name: &str| self.claims.find(pod.namespace(), name);
        let volume = |name: &str| self.volumes.find("", name);
        let waits = |class: &str| {
            let class = self.classes.find("", class);
            class.is_some_and(|c| c.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"))
        };
        let nodes = lock(&self.cluster).snapshot().nodes.keys().cloned().collect::<Vec<_>>();
        let Needs { reach, unmade, chosen } = match needs(&pod, found, volume, waits) {
            Ok(needs) => needs,
            Err(why) => {
                let failure = crate::Failure { nodes: nodes.len(), before: Some(why), ..crate::Failure::default() };
                return self.refuse(&pod, &failure.to_string()).await;
            }
        };
        // A node that is gone takes nothing any more; another is chosen then.
        if !unmade.is_empty() && chosen.as_ref().is_some_and(|node| nodes.contains(node)) {
            lock(&self.for_volumes).insert(key.clone());
            return Ok(After::Done);
        }
        let mut view = view;
        view.volumes = reach;
        let began = tokio::time::Instant::now();
        let picked = pick(lock(&self.cluster).snapshot(), &view);
        let (result, after) = match picked {
            Ok(node) if unmade.is_empty() => {
                let tries = lock(&self.waiting).get(key).map_or(0, |attempts| attempts.count) + 1;
                let bound = self.bind(&pod, view, &node).await;
                if bound.is_ok() {
                    self.metrics.observe(&TRIES, &[], f64::from(tries));
                }
                (if bound.is_ok() { "scheduled" } else { "error" }, bound)
            }
            // Not decided yet: it counts when the pod is bound.
            Ok(node) => return self.choose(key, &unmade, &node).await,
            Err(failure) => ("unschedulable", self.refuse(&pod, &failure.to_string()).await),
        };
        self.metrics.count(&ATTEMPTS, &[result, NAME]);
        self.metrics.observe(&SECONDS, &[result, NAME], began.elapsed().as_secs_f64());
        after
    }

    /// Tells how many pods wait, and for what.
    #[allow(clippy::cast_precision_loss, reason = "metrics are floating point")]
    fn count_pending(&self) {
        let (active, backoff) = self.queue.waiting();
        let unschedulable = lock(&self.waiting).len().saturating_sub(backoff);
        for (queue, count) in [("active", active), ("backoff", backoff), ("unschedulable", unschedulable)] {
            self.metrics.set(&PENDING, &[queue], count as f64);
        }
    }

    /// Tells the provisioner on which node the pod's volumes are to be; the pod is bound once they are there.
    async fn choose(
        &self,
        key: &ObjectKey,
        claims: &[Arc<PersistentVolumeClaim>],
        node: &str,
    ) -> Result<After, Status> {
        lock(&self.for_volumes).insert(key.clone());
        let api = self.client.of::<PersistentVolumeClaim>();
        let change = json!({"metadata": {"annotations": {SELECTED_NODE: node}}});
        for claim in claims {
            api.patch(claim.namespace(), claim.name(), "", &Patch::Merge(change.clone())).await?;
        }
        Ok(After::Done)
    }

    async fn bind(&self, pod: &Pod, view: PodView, node: &str) -> Result<After, Status> {
        lock(&self.cluster).place(view, node);
        let binding = json!({"apiVersion": "v1", "kind": "Binding",
            "metadata": {"name": pod.name(), "namespace": pod.namespace(), "uid": pod.uid()},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node}});
        let api = self.client.of::<Pod>();
        let bound: Result<Tree, Status> = api.create_sub(pod.namespace(), pod.name(), "binding", &binding).await;
        match bound {
            Ok(_) => {
                lock(&self.waiting).remove(&pod.key());
                let text = format!("Successfully assigned {} to {node}", pod.key());
                self.events.tell(About::of(pod), false, "Scheduled", "Binding", text);
                Ok(After::Done)
            }
            Err(status) => {
                lock(&self.cluster).remove_pod(pod.uid());
                if status.is_not_found() {
                    return Ok(After::Done);
                }
                let text = format!("binding rejected: {status}");
                self.events.tell(About::of(pod), true, "FailedScheduling", "Binding", text);
                Err(status)
            }
        }
    }

    /// Tells why the pod waits; it is tried again when something changes.
    async fn refuse(&self, pod: &Pod, why: &str) -> Result<After, Status> {
        {
            let mut waiting = lock(&self.waiting);
            let attempts = waiting.entry(pod.key()).or_insert(Attempts { uid: pod.uid().to_owned(), count: 0 });
            if attempts.uid != pod.uid() {
                *attempts = Attempts { uid: pod.uid().to_owned(), count: 0 };
            }
            attempts.count += 1;
        }
        self.events.tell(About::of(pod), true, "FailedScheduling", "Scheduling", why.to_owned());
        let conditions = pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
        let same = |c: &&k8s_openapi::api::core::v1::PodCondition| {
            c.type_ == "PodScheduled" && c.status == "False" && c.message.as_deref() == Some(why)
        };
        if conditions.into_iter().any(|c| same(&c)) {
            return Ok(After::Done);
        }
        let now = (self.clock)().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let change = json!({"metadata": {"uid": pod.uid()}, "status": {"conditions": [{"type": "PodScheduled",
            "status": "False", "reason": "Unschedulable", "message": why, "lastProbeTime": null,
            "lastTransitionTime": now, "observedGeneration": pod.metadata.generation}]}});
        let api = self.client.of::<Pod>();
        match api.patch(pod.namespace(), pod.name(), "status", &Patch::Strategic(change)).await {
            Err(status) if !matches!(status.code, 404 | 409 | 422) => Err(status),
            _ => Ok(After::Done),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use client::fake::Fake;

    /// Turns of the scheduler after which everything that can happen has happened.
    const TURNS: usize = 2000;

    async fn settle() {
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
    }

    fn pod(name: &str, cpu: &str) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": name, "namespace": "a"}, "spec": {"containers":
            [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}}))
        .unwrap()
    }

    fn node(cpu: &str) -> Node {
        serde_json::from_value(json!({"metadata": {"name": "n"}, "status": {"allocatable":
            {"cpu": cpu, "memory": "1Gi", "pods": "10"}}}))
        .unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_that_waits_for_its_pod_is_told_the_node_before_the_pod_is_bound() {
        let server = Fake::new();
        server.put(&node("4"));
        server.put(
            &serde_json::from_value::<StorageClass>(json!({"metadata": {"name": "late"},
            "provisioner": "x", "volumeBindingMode": "WaitForFirstConsumer"}))
            .unwrap(),
        );
        let claim = json!({"metadata": {"name": "data", "namespace": "a"}, "spec": {"storageClassName": "late"}});
        server.put(&serde_json::from_value::<PersistentVolumeClaim>(claim).unwrap());
        let mut pod = pod("p", "1");
        let volumes = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]);
        pod.spec.as_mut().unwrap().volumes = serde_json::from_value(volumes).unwrap();
        server.put(&pod);
        let stop = CancellationToken::new();
        let clock: Clock = Arc::new(|| "2026-01-01T00:00:00Z".parse().unwrap());
        let life = tokio::spawn(run(server.client(), clock, Arc::new(crate::metrics::values()), stop.clone()));
        settle().await;
        let claim = server.all::<PersistentVolumeClaim>().remove(0);
        assert_eq!(claim.annotation(SELECTED_NODE), Some("n"));
        assert_eq!(node_of(&server.all::<Pod>()[0]), "", "not before the volume is there");
        let bound = json!({"metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
            "spec": {"volumeName": "pv"}});
        server
            .put(&serde_json::from_value::<PersistentVolume>(json!({"metadata": {"name": "pv"}, "spec": {}})).unwrap());
        server.client().of::<PersistentVolumeClaim>().patch("a", "data", "", &Patch::Merge(bound)).await.unwrap();
        settle().await;
        assert_eq!(node_of(&server.all::<Pod>()[0]), "n");
        stop.cancel();
        life.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_waits_until_a_node_has_room_and_is_bound_then() {
        let server = Fake::new();
        server.put(&node("1"));
        server.put(&pod("p", "2"));
        let stop = CancellationToken::new();
        let clock: Clock = Arc::new(|| "2026-01-01T00:00:00Z".parse().unwrap());
        let life = tokio::spawn(run(server.client(), clock, Arc::new(crate::metrics::values()), stop.clone()));
        settle().await;
        let waiting = server.all::<Pod>().remove(0);
        let condition = waiting.status.unwrap().conditions.unwrap().remove(0);
        assert_eq!(condition.reason.as_deref(), Some("Unschedulable"));
        assert!(condition.message.unwrap().starts_with("0/1 nodes are available: 1 Insufficient cpu. preemption:"));
        server.put(&node("4"));
        tokio::time::sleep(RETRY.cap).await;
        settle().await;
        assert_eq!(node_of(&server.all::<Pod>()[0]), "n");
        stop.cancel();
        life.await.unwrap();
    }
}
