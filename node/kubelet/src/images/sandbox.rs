//! The sandbox image: it is part of the machine, comes from no registry, and must be there before the first pod.

use super::begin::Blob;
use super::fault::found;
use super::finish::{PINNED, Target};
use super::manifest::{Descriptor, MANIFEST_BYTES_MAX, Manifest};
use super::{Digest, Fault, Images, call};
use bytes::Bytes;
use containerd_client::services::v1::GetImageRequest;
use serde::Deserialize;
use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

/// What it is called. The engine's configuration names it too, so the CRI neither pulls nor collects it.
pub const NAME: &str = "skerry.local/pause:1";
/// Bytes of its archive. Ours has less than one megabyte.
const ARCHIVE_BYTES_MAX: u64 = 16 << 20;

/// What is in the archive.
struct Archive {
    manifest: Descriptor,
    blobs: HashMap<Digest, Vec<u8>>,
}

impl Images {
    /// Imports the sandbox image from its archive unless this very image is there, whole and unpacked. Returns whether
    /// it had to.
    ///
    /// # Errors
    /// `Invalid` when the file is no archive with one image in the OCI layout; what containerd says.
    pub async fn ensure_sandbox(&self, archive: &Path) -> Result<bool, Fault> {
        let Archive { manifest, mut blobs } = read(archive)?;
        if self.sandbox_is(&manifest, &blobs).await? {
            return Ok(false);
        }
        let told: Vec<Blob> = blobs.iter().map(|(digest, content)| blob(digest, content)).collect();
        let begun = self.begin(&told).await?;
        for missing in begun.missing {
            let content = blobs.remove(&missing.digest).expect("only these were asked for");
            let blob = blob(&missing.digest, &content);
            let whole = futures_util::stream::iter([Ok::<_, Fault>(Bytes::from(content))]);
            self.ingest(&begun.load, &blob, 0, whole).await?;
        }
        let pinned = [(PINNED.0.to_owned(), PINNED.1.to_owned())].into();
        self.finish_with(&Target { load: begun.load, names: vec![NAME.to_owned()], manifest }, pinned).await?;
        Ok(true)
    }

    async fn sandbox_is(&self, manifest: &Descriptor, blobs: &HashMap<Digest, Vec<u8>>) -> Result<bool, Fault> {
        let request = GetImageRequest { name: NAME.to_owned() };
        let record = found("images.Get", self.client().images().get(call(request)).await)?;
        let target = record.and_then(|answer| answer.image).and_then(|image| image.target);
        if target.is_none_or(|target| target.digest != manifest.digest.as_str()) {
            return Ok(false);
        }
        let Some(bytes) = self.read(&manifest.digest, MANIFEST_BYTES_MAX).await? else { return Ok(false) };
        let parsed = Manifest::parse(&bytes)?;
        for child in parsed.children() {
            if self.read(&child.digest, ARCHIVE_BYTES_MAX).await?.is_none() {
                return Ok(false);
            }
        }
        let Some(config) = blobs.get(&parsed.config.digest) else { return Ok(false) };
        match super::manifest::Config::parse(config)?.chain() {
            Some(chain) => self.is_unpacked(&chain).await,
            None => Ok(true),
        }
    }
}

fn blob(digest: &Digest, content: &[u8]) -> Blob {
    Blob { digest: digest.clone(), size: content.len() as u64 }
}

/// Reads the archive, which is small: every blob, and the one manifest of its index.
fn read(path: &Path) -> Result<Archive, Fault> {
    #[derive(Deserialize)]
    struct Index {
        manifests: Vec<Descriptor>,
    }
    let wrong = |why: String| Fault::invalid("sandbox", format!("{}: {why}", path.display()));
    let io = |error: std::io::Error| wrong(error.to_string());
    let file = std::fs::File::open(path).map_err(io)?;
    let mut tar = tar::Archive::new(file.take(ARCHIVE_BYTES_MAX));
    let mut blobs = HashMap::new();
    let mut index = None;
    for entry in tar.entries().map_err(io)? {
        let mut entry = entry.map_err(io)?;
        let name = entry.path().map_err(io)?.to_string_lossy().into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(io)?;
        if name == "index.json" {
            index = Some(serde_json::from_slice::<Index>(&content).map_err(|error| wrong(error.to_string()))?);
        } else if name.starts_with("blobs/sha256/") && !content.is_empty() {
            blobs.insert(Digest::of(&content), content);
        }
    }
    let manifests = index.ok_or_else(|| wrong("no index.json".to_owned()))?.manifests;
    let [manifest] =
        <[Descriptor; 1]>::try_from(manifests).map_err(|_| wrong("not exactly one manifest".to_owned()))?;
    // containerd is told of platforms by configurations.
    Ok(Archive { manifest: Descriptor { platform: None, ..manifest }, blobs })
}
