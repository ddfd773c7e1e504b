//! What is done of an image while parts of it are still on their way, as soon as its manifest and its configuration are
//! here: blobs become containerd's with their labels, and layers are unpacked. The last step finds it done; what failed
//! here it does, and tells.

use super::{Held, Kind};
use crate::images::fault::failed;
use crate::images::manifest::Descriptor;
use crate::images::plan::{Labels, Plan};
use crate::images::unpack::{Unpacked, Until};
use crate::images::{Digest, Fault, Images, Load};
use tokio::sync::OnceCell;

/// What a load knows and has before its image is asked for.
#[derive(Debug, Default)]
pub struct Ahead {
    plan: OnceCell<Plan>,
    unpacked: Unpacked,
}

impl Images {
    /// The snapshots that a load holds.
    pub(in crate::images) fn unpacked(&self, load: &Load) -> Unpacked {
        let held = self.landing.as_ref().and_then(|landing| landing.held(load));
        held.map(|held| held.ahead.unpacked.clone()).unwrap_or_default()
    }

    /// The labels of a blob; none as long as they are not known.
    pub(super) async fn labels_ahead(&self, held: &Held, manifest: Option<&Descriptor>, blob: &Digest) -> Labels {
        let Some(manifest) = manifest else { return Labels::new() };
        let plan = self.plan_ahead(held, manifest).await;
        plan.and_then(|plan| plan.labels.get(blob).cloned()).unwrap_or_default()
    }

    /// Begins to unpack the layers that are here, in their order.
    pub(super) fn unpack_ahead(&self, held: Held, manifest: Descriptor) {
        let images = self.clone();
        tokio::spawn(async move {
            let Some(plan) = images.plan_ahead(&held, &manifest).await else { return };
            if let Err(error) = images.unpack_until(Until::Lacking, &held.load, plan, &held.ahead.unpacked).await {
                tracing::info!(%error, "the layers of a load are unpacked at its end");
            }
        });
    }

    /// The plan of a load's image; none as long as parts of it are missing.
    async fn plan_ahead<'a>(&self, held: &'a Held, manifest: &Descriptor) -> Option<&'a Plan> {
        match held.ahead.plan.get_or_try_init(|| self.read_plan(&held.load, manifest)).await {
            Ok(plan) => Some(plan).filter(|plan| plan.manifest == *manifest),
            // What it is of is still on its way.
            Err(Fault::NotFound(_)) => None,
            Err(error) => {
                tracing::info!(%error, "the image of a load is looked at when it is whole");
                None
            }
        }
    }

    /// The plan that was made ahead for an image.
    pub(in crate::images) fn planned(&self, load: &Load, manifest: &Descriptor) -> Option<Plan> {
        let held = self.landing.as_ref().and_then(|landing| landing.held(load))?;
        held.ahead.plan.get().filter(|plan| plan.manifest == *manifest).cloned()
    }

    /// All of a short blob that came through the window with this load.
    pub(in crate::images) async fn arrived_content(
        &self,
        load: &Load,
        digest: &Digest,
        bytes_max: u64,
    ) -> Result<Option<Vec<u8>>, Fault> {
        let Some(held) = self.landing.as_ref().and_then(|landing| landing.held(load)) else { return Ok(None) };
        let digest = digest.clone();
        let part = tokio::task::spawn_blocking(move || held.parts.content(Kind::Blob, &digest, bytes_max));
        part.await.map_err(failed("window"))?
    }
}
