//! The last step of a load: what has arrived becomes an image. When it returns, the image is unpacked, known to the CRI
//! under all its names, and kept by containerd's garbage collector.

use super::fault::{at, made};
use super::manifest::{CONFIG_BYTES_MAX, Config, Descriptor, MANIFEST_BYTES_MAX, Manifest};
use super::plan::{Labels, Plan};
use super::{Digest, Fault, Images, Load, at_once, call, normalise};
use containerd_client::services::v1::{CreateImageRequest, Image, UpdateImageRequest};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};

/// Names of one image. Archives with more are no archives of one image.
pub const NAMES_MAX: usize = 64;
/// With this label the CRI marks what it manages. It gives it itself, as part of taking an image on.
const MANAGED: &str = "io.cri-containerd.image";
/// With this label and this value an image is never collected.
pub(super) const PINNED: (&str, &str) = ("io.cri-containerd.pinned", "pinned");

/// What a load ends in.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Target {
    /// The load.
    pub load: Load,
    /// What the image shall be called.
    pub names: Vec<String>,
    /// Its manifest, which has been ingested like any blob.
    pub manifest: Descriptor,
}

/// An image that has been made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finished {
    /// Its names, written out.
    pub names: Vec<String>,
    /// Its manifest.
    pub digest: Digest,
    /// Its configuration, which is what the CRI calls its ID.
    pub id: Digest,
}

impl Images {
    /// Makes the image and ends the load.
    ///
    /// # Errors
    /// `Invalid` for wrong names, content that is no image for this machine, or layers that are not what they say;
    /// `NotFound` when a blob is missing or the load has expired; what containerd says.
    pub async fn finish(&self, target: &Target) -> Result<Finished, Fault> {
        self.finish_with(target, HashMap::new()).await
    }

    pub(super) async fn finish_with(
        &self,
        target: &Target,
        labels: HashMap<String, String>,
    ) -> Result<Finished, Fault> {
        if target.names.is_empty() || target.names.len() > NAMES_MAX {
            let message = format!("{} names; an image here has 1 to {NAMES_MAX}", target.names.len());
            return Err(Fault::invalid("names", message));
        }
        let names = target.names.iter().map(|name| normalise(name)).collect::<Result<BTreeSet<_>, _>>()?;
        let load = &target.load;
        let plan = self.plan(load, &target.manifest).await?;
        let parts = at_once(plan.parts().map(|part| self.complete(load, part)).collect());
        // Both to their ends: half a step of unpacking would be in the way of the next attempt.
        let (parts, unpacked) = tokio::join!(parts, self.unpack(load, &plan));
        // A layer may be in an image many times.
        let parts: HashMap<Digest, Labels> = parts?.into_iter().collect();
        unpacked?;
        // Each change is a wait for the disk: only what lacks labels gets them.
        let lacking = parts
            .into_iter()
            .filter_map(|(part, there)| plan.lacking(&part, &there).map(|labels| (part, labels.clone())));
        at_once(lacking.map(|(part, labels)| self.label(part, labels)).collect()).await?;
        at_once(names.iter().map(|name| self.record(name, &target.manifest, &labels)).collect()).await?;
        // Its names hold it from here on, and nobody needs to wait for the end of the load alone.
        let id = plan.config.digest;
        let adopted = at_once(names.iter().map(|name| self.adopted(name, &id)).collect());
        tokio::try_join!(adopted, self.close(load))?;
        Ok(Finished { names: names.into_iter().collect(), digest: target.manifest.digest.clone(), id })
    }

    /// Ends a load: what is left of it goes.
    async fn close(&self, load: &Load) -> Result<(), Fault> {
        self.close_window(load).await;
        self.close_lease(load).await
    }

    /// The plan of the image with this manifest.
    async fn plan(&self, load: &Load, manifest: &Descriptor) -> Result<Plan, Fault> {
        if !manifest.is_manifest() {
            let message = format!("{} is no manifest of one image", manifest.media_type);
            return Err(Fault::invalid("manifest.mediaType", message));
        }
        match self.planned(load, manifest) {
            Some(plan) => Ok(plan),
            None => self.read_plan(load, manifest).await,
        }
    }

    /// Puts the plan together from what has been sent.
    ///
    /// # Errors
    /// `NotFound` when manifest or configuration have not, `Invalid` when they are none, or not for this machine.
    pub(super) async fn read_plan(&self, load: &Load, manifest: &Descriptor) -> Result<Plan, Fault> {
        let parsed = Manifest::parse(&self.read_sent(load, &manifest.digest, MANIFEST_BYTES_MAX).await?)?;
        let config = Config::parse(&self.read_sent(load, &parsed.config.digest, CONFIG_BYTES_MAX).await?)?;
        Plan::of(manifest, parsed, &config)
    }

    async fn read_sent(&self, load: &Load, digest: &Digest, bytes_max: u64) -> Result<Vec<u8>, Fault> {
        let content = match self.arrived_content(load, digest, bytes_max).await? {
            Some(content) => Some(content),
            None => self.read(digest, bytes_max).await?,
        };
        content.ok_or_else(|| Fault::NotFound(format!("blob {digest} has not been sent")))
    }

    /// Checks that a blob is there with the promised length. Its name and its labels.
    async fn complete(&self, load: &Load, descriptor: &Descriptor) -> Result<(Digest, Labels), Fault> {
        let landed = self.landed(load, &descriptor.digest).await;
        let Some(info) = self.info(&descriptor.digest).await? else {
            let why = landed.err().map(|error| format!(": {error}")).unwrap_or_default();
            return Err(Fault::NotFound(format!("blob {} has not been sent{why}", descriptor.digest)));
        };
        if u64::try_from(info.size) == Ok(descriptor.size) {
            return Ok((descriptor.digest.clone(), info.labels));
        }
        let message = format!("{} has {} bytes, not {}", descriptor.digest, info.size, descriptor.size);
        Err(Fault::invalid("manifest", message))
    }

    /// Gives the image a name, which another image may have had.
    pub(super) async fn record(
        &self,
        name: &str,
        manifest: &Descriptor,
        labels: &HashMap<String, String>,
    ) -> Result<(), Fault> {
        let image = Image {
            name: name.to_owned(),
            target: Some(manifest.to_containerd()),
            labels: labels.clone(),
            ..Image::default()
        };
        let request = CreateImageRequest { image: Some(image.clone()), source_date_epoch: None };
        if made("images.Create", self.client().images().create(call(request)).await)? {
            return Ok(());
        }
        // The CRI looks at images without its label only: emptied, it takes the new content on too.
        let mut paths = vec!["target".to_owned(), format!("labels.{MANAGED}")];
        paths.extend(labels.keys().map(|key| format!("labels.{key}")));
        let update_mask = Some(prost_types::FieldMask { paths });
        let request = UpdateImageRequest { image: Some(image), update_mask, source_date_epoch: None };
        self.client().images().update(call(request)).await.map_err(at("images.Update"))?;
        Ok(())
    }
}
