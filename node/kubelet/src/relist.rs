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
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;

/// How often everything is looked at although events come: an event may be lost when the engine's buffer is full.
pub const NET: Duration = Duration::from_secs(60);
/// How often everything is looked at when the engine has no events (containerd before 1.7): upstream's relist period.
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
        let mut picture = Picture::new();
        tokio::select! {
            () = stop.cancelled() => (),
            () = self.watch(&mut picture) => (),
        }
    }

    async fn watch(&self, picture: &mut Picture) {
        let mut tidied = None::<Instant>;
        loop {
            // The stream first: what happens between the two is then not lost.
            let events = self.ctx.cri.events().await;
            self.look(picture).await;
            if tidied.is_none_or(|at| at.elapsed() >= NET) {
                tidied = Some(Instant::now());
                self.tidy().await;
            }
            match events {
                Ok(events) => {
                    self.follow(events).await;
                    tokio::time::sleep(RECONNECT).await;
                }
                Err(error) => {
                    tracing::debug!(%error, "the engine has no events");
                    tokio::time::sleep(WITHOUT_EVENTS).await;
                }
            }
        }
    }

    /// Wakes workers until the stream ends or it is time to look at everything.
    async fn follow(&self, mut events: Streaming<v1::ContainerEventResponse>) {
        let net = tokio::time::sleep(NET);
        tokio::pin!(net);
        loop {
            let event = tokio::select! {
                () = &mut net => return,
                event = events.message() => event,
            };
            match event {
                Ok(Some(event)) => {
                    let metadata = event.pod_sandbox_status.and_then(|status| status.metadata);
                    match metadata {
                        Some(metadata) => self.pods.look(&metadata.uid),
                        None => self.pods.look_at_all(),
                    }
                }
                Ok(None) => return,
                Err(status) => {
                    tracing::info!(%status, "the engine's events broke off");
                    return;
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
