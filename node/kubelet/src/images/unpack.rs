//! Layers into snapshots, so that a pod starts at once: prepare, apply, check, commit. The names and labels are those
//! that containerd's own unpacker gives, so the CRI and Docker find the image unpacked.

use super::fault::{at, found, made};
use super::manifest::{Descriptor, chains};
use super::{Digest, Fault, Images, Load, SNAPSHOTTER, at_once, call, call_for, spread};
use containerd_client::services::v1::ApplyRequest;
use containerd_client::services::v1::snapshots::{
    CommitSnapshotRequest, PrepareSnapshotRequest, RemoveSnapshotRequest, StatSnapshotRequest,
};
use containerd_client::types::Mount;
use std::collections::HashMap;
use std::time::Duration;

/// How long one layer may take to unpack: gigabytes of small files on a slow disk under emulation.
const LAYER_WAIT: Duration = Duration::from_secs(1800);

impl Images {
    /// Unpacks what is not yet unpacked and gives the name of the topmost snapshot; `None` without layers.
    ///
    /// # Errors
    /// `Invalid` when a layer does not unpack to what its configuration says; what containerd says.
    pub(super) async fn unpack(
        &self,
        load: &Load,
        layers: &[Descriptor],
        diff_ids: &[Digest],
    ) -> Result<Option<Digest>, Fault> {
        let chains = chains(diff_ids);
        let unpacked = at_once(chains.iter().map(|chain| self.hold_unpacked(load, chain)).collect()).await?;
        let mut parent: Option<Digest> = None;
        for (((layer, diff), chain), is_unpacked) in layers.iter().zip(diff_ids).zip(chains).zip(unpacked) {
            if !is_unpacked {
                self.unpack_layer(load, layer, diff, &chain, parent.as_ref()).await?;
            }
            parent = Some(chain);
        }
        Ok(parent)
    }

    /// Puts a snapshot under the load's lease. Whether it is there.
    async fn hold_unpacked(&self, load: &Load, chain: &Digest) -> Result<bool, Fault> {
        self.hold(load, &format!("snapshots/{SNAPSHOTTER}"), chain.as_str()).await?;
        self.is_unpacked(chain).await
    }

    /// Whether a snapshot of this name is there.
    pub(super) async fn is_unpacked(&self, chain: &Digest) -> Result<bool, Fault> {
        let request = StatSnapshotRequest { snapshotter: SNAPSHOTTER.to_owned(), key: chain.to_string() };
        Ok(found("snapshots.Stat", self.client().snapshots().stat(call(request)).await)?.is_some())
    }

    async fn unpack_layer(
        &self,
        load: &Load,
        layer: &Descriptor,
        diff: &Digest,
        chain: &Digest,
        parent: Option<&Digest>,
    ) -> Result<(), Fault> {
        if let Some(plain) = self.plain(load, &layer.digest, diff) {
            if self.fill(load, chain, parent, async |mounts| spread::here(plain, &mounts).await).await? {
                return Ok(());
            }
            tracing::info!(%diff, "a layer of a kind that containerd has to unpack");
        }
        self.landed(load, &layer.digest).await?;
        let engine = async |mounts| self.apply(layer, diff, mounts).await.map(|()| true);
        self.fill(load, chain, parent, engine).await.map(drop)
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
