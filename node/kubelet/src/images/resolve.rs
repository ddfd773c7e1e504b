//! What is in containerd's image store: its records, each followed to the image for this machine, and gathered by image.

use super::fault::at;
use super::finish::PINNED;
use super::manifest::{CONFIG_BYTES_MAX, Config, Descriptor, MANIFEST_BYTES_MAX, Manifest, choose};
use super::{Digest, Fault, Images, call};
use containerd_client::services::v1::{Image as Record, ListImagesRequest};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// How many indexes may lie above a manifest. Docker writes one; two have been seen.
pub(super) const DEPTH_MAX: usize = 3;

/// An image with everything that leads to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its configuration's digest; the target's where the image for this machine is not here.
    pub id: Digest,
    /// What the first record points to: a manifest or an index.
    pub target: Digest,
    /// The names of all records, `sha256:…` among them.
    pub records: Vec<String>,
    /// Bytes of its blobs.
    pub size: u64,
    /// Its topmost snapshot.
    pub chain: Option<Digest>,
    /// Whether it must never be collected.
    pub pinned: bool,
    /// When the first record was made.
    pub created: Timestamp,
}

impl Known {
    /// The names that people gave it. The CRI makes references of its own, and Docker for what has lost its name.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.records.iter().filter(|name| !name.starts_with("sha256:") && !name.starts_with("moby-dangling@"))
    }
}

/// The parts of an image that are looked at.
struct Parts {
    id: Digest,
    size: u64,
    chain: Option<Digest>,
}

impl Images {
    /// Every image.
    pub(super) async fn inventory(&self) -> Result<Vec<Known>, Fault> {
        let request = call(ListImagesRequest { filters: Vec::new() });
        let records = self.client().images().list(request).await.map_err(at("images.List"))?.into_inner().images;
        let mut known: BTreeMap<Digest, Known> = BTreeMap::new();
        for record in records {
            let Some(target) = descriptor(&record) else {
                tracing::warn!(name = record.name, "an image record without a usable target");
                continue;
            };
            let parts = self.resolve(target.clone()).await?;
            let parts = parts.unwrap_or(Parts { id: target.digest.clone(), size: target.size, chain: None });
            let created = record.created_at.as_ref().and_then(|at| Timestamp::new(at.seconds, at.nanos).ok());
            let created = created.unwrap_or(Timestamp::UNIX_EPOCH);
            let entry = known.entry(parts.id.clone()).or_insert_with(|| Known {
                id: parts.id,
                target: target.digest,
                records: Vec::new(),
                size: parts.size,
                chain: parts.chain,
                pinned: false,
                created,
            });
            entry.pinned |= record.labels.get(PINNED.0).is_some_and(|value| value == PINNED.1);
            entry.created = entry.created.min(created);
            entry.records.push(record.name);
        }
        Ok(known.into_values().collect())
    }

    /// A blob that is here and not too long. Others put records into the store too, of things that are no images, and
    /// one of those must not hide the rest.
    async fn read_if_fit(&self, digest: &Digest, bytes_max: u64) -> Result<Option<Vec<u8>>, Fault> {
        match self.read(digest, bytes_max).await {
            Err(Fault::Invalid { .. }) => Ok(None),
            other => other,
        }
    }

    /// Follows a target to the image for this machine; `None` when that is not here, or is no image.
    async fn resolve(&self, mut target: Descriptor) -> Result<Option<Parts>, Fault> {
        for _ in 0..DEPTH_MAX {
            let Some(bytes) = self.read_if_fit(&target.digest, MANIFEST_BYTES_MAX).await? else { return Ok(None) };
            if target.is_index() {
                let Ok(Some(chosen)) = choose(&bytes) else { return Ok(None) };
                target = chosen;
                continue;
            }
            let Ok(manifest) = Manifest::parse(&bytes) else { return Ok(None) };
            let config = self.read_if_fit(&manifest.config.digest, CONFIG_BYTES_MAX).await?;
            let Some(config) = config else { return Ok(None) };
            let size = target.size + manifest.children().map(|child| child.size).sum::<u64>();
            // What is no container image, an attestation or a chart, has a configuration of another form.
            let chain = Config::parse(&config).ok().and_then(|config| config.chain());
            return Ok(Some(Parts { id: manifest.config.digest, size, chain }));
        }
        Ok(None)
    }
}

fn descriptor(record: &Record) -> Option<Descriptor> {
    Descriptor::from_containerd(record.target.as_ref()?)
}
