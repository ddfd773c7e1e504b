//! Layers into snapshots, so that a pod starts at once: prepare, apply, check, commit. The names and labels are those
//! that containerd's own unpacker gives, so the CRI and Docker find the image unpacked.

use super::fault::{at, found, made};
use super::manifest::Descriptor;
use super::plan::{Layer, Plan};
use super::{Digest, Fault, Images, Load, SNAPSHOTTER, call, call_for, spread};
use containerd_client::services::v1::ApplyRequest;
use containerd_client::services::v1::snapshots::{
    CommitSnapshotRequest, PrepareSnapshotRequest, RemoveSnapshotRequest, StatSnapshotRequest,
};
use containerd_client::types::Mount;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// How long one layer may take to unpack: gigabytes of small files on a slow disk under emulation.
const LAYER_WAIT: Duration = Duration::from_secs(1800);

/// Snapshots that a load holds. Whoever unpacks for it has this meanwhile.
pub(super) type Unpacked = Arc<Mutex<BTreeSet<Digest>>>;

/// How far to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// To the topmost layer.
    Top,
    /// To the first layer that cannot be unpacked by ourselves now.
    Lacking,
}

impl Images {
    /// Unpacks what is not yet unpacked of an image.
    ///
    /// # Errors
    /// `Invalid` when a layer does not unpack to what its configuration says; what containerd says.
    pub(super) async fn unpack(&self, load: &Load, plan: &Plan) -> Result<(), Fault> {
        self.unpack_until(Until::Top, load, plan, &self.unpacked(load)).await
    }

    /// The same, perhaps not to the top. `unpacked` is the load's.
    pub(super) async fn unpack_until(
        &self,
        until: Until,
        load: &Load,
        plan: &Plan,
        unpacked: &Unpacked,
    ) -> Result<(), Fault> {
        let mut unpacked = unpacked.lock().await;
        let from = match plan.layers.iter().rposition(|layer| unpacked.contains(&layer.chain)) {
            Some(top) => top + 1,
            None => self.hold_unpacked(load, plan).await?,
        };
        let mut parent = from.checked_sub(1).map(|below| &plan.layers[below].chain);
        unpacked.extend(parent.cloned());
        for layer in &plan.layers[from..] {
            if !self.unpack_layer(until, load, layer, parent).await? {
                return Ok(());
            }
            unpacked.insert(layer.chain.clone());
            parent = Some(&layer.chain);
        }
        Ok(())
    }

    /// Puts what is there of an image under the load's lease. How many of its layers that are: the topmost snapshot
    /// keeps all below it.
    async fn hold_unpacked(&self, load: &Load, plan: &Plan) -> Result<usize, Fault> {
        for (below, layer) in plan.layers.iter().enumerate().rev() {
            if self.is_unpacked(&layer.chain).await? {
                self.hold(load, &format!("snapshots/{SNAPSHOTTER}"), layer.chain.as_str()).await?;
                // It may have gone until it was held.
                if self.is_unpacked(&layer.chain).await? {
                    return Ok(below + 1);
                }
            }
        }
        Ok(0)
    }

    /// Whether a snapshot of this name is there.
    pub(super) async fn is_unpacked(&self, chain: &Digest) -> Result<bool, Fault> {
        let request = StatSnapshotRequest { snapshotter: SNAPSHOTTER.to_owned(), key: chain.to_string() };
        Ok(found("snapshots.Stat", self.client().snapshots().stat(call(request)).await)?.is_some())
    }

    /// Unpacks one layer. Whether it is: only when there was a way to go so far.
    async fn unpack_layer(
        &self,
        until: Until,
        load: &Load,
        layer: &Layer,
        parent: Option<&Digest>,
    ) -> Result<bool, Fault> {
        if let Some(plain) = self.plain(load, layer) {
            if self.fill(load, &layer.chain, parent, async |mounts| spread::here(plain, &mounts).await).await? {
                return Ok(true);
            }
            tracing::info!(diff = %layer.diff, "a layer of a kind that containerd has to unpack");
        }
        if until == Until::Lacking {
            return Ok(false);
        }
        self.landed(load, &layer.blob.digest).await?;
        let engine = async |mounts| self.apply(&layer.blob, &layer.diff, mounts).await.map(|()| true);
        self.fill(load, &layer.chain, parent, engine).await
    }

    /// Makes a snapshot with what `unpack` puts into it. Whether it could.
    async fn fill(
        &self,
        load: &Load,
        chain: &Digest,
        parent: Option<&Digest>,
        unpack: impl AsyncFnOnce(Vec<Mount>) -> Result<bool, Fault>,
    ) -> Result<bool, Fault> {
        // The load's name keeps it apart from another load that unpacks the same layer.
        let key = format!("extract-{} {chain}", load.lease());
        let request = PrepareSnapshotRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            key: key.clone(),
            parent: parent.map(Digest::to_string).unwrap_or_default(),
            labels: HashMap::new(),
        };
        let prepared = self.client().snapshots().prepare(call_for(load, request)).await;
        let mounts = prepared.map_err(at("snapshots.Prepare"))?.into_inner().mounts;
        let outcome = match unpack(mounts).await {
            Ok(true) => self.commit_snapshot(load, &key, chain).await.map(Some),
            Ok(false) => Ok(None),
            Err(fault) => Err(fault),
        };
        match outcome {
            Ok(Some(true)) => Ok(true),
            // Somebody else was faster; theirs is the same.
            Ok(Some(false)) => self.drop_snapshot(&key).await.map(|()| true),
            Ok(None) => self.drop_snapshot(&key).await.map(|()| false),
            Err(fault) => {
                if let Err(error) = self.drop_snapshot(&key).await {
                    tracing::warn!(key, %error, "a half-unpacked layer stays until its load expires");
                }
                Err(fault)
            }
        }
    }

    /// Has containerd unpack, and write out: a snapshot that is known must be there after a power cut, too.
    async fn apply(&self, layer: &Descriptor, diff: &Digest, mounts: Vec<Mount>) -> Result<(), Fault> {
        let mut request =
            call(ApplyRequest { diff: Some(layer.to_containerd()), mounts, payloads: HashMap::new(), sync_fs: true });
        request.set_timeout(LAYER_WAIT);
        let applied = self.client().diff().apply(request).await.map_err(at("diff.Apply"))?.into_inner().applied;
        let got = applied.map(|applied| applied.digest).unwrap_or_default();
        if got == diff.as_str() {
            return Ok(());
        }
        let message = format!("layer {} unpacks to {got}, its configuration says {diff}", layer.digest);
        Err(Fault::invalid("config", message))
    }

    async fn commit_snapshot(&self, load: &Load, key: &str, chain: &Digest) -> Result<bool, Fault> {
        let request = CommitSnapshotRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            name: chain.to_string(),
            key: key.to_owned(),
            ..CommitSnapshotRequest::default()
        };
        made("snapshots.Commit", self.client().snapshots().commit(call_for(load, request)).await)
    }

    async fn drop_snapshot(&self, key: &str) -> Result<(), Fault> {
        let request = RemoveSnapshotRequest { snapshotter: SNAPSHOTTER.to_owned(), key: key.to_owned() };
        found("snapshots.Remove", self.client().snapshots().remove(call(request)).await)?;
        Ok(())
    }
}
