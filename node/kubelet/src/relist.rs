//! Hears of the engine's events and wakes the worker that they concern. A slow look at everything is the net below, and
//! finds what belongs to nobody any more.
//!
//! It must not know what the workers make of it.

use crate::context::Context;
use crate::cri::v1;
use crate::pods::Pods;
use crate::registry::Registry;
use crate::{labels, purge, rotate};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often everything is looked at although events come: an event may be lost when the engine's buffer is full.
pub const NET: Duration = Duration::from_secs(60);
/// How often everything is looked at when the engine has no events (containerd before 1.7; CRI-O, unless its
/// `enable_pod_events` is set): upstream's relist period.
pub const WITHOUT_EVENTS: Duration = Duration::from_secs(1);
/// The wait before the engine is asked again after its stream broke off; it restarts in a second or two.
pub const RECONNECT: Duration = Duration::from_millis(500);

/// What runs, so that a change is seen: ids and states by pod.
type Picture = BTreeMap<String, BTreeSet<(String, i32)>>;

/// The watch over the engine.
pub struct Relist {
    /// What all share.
    pub ctx: Arc<Context>,
    /// Who is woken.
    pub pods: Arc<Pods>,
    /// Who is told of rotated logs.
    pub registry: Arc<Registry>,
}

impl Relist {
    /// Watches until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let due = Notify::new();
        tokio::select! {
            () = stop.cancelled() => (),
            () = self.listen(&due) => (),
            () = self.look_on(&due) => (),
        }
    }

    /// Follows the engine's events for ever. After each pause a look is due: what happened in it was not told.
    async fn listen(&self, due: &Notify) {
        loop {
            let heard = self.follow().await;
            tokio::time::sleep(if heard { RECONNECT } else { WITHOUT_EVENTS }).await;
            due.notify_one();
        }
    }

    /// Looks at everything when it is due and at intervals, for ever. It never waits for the events: the engine may
    /// answer with the first one and not before.
    async fn look_on(&self, due: &Notify) {
        let mut picture = Picture::new();
        let mut tidied = None::<Instant>;
        loop {
            self.look(&mut picture).await;
            if tidied.is_none_or(|at| at.elapsed() >= NET) {
                tidied = Some(Instant::now());
                self.tidy().await;
            }
            tokio::select! {
                () = due.notified() => (),
                () = tokio::time::sleep(NET) => (),
            }
        }
    }

    /// Wakes workers until the engine's stream ends; whether it told of anything.
    async fn follow(&self) -> bool {
        let mut events = match self.ctx.cri.events().await {
            Ok(events) => events,
            Err(error) => {
                tracing::debug!(%error, "the engine has no events");
                return false;
            }
        };
        let mut heard = false;
        loop {
            match events.message().await {
                Ok(Some(event)) => {
                    heard = true;
                    let metadata = event.pod_sandbox_status.and_then(|status| status.metadata);
                    match metadata {
                        Some(metadata) => self.pods.look(&metadata.uid),
                        None => self.pods.look_at_all(),
                    }
                }
                Ok(None) => return heard,
                Err(status) => {
                    tracing::info!(%status, "the engine's events broke off");
                    return heard;
                }
            }
        }
    }

    /// Looks at everything and wakes those whose containers differ from before.
    async fn look(&self, picture: &mut Picture) {
        let sandboxes = self.ctx.cri.list_pod_sandbox(v1::ListPodSandboxRequest::default()).await;
        let containers = self.ctx.cri.list_containers(v1::ListContainersRequest::default()).await;
        let (sandboxes, containers) = match (sandboxes, containers) {
            (Ok(sandboxes), Ok(containers)) => (sandboxes.items, containers.containers),
            (Err(error), _) | (_, Err(error)) => return tracing::warn!(%error, "the engine could not be looked at"),
        };
        let sandboxes = sandboxes.into_iter().map(|s| (s.labels, s.id, s.state));
        let containers = containers.into_iter().map(|c| (c.labels, c.id, c.state));
        let mut now = Picture::new();
        for (mut labels, id, state) in sandboxes.chain(containers) {
            if let Some(uid) = labels.remove(labels::POD_UID) {
                now.entry(uid).or_default().insert((id, state));
            }
        }
        let changed = |uid: &&String| now.get(*uid) != picture.get(*uid);
        let uids: BTreeSet<&String> = now.keys().chain(picture.keys()).collect();
        uids.into_iter().filter(changed).for_each(|uid| self.pods.look(uid));
        *picture = now;
    }

    /// Takes away what belongs to no pod, and rotates logs.
    async fn tidy(&self) {
        // In this order: a pod that comes in between is known before its traces are.
        let found = purge::traces(&self.ctx).await;
        let known = self.pods.uids();
        match found {
            Ok(found) => {
                for uid in found.difference(&known) {
                    tracing::info!(uid, "the rest of a pod that is gone is taken away");
                    if let Err(error) = purge::pod(&self.ctx, uid).await {
                        tracing::warn!(uid, %error, "the rest of a pod could not be taken away");
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "what is left of pods could not be listed"),
        }
        rotate::all(&self.ctx, &self.registry).await;
    }
}
