//! The OCI layout: `index.json` leads by digests to everything else. Of an image for several platforms the machine's is
//! taken; the others need not be there.

use super::parts::{Blob, Config, Descriptor, Image, Packed, Reader, Source, distinct};
use super::{IMAGES_MAX, LAYERS_MAX, MANIFEST_BYTES_MAX, NAMES_MAX, PLATFORM};
use anyhow::Result;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Where the layout begins.
pub const INDEX: &str = "index.json";
/// How many indexes may lie above a manifest: the archive's own, the image's, and one to spare.
const DEPTH_MAX: usize = 3;
/// The full name of an image, as containerd and Docker write it.
const NAME: &str = "io.containerd.image.name";
/// By the OCI a tag; some tools write a full name.
const REFERENCE: &str = "org.opencontainers.image.ref.name";
/// Says of a manifest that it is no image but tells something of one.
const ATTESTATION: &str = "vnd.docker.reference.type";

const MANIFESTS: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];
const INDEXES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Entry>,
}

#[derive(Clone, Deserialize)]
struct Entry {
    #[serde(flatten)]
    descriptor: Descriptor,
    #[serde(default)]
    platform: Option<Platform>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Clone, Deserialize)]
struct Platform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
}

impl Entry {
    fn is_index(&self) -> bool {
        INDEXES.contains(&self.descriptor.media_type.as_str())
    }

    fn is_image(&self) -> bool {
        MANIFESTS.contains(&self.descriptor.media_type.as_str()) && !self.annotations.contains_key(ATTESTATION)
    }

    /// Whether it says that it is for another machine.
    fn is_foreign(&self) -> bool {
        let other = |p: &Platform| (p.os.as_str(), p.architecture.as_str()) != PLATFORM;
        self.platform.as_ref().is_some_and(other)
    }

