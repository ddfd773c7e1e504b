//! The last step of a load: what has arrived becomes an image. When it returns, the image is unpacked, known to the CRI
//! under all its names, and kept by containerd's garbage collector.

use super::fault::{at, made};
use super::manifest::{CONFIG_BYTES_MAX, Config, Descriptor, MANIFEST_BYTES_MAX, Manifest};
use super::{Digest, Fault, Images, Load, SNAPSHOTTER, at_once, call, normalise};
use containerd_client::services::v1::{CreateImageRequest, Image, InfoRequest, UpdateImageRequest};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};

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
        let manifest = self.manifest(&target.load, &target.manifest).await?;
        let load = &target.load;
        let config = self.complete(load, &manifest.config).await?;
        let text = self.read_all(&manifest.config.digest, CONFIG_BYTES_MAX).await?;
        let parsed = Config::parse(&text)?;
        let diff_ids = parsed.diff_ids(manifest.layers.len())?;
        let layers = at_once(manifest.layers.iter().map(|layer| self.complete(load, layer)).collect());
        let (layers, chain) = tokio::try_join!(layers, self.unpack(load, &manifest.layers, diff_ids))?;
        let wanted = references(&target.manifest.digest, &manifest, diff_ids, chain.as_ref());
        let there: HashMap<Digest, Labels> = layers.into_iter().chain([config]).collect();
        let lacking = wanted.into_iter().filter(|(digest, labels)| !has(there.get(digest), labels));
        at_once(lacking.map(|(digest, labels)| self.label(digest, labels)).collect()).await?;
        for name in &names {
            self.record(name, &target.manifest, &labels).await?;
            self.adopted(name, &manifest.config.digest).await?;
        }
        self.close_window(&target.load).await;
        self.close_lease(&target.load).await?;
        let names = names.into_iter().collect();
        Ok(Finished { names, digest: target.manifest.digest.clone(), id: manifest.config.digest })
    }

    async fn manifest(&self, load: &Load, descriptor: &Descriptor) -> Result<Manifest, Fault> {
        if !descriptor.is_manifest() {
            let message = format!("{} is no manifest of one image", descriptor.media_type);
            return Err(Fault::invalid("manifest.mediaType", message));
        }
        self.complete(load, descriptor).await?;
        Manifest::parse(&self.read_all(&descriptor.digest, MANIFEST_BYTES_MAX).await?)
    }

    async fn read_all(&self, digest: &Digest, bytes_max: u64) -> Result<Vec<u8>, Fault> {
        self.read(digest, bytes_max).await?.ok_or_else(|| Fault::NotFound(format!("blob {digest} has not been sent")))
    }

    /// Checks that a blob is there with the promised length. Its name and its labels.
    async fn complete(&self, load: &Load, descriptor: &Descriptor) -> Result<(Digest, Labels), Fault> {
        let landed = self.landed(load, &descriptor.digest).await;
        let request = InfoRequest { digest: descriptor.digest.to_string() };
        let info = super::fault::found("content.Info", self.client().content().info(call(request)).await)?;
        let Some(info) = info.and_then(|answer| answer.info) else {
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

/// What a blob is labelled with.
type Labels = HashMap<String, String>;

/// What the parts of an image are labelled with: the references that containerd's garbage collector follows from the image
/// to its parts, and what a layer is before compression, which its unpacker notes, too.
fn references(
    digest: &Digest,
    manifest: &Manifest,
    diff_ids: &[Digest],
    chain: Option<&Digest>,
) -> BTreeMap<Digest, Labels> {
    let mut all: BTreeMap<Digest, Labels> = BTreeMap::new();
    let mut label = |blob: &Digest, name: String, value: &Digest| {
        all.entry(blob.clone()).or_default().insert(name, value.to_string());
    };
    label(digest, "containerd.io/gc.ref.content.config".to_owned(), &manifest.config.digest);
    for (index, (layer, diff)) in manifest.layers.iter().zip(diff_ids).enumerate() {
        label(digest, format!("containerd.io/gc.ref.content.l.{index}"), &layer.digest);
        label(&layer.digest, "containerd.io/uncompressed".to_owned(), diff);
    }
    if let Some(chain) = chain {
        label(&manifest.config.digest, format!("containerd.io/gc.ref.snapshot.{SNAPSHOTTER}"), chain);
    }
    all
}

/// Whether a blob has these labels already: each change is a wait for the disk.
fn has(there: Option<&Labels>, wanted: &Labels) -> bool {
    there.is_some_and(|there| wanted.iter().all(|(name, value)| there.get(name) == Some(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_image_refers_to_its_parts_and_a_part_that_is_labelled_is_left_alone() {
        let [manifest, config, layer, diff, chain] = [b"m", b"c", b"l", b"d", b"s"].map(|text| Digest::of(text));
        let one = |kind: &str, digest: &Digest| json!({ "mediaType": kind, "digest": digest, "size": 1 });
        let text = json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": one("application/vnd.oci.image.config.v1+json", &config),
            "layers": [one("application/vnd.oci.image.layer.v1.tar+gzip", &layer)],
        });
        let parsed = Manifest::parse(text.to_string().as_bytes()).unwrap();
        let wanted = references(&manifest, &parsed, std::slice::from_ref(&diff), Some(&chain));
        let expected = |pairs: &[(&str, &Digest)]| -> Labels {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect()
        };
        let of_manifest =
            expected(&[("containerd.io/gc.ref.content.config", &config), ("containerd.io/gc.ref.content.l.0", &layer)]);
        assert_eq!(wanted[&manifest], of_manifest);
        assert_eq!(wanted[&config], expected(&[("containerd.io/gc.ref.snapshot.overlayfs", &chain)]));
        assert_eq!(wanted[&layer], expected(&[("containerd.io/uncompressed", &diff)]));

        let more = expected(&[("containerd.io/uncompressed", &diff), ("other", &config)]);
        assert!(has(Some(&more), &wanted[&layer]));
        assert!(!has(Some(&expected(&[("containerd.io/uncompressed", &config)])), &wanted[&layer]));
        assert!(!has(None, &wanted[&layer]));
    }
}
