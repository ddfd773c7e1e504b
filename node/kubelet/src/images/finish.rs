//! The last step of a load: what has arrived becomes an image. When it returns, the image is unpacked, known to the CRI
//! under all its names, and kept by containerd's garbage collector.

use super::fault::{at, made};
use super::manifest::{CONFIG_BYTES_MAX, Config, Descriptor, MANIFEST_BYTES_MAX, Manifest};
use super::{Digest, Fault, Images, Load, SNAPSHOTTER, call, normalise};
use containerd_client::services::v1::{CreateImageRequest, Image, InfoRequest, UpdateImageRequest};
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
        let manifest = self.manifest(&target.manifest).await?;
        for child in manifest.children() {
            self.complete(child).await?;
        }
        let config = self.read_all(&manifest.config.digest, CONFIG_BYTES_MAX).await?;
        let config = Config::parse(&config)?;
        let diff_ids = config.diff_ids(manifest.layers.len())?;
        let chain = self.unpack(&target.load, &manifest.layers, diff_ids).await?;
        self.refer(&target.manifest.digest, &manifest, chain.as_ref()).await?;
        for name in &names {
            self.record(name, &target.manifest, &labels).await?;
            self.adopted(name, &manifest.config.digest).await?;
        }
        self.close_window(&target.load).await;
        self.close_lease(&target.load).await?;
        let names = names.into_iter().collect();
        Ok(Finished { names, digest: target.manifest.digest.clone(), id: manifest.config.digest })
    }

    async fn manifest(&self, descriptor: &Descriptor) -> Result<Manifest, Fault> {
        if !descriptor.is_manifest() {
            let message = format!("{} is no manifest of one image", descriptor.media_type);
            return Err(Fault::invalid("manifest.mediaType", message));
        }
        self.complete(descriptor).await?;
        Manifest::parse(&self.read_all(&descriptor.digest, MANIFEST_BYTES_MAX).await?)
    }

    async fn read_all(&self, digest: &Digest, bytes_max: u64) -> Result<Vec<u8>, Fault> {
        self.read(digest, bytes_max).await?.ok_or_else(|| Fault::NotFound(format!("blob {digest} has not been sent")))
    }

    /// Checks that a blob is there with the promised length.
    async fn complete(&self, descriptor: &Descriptor) -> Result<(), Fault> {
        let request = InfoRequest { digest: descriptor.digest.to_string() };
        let info = super::fault::found("content.Info", self.client().content().info(call(request)).await)?;
        let Some(info) = info.and_then(|answer| answer.info) else {
            return Err(Fault::NotFound(format!("blob {} has not been sent", descriptor.digest)));
        };
        if u64::try_from(info.size) == Ok(descriptor.size) {
            return Ok(());
        }
        let message = format!("{} has {} bytes, not {}", descriptor.digest, info.size, descriptor.size);
        Err(Fault::invalid("manifest", message))
    }

    /// Leaves the references that containerd's garbage collector follows from the image to its parts.
    async fn refer(&self, digest: &Digest, manifest: &Manifest, chain: Option<&Digest>) -> Result<(), Fault> {
        if let Some(chain) = chain {
            let key = format!("containerd.io/gc.ref.snapshot.{SNAPSHOTTER}");
            self.label(&manifest.config.digest, [(key, chain.to_string())].into()).await?;
        }
        let mut labels: HashMap<String, String> = manifest
            .layers
            .iter()
            .enumerate()
            .map(|(index, layer)| (format!("containerd.io/gc.ref.content.l.{index}"), layer.digest.to_string()))
            .collect();
        labels.insert("containerd.io/gc.ref.content.config".to_owned(), manifest.config.digest.to_string());
        self.label(digest, labels).await
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