    fn name(&self) -> Option<String> {
        let reference = || self.annotations.get(REFERENCE).filter(|text| text.contains(['/', ':']));
        self.annotations.get(NAME).or_else(reference).cloned()
    }
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

/// The images of the layout for the machine's platform.
///
/// # Errors
/// `Refused` when something is missing or not what it says, or nothing is for the machine.
pub fn images(reader: &Reader) -> Result<Vec<Image>> {
    let (index, _, _): (Index, _, _) = reader.json(INDEX, MANIFEST_BYTES_MAX)?;
    if index.manifests.len() > IMAGES_MAX {
        let why = format!("lists {} images; at most {IMAGES_MAX} are taken", index.manifests.len());
        return Err(reader.members.wrong(INDEX, why).into());
    }
    let mut images: BTreeMap<String, Image> = BTreeMap::new();
    let mut foreign = Vec::new();
    for entry in &index.manifests {
        let Some(chosen) = choose(reader, entry, &mut foreign)? else { continue };
        let Some(made) = image(reader, &chosen, &mut foreign)? else { continue };
        // The same image is listed once for each of its names.
        let image = images.entry(made.manifest.digest.clone()).or_insert(made);
        image.names.extend(entry.name());
        if image.names.len() > NAMES_MAX {
            return Err(reader.members.wrong(INDEX, format!("gives an image more than {NAMES_MAX} names")).into());
        }
    }
    if images.is_empty() && !foreign.is_empty() {
        foreign.sort();
        foreign.dedup();
        let why = format!("is for {}; this machine runs {}/{}", foreign.join(", "), PLATFORM.0, PLATFORM.1);
        return Err(reader.members.refused(why).advice("build or save it with --platform linux/amd64").into());
    }
    Ok(images.into_values().collect())
}

/// The manifest for the machine behind an entry. What is for others is noted in `foreign`.
fn choose(reader: &Reader, entry: &Entry, foreign: &mut Vec<String>) -> Result<Option<Entry>> {
    let mut at = entry.clone();
    for _ in 0..DEPTH_MAX {
        if let Some(platform) = at.platform.as_ref().filter(|_| at.is_foreign()) {
            foreign.push(format!("{}/{}", platform.os, platform.architecture));
            return Ok(None);
        }
        if !at.is_index() {
            return Ok(at.is_image().then_some(at));
        }
        let path = path(reader, &at.descriptor)?;
        let (index, _, _): (Index, _, _) = reader.json(&path, MANIFEST_BYTES_MAX)?;
        check(reader, &at.descriptor, &path)?;
        let real = |entry: &&Entry| entry.is_index() || entry.is_image();
        let mut fitting = index.manifests.iter().filter(real).filter(|entry| !entry.is_foreign());
        match fitting.next() {
            Some(next) => at = next.clone(),
            None => {
                let platforms = index.manifests.iter().filter(real).filter_map(|entry| entry.platform.as_ref());
                foreign.extend(platforms.map(|platform| format!("{}/{}", platform.os, platform.architecture)));
                return Ok(None);
            }
        }
    }
    let why = format!("an index behind more than {DEPTH_MAX} others");
    Err(reader.members.wrong(&entry.descriptor.digest, why).into())
}

fn image(reader: &Reader, entry: &Entry, foreign: &mut Vec<String>) -> Result<Option<Image>> {
    let manifest_path = path(reader, &entry.descriptor)?;
    let (manifest, _, _): (Manifest, _, _) = reader.json(&manifest_path, MANIFEST_BYTES_MAX)?;
    if manifest.layers.len() > LAYERS_MAX {
        let why = format!("has {} layers; at most {LAYERS_MAX} can be mounted", manifest.layers.len());
        return Err(reader.members.wrong(&manifest_path, why).into());
    }
    let config_path = path(reader, &manifest.config)?;
    let (config, _, _): (Config, _, _) = reader.config(&config_path, manifest.layers.len())?;
    if !config.fits() {
        foreign.push(config.platform());
        return Ok(None);
    }
    let mut packed = BTreeMap::new();
    for (layer, diff) in manifest.layers.iter().zip(config.diff_ids()) {
        let form = reader.form(reader.members.get(&path(reader, layer)?)?)?;
        packed.extend(form.map(|form| (layer.digest.clone(), Packed { form, diff: diff.clone() })));
    }
    let found = |descriptor: &Descriptor| find(reader, descriptor, &path(reader, descriptor)?);
    let mut blobs = manifest.layers.iter().map(found).collect::<Result<Vec<_>>>()?;
    blobs.push(check(reader, &manifest.config, &config_path)?);
    blobs.push(check(reader, &entry.descriptor, &manifest_path)?);
    Ok(Some(Image {
        names: Vec::new(),
        manifest: entry.descriptor.clone(),
        id: manifest.config.digest,
        blobs: distinct(blobs),
        packed,
    }))
}

/// Where the layout keeps a blob.
fn path(reader: &Reader, descriptor: &Descriptor) -> Result<String> {
    match descriptor.digits() {
        Some(digits) => Ok(format!("blobs/sha256/{digits}")),
        None => Err(reader.members.wrong(&descriptor.digest, "is not the SHA-256 digest of a blob").into()),
    }
}

/// A blob of the length that its descriptor says.
fn find(reader: &Reader, descriptor: &Descriptor, path: &str) -> Result<Blob> {
    let member = reader.members.get(path)?;
    if member.size != descriptor.size {
        let why = format!("has {} bytes, its descriptor says {}", member.size, descriptor.size);
        return Err(reader.members.wrong(path, why).into());
    }
    let source = Source::Member(member.clone());
    Ok(Blob { digest: descriptor.digest.clone(), size: member.size, source, is_checked: false })
}

/// The same with the digest that its descriptor says.
fn check(reader: &Reader, descriptor: &Descriptor, path: &str) -> Result<Blob> {
    let blob = find(reader, descriptor, path)?;
    let digest = reader.hash(reader.members.get(path)?)?;
    if digest != descriptor.digest {
        return Err(reader.members.forged(path, &digest).into());
    }
    Ok(Blob { is_checked: true, ..blob })
}
