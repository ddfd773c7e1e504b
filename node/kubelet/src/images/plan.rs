//! What becomes of an image, from its manifest and its configuration: which layer is unpacked on which, and with what its
//! parts are labelled. Pure.

use super::manifest::{Config, Descriptor, Manifest, chains};
use super::{Digest, Fault, SNAPSHOTTER};
use std::collections::{BTreeMap, HashMap};

/// What a blob is labelled with.
pub type Labels = HashMap<String, String>;

/// The plan of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Its manifest.
    pub manifest: Descriptor,
    /// Its configuration.
    pub config: Descriptor,
    /// Its layers, the lowest first.
    pub layers: Vec<Layer>,
    /// The labels of its parts: the references that containerd's garbage collector follows from the image to them, and
    /// what a layer is before compression, which its unpacker notes, too.
    pub labels: BTreeMap<Digest, Labels>,
}

/// A layer of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// As it is kept.
    pub blob: Descriptor,
    /// Its digest before compression.
    pub diff: Digest,
    /// The name of the snapshot with this layer and all below it.
    pub chain: Digest,
}

impl Plan {
    /// Puts it together; `manifest` is what the blob of `target` holds.
    ///
    /// # Errors
    /// `Invalid` when the two do not fit each other or this machine.
    pub fn of(target: &Descriptor, manifest: Manifest, config: &Config) -> Result<Plan, Fault> {
        let diff_ids = config.diff_ids(manifest.layers.len())?;
        let whole = manifest.layers.into_iter().zip(diff_ids).zip(chains(diff_ids));
        let layers: Vec<_> = whole.map(|((blob, diff), chain)| Layer { blob, diff: diff.clone(), chain }).collect();
        let labels = labels(&target.digest, &manifest.config.digest, &layers);
        Ok(Plan { manifest: target.clone(), config: manifest.config, layers, labels })
    }

    /// The labels that a part must get which has these; none when it lacks none.
    pub fn lacking(&self, part: &Digest, there: &Labels) -> Option<&Labels> {
        let has = |(name, value): (&String, &String)| there.get(name) == Some(value);
        self.labels.get(part).filter(|wanted| !wanted.iter().all(has))
    }

    /// All its blobs.
    pub fn parts(&self) -> impl Iterator<Item = &Descriptor> {
        [&self.manifest, &self.config].into_iter().chain(self.layers.iter().map(|layer| &layer.blob))
    }
}

fn labels(manifest: &Digest, config: &Digest, layers: &[Layer]) -> BTreeMap<Digest, Labels> {
    let mut all: BTreeMap<Digest, Labels> = BTreeMap::new();
    let mut label = |blob: &Digest, name: String, value: &Digest| {
        all.entry(blob.clone()).or_default().insert(name, value.to_string());
    };
    label(manifest, "containerd.io/gc.ref.content.config".to_owned(), config);
    for (index, layer) in layers.iter().enumerate() {
        label(manifest, format!("containerd.io/gc.ref.content.l.{index}"), &layer.blob.digest);
        label(&layer.blob.digest, "containerd.io/uncompressed".to_owned(), &layer.diff);
    }
    if let Some(top) = layers.last() {
        label(config, format!("containerd.io/gc.ref.snapshot.{SNAPSHOTTER}"), &top.chain);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_image_refers_to_its_parts_and_a_part_that_is_labelled_lacks_nothing() {
        let [manifest, config, layer, diff] = [b"m", b"c", b"l", b"d"].map(|text| Digest::of(text));
        let one = |kind: &str, digest: &Digest| {
            let media_type = format!("application/vnd.oci.image.{kind}");
            Descriptor { media_type, digest: digest.clone(), size: 1, platform: None }
        };
        let told = json!({ "os": "linux", "architecture": "amd64",
                           "rootfs": { "type": "layers", "diff_ids": [&diff] } });
        let parsed =
            Manifest { config: one("config.v1+json", &config), layers: vec![one("layer.v1.tar+gzip", &layer)] };
        let told = Config::parse(told.to_string().as_bytes()).unwrap();
        let plan = Plan::of(&one("manifest.v1+json", &manifest), parsed, &told).unwrap();
        assert_eq!((&plan.layers[0].chain, plan.layers.len()), (&diff, 1), "the chain of one layer is its own digest");

        let expected = |pairs: &[(&str, &Digest)]| -> Labels {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect()
        };
        let of_manifest =
            expected(&[("containerd.io/gc.ref.content.config", &config), ("containerd.io/gc.ref.content.l.0", &layer)]);
        assert_eq!(plan.labels[&manifest], of_manifest);
        assert_eq!(plan.labels[&config], expected(&[("containerd.io/gc.ref.snapshot.overlayfs", &diff)]));
        assert_eq!(plan.labels[&layer], expected(&[("containerd.io/uncompressed", &diff)]));

        let more = expected(&[("containerd.io/uncompressed", &diff), ("other", &config)]);
        assert_eq!(plan.lacking(&layer, &more), None);
        let wrong = expected(&[("containerd.io/uncompressed", &config)]);
        assert_eq!(plan.lacking(&layer, &wrong), Some(&plan.labels[&layer]));
        assert_eq!(plan.lacking(&layer, &Labels::new()), Some(&plan.labels[&layer]));
        assert_eq!(plan.lacking(&diff, &Labels::new()), None, "nobody asks anything of it");
    }
}
