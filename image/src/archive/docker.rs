//! The archive of `docker save`: `manifest.json` names configuration and layers by path. It has no manifest with
//! digests, so one is made; the same archive always gives the same one.

use super::parts::{Blob, Descriptor, Form, Image, Packed, Reader, Source, distinct, layer_type};
use super::{IMAGES_MAX, LAYERS_MAX, MANIFEST_BYTES_MAX, NAMES_MAX, PLATFORM};
use anyhow::Result;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

/// Where it begins.
pub const MANIFEST: &str = "manifest.json";

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

fn entries(reader: &Reader) -> Result<Vec<Entry>> {
    let (entries, _, _): (Vec<Entry>, _, _) = reader.json(MANIFEST, MANIFEST_BYTES_MAX)?;
    let refuse = |why: String| Err(reader.members.wrong(MANIFEST, why).into());
    if entries.len() > IMAGES_MAX {
        return refuse(format!("lists {} images; at most {IMAGES_MAX} are taken", entries.len()));
    }
    for entry in &entries {
        let layers = entry.layers.as_ref().map_or(0, Vec::len);
        let names = entry.repo_tags.as_ref().map_or(0, Vec::len);
        if layers > LAYERS_MAX || names > NAMES_MAX {
            return refuse(format!(
                "an image of {layers} layers and {names} names; at most {LAYERS_MAX} and {NAMES_MAX}"
            ));
        }
    }
    Ok(entries)
}

/// The images of the archive.
///
/// # Errors
/// `Refused` when something is missing, is not what it says, or is for another machine.
pub fn images(reader: &Reader) -> Result<Vec<Image>> {
    entries(reader)?.into_iter().map(|entry| image(reader, entry)).collect()
}

/// Gives images of the layout beside it, which have no name there, the names of this one.
pub fn name(reader: &Reader, mut images: Vec<Image>) -> Result<Vec<Image>> {
    for entry in entries(reader)? {
        let Ok(member) = reader.members.get(&entry.config) else { continue };
        let id = reader.hash(member)?;
        if let Some(image) = images.iter_mut().find(|image| image.id == id && image.names.is_empty()) {
            image.names = entry.repo_tags.unwrap_or_default();
        }
    }
    Ok(images)
}

fn image(reader: &Reader, entry: Entry) -> Result<Image> {
    let paths = entry.layers.unwrap_or_default();
    let (config, content, member) = reader.config(&entry.config, paths.len())?;
    if !config.fits() {
        let why = format!("is for {}; this machine runs {}/{}", config.platform(), PLATFORM.0, PLATFORM.1);
        return Err(reader.members.wrong(&entry.config, why).into());
    }
    let described = Descriptor::of(CONFIG_TYPE, &content);
    named_by_its_content(reader, &entry.config, &described)?;
    let mut layers = Vec::new();
    let mut blobs = Vec::new();
    let mut packed = BTreeMap::new();
    for (path, diff) in paths.iter().zip(config.diff_ids()) {
        let (descriptor, blob, form) = layer(reader, path, diff)?;
        packed.extend(form.map(|form| (blob.digest.clone(), Packed { form, diff: diff.clone() })));
        layers.push(descriptor);
        blobs.push(blob);
    }
    let id = described.digest.clone();
    blobs.push(Blob { digest: id.clone(), size: described.size, source: Source::Member(member), is_checked: true });
    let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": described, "layers": layers });
    let manifest = manifest.to_string().into_bytes();
    let target = Descriptor::of(MANIFEST_TYPE, &manifest);
    blobs.push(Blob {
        digest: target.digest.clone(),
        size: target.size,
        source: Source::Bytes(manifest),
        is_checked: true,
    });
    Ok(Image { names: entry.repo_tags.unwrap_or_default(), manifest: target, id, blobs: distinct(blobs), packed })
}

/// A configuration is called by its own digest; when that is not so, something has been changed.
fn named_by_its_content(reader: &Reader, path: &str, described: &Descriptor) -> Result<()> {
    let stem = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".json");
    let is_digest = stem.len() == 64 && stem.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_digest && described.digits() != Some(stem) {
        return Err(reader.members.forged(path, &described.digest).into());
    }
    Ok(())
}

/// One layer. An uncompressed one must have the digest that the configuration tells; of a compressed one the machine
/// checks it when it unpacks.
fn layer(reader: &Reader, path: &str, diff: &str) -> Result<(Descriptor, Blob, Option<Form>)> {
    let member = reader.members.get(path)?;
    let form = reader.form(member)?;
    let digest = reader.hash(member)?;
    if form.is_none() && digest != diff {
        let why = format!("its content has the digest {digest}, the configuration says {diff}");
        return Err(reader.members.wrong(path, why).into());
    }
    let source = Source::Member(member.clone());
    let blob = Blob { digest: digest.clone(), size: member.size, source, is_checked: true };
    Ok((Descriptor { media_type: layer_type(form), digest, size: member.size }, blob, form))
}
