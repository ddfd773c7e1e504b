//! What is done of an image while parts of it are still on their way, as soon as its manifest and its configuration are
//! here: blobs become containerd's with their labels, and layers are unpacked. The last step finds it done; what failed
//! here it does, and tells.

use super::{Held, Kind};
use crate::images::fault::failed;
use crate::images::manifest::{CONFIG_BYTES_MAX, Config, Descriptor, MANIFEST_BYTES_MAX, Manifest};
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
        let read = async || match self.read_plan(held, manifest).await {
            Ok(plan) => plan.ok_or(()),
            Err(error) => {
                tracing::info!(%error, "the image of a load is looked at when it is whole");
                Err(())
            }
        };
        let plan = held.ahead.plan.get_or_try_init(read).await.ok()?;
        (plan.manifest == *manifest).then_some(plan)
    }

    async fn read_plan(&self, held: &Held, manifest: &Descriptor) -> Result<Option<Plan>, Fault> {
        let Some(bytes) = self.read_arrived(held, &manifest.digest, MANIFEST_BYTES_MAX).await? else {
            return Ok(None);
        };
        let parsed = Manifest::parse(&bytes)?;
        let config = self.read_arrived(held, &parsed.config.digest, CONFIG_BYTES_MAX).await?;
        let Some(config) = config else { return Ok(None) };
        Plan::of(manifest, parsed, &Config::parse(&config)?).map(Some)
    }

    /// A blob that has arrived with this load, or was there before.
    async fn read_arrived(&self, held: &Held, digest: &Digest, bytes_max: u64) -> Result<Option<Vec<u8>>, Fault> {
        let (parts, its) = (held.parts.clone(), digest.clone());
        let part = tokio::task::spawn_blocking(move || parts.content(Kind::Blob, &its, bytes_max));
        match part.await.map_err(failed("window"))?? {
            Some(content) => Ok(Some(content)),
            None => self.read(digest, bytes_max).await,
        }
    }
}
