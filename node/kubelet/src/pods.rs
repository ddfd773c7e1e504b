//! The pods of this node and their workers: one worker per uid, made when the pod comes, told of every change, gone with
//! the pod. New pods are judged here, one after the other, so that two cannot take the same place.
//!
//! It must not know what a worker does.

use crate::admit::{self, Place};
use crate::context::Context;
use crate::inbox::{Inbox, Verdict as Probed};
use crate::pod;
use crate::registry::Registry;
use crate::status::Verdict;
use crate::worker::{RETRY, Worker};
use api::Tree;
use client::{Change, Meta, Store};
use k8s_openapi::api::core::v1::{Node, Pod};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;

struct Held {
    inbox: Arc<Inbox>,
    pod: Arc<Pod>,
    turned_away: bool,
}

/// The pods.
pub struct Pods {
    ctx: Arc<Context>,
    registry: Arc<Registry>,
    nodes: Arc<Store<Node>>,
    stop: CancellationToken,
    held: Mutex<HashMap<String, Held>>,
}

impl Pods {
    /// No pods yet.
    #[must_use]
    pub fn new(
        ctx: Arc<Context>,
        registry: Arc<Registry>,
        nodes: Arc<Store<Node>>,
        stop: CancellationToken,
    ) -> Arc<Pods> {
        Arc::new(Pods { ctx, registry, nodes, stop, held: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a change of the API server's pods.
    pub fn change(self: &Arc<Self>, change: &Change<Pod>) {
        let new_uid = change.new.as_ref().map(|pod| pod.uid());
        if let Some(old) = change.old.as_ref().filter(|old| Some(old.uid()) != new_uid) {
            self.with(old.uid(), Inbox::gone);
        }
        let Some(pod) = change.new.clone() else { return };
        let mut held = self.lock();
        if let Some(there) = held.get_mut(pod.uid()) {
            there.pod = pod.clone();
            there.inbox.pod(pod);
            return;
        }
        let verdict = self.judge(&pod, &held);
        let inbox = Arc::new(Inbox::default());
        inbox.pod(pod.clone());
        let turned_away = verdict.is_some();
        held.insert(pod.uid().to_owned(), Held { inbox: inbox.clone(), pod: pod.clone(), turned_away });
        drop(held);
        tokio::spawn(self.clone().attend(pod, inbox, verdict));
    }

    /// Gives the pod a worker until it is gone, and a new one when that panics: a bug met by one pod must neither leave
    /// it alone nor touch the others. The new one finds everything as a restarted kubelet does.
    async fn attend(self: Arc<Self>, mut pod: Arc<Pod>, inbox: Arc<Inbox>, verdict: Option<Verdict>) {
        let mut failures = 0;
        loop {
            let (ctx, registry) = (self.ctx.clone(), self.registry.clone());
            let worker = Worker::new(ctx, registry, inbox.clone(), pod.clone(), verdict.clone());
            let Err(error) = tokio::spawn(worker.run(self.stop.clone())).await else { break };
            failures += 1;
            tracing::error!(pod = pod::full_name(&pod), %error, failures, "a pod's worker died and is replaced");
            tokio::select! {
                () = self.stop.cancelled() => break,
                () = tokio::time::sleep(RETRY.after(failures)) => {}
            }
            pod = self.lock().get(pod.uid()).map_or(pod.clone(), |held| held.pod.clone());
        }
        self.lock().remove(pod.uid());
    }

    /// Whether a pod that has not begun has a place here.
    fn judge(&self, pod: &Arc<Pod>, held: &HashMap<String, Held>) -> Option<Verdict> {
        let begun = pod.status.as_ref().is_some_and(|s| s.container_statuses.is_some() || s.start_time.is_some());
        if begun || pod.is_deleting() || pod::is_terminal(pod::phase(pod)) {
            return None;
        }
        let node = self.nodes.all().into_iter().next()?;
        let bytes = serde_json::to_vec(&*node).ok()?;
        let node = Tree::from_json(&bytes).ok()?.tree;
        let others = held.values().filter(|other| !other.turned_away).map(|other| &*other.pod);
        let verdict = admit::judge(pod, others, &Place { node: &node, pods_max: self.ctx.config.max_pods });
        if let Some(verdict) = &verdict {
            self.ctx.recorder.warning(&**pod, &verdict.reason, verdict.message.clone());
        }
        verdict
    }

    fn with(&self, uid: &str, act: impl FnOnce(&Inbox)) {
        if let Some(held) = self.lock().get(uid) {
            act(&held.inbox);
        }
    }

    /// Its containers may have changed.
    pub fn look(&self, uid: &str) {
        self.with(uid, Inbox::look);
    }

    /// All containers may have changed.
    pub fn look_at_all(&self) {
        self.lock().values().for_each(|held| held.inbox.look());
    }

    /// Something that it refers to changed.
    pub fn objects(&self, uid: &str) {
        self.with(uid, Inbox::objects);
    }

    /// A probe has spoken.
    pub fn probed(&self, uid: &str, verdict: Probed) {
        self.with(uid, |inbox| inbox.verdict(verdict));
    }

    /// Who is here.
    #[must_use]
    pub fn uids(&self) -> BTreeSet<String> {
        self.lock().keys().cloned().collect()
    }
}
