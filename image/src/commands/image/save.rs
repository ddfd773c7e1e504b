//! `skerry image save`: an image as an archive that `skerry image load` and Docker take: the OCI layout with Docker's
//! own index beside it.

use super::{escaped, read};
use crate::archive::Descriptor;
use crate::cluster::access::Api;
use crate::commands::Context;
use crate::exit::{Code, Failure};
use crate::interrupt::Interrupt;
use crate::steps::Step;
use anyhow::{Context as _, Result, bail};
use indicatif::HumanBytes;
use ring::digest::{Context as Hash, SHA256};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::Path;
use tar::{Builder, Header};

/// What an image is made of, as the machine tells it.
#[derive(Deserialize)]
struct Contents {
    names: Vec<String>,
    manifest: Descriptor,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

/// Writes the image of a name or ID to a file, whole or not at all.
///
/// # Errors
/// `Refused` when there is no such image; when the file cannot be written.
pub fn run(api: &Api, image: &str, file: &Path, context: &Context) -> Result<()> {
    let answer = api.get(&format!("/skerry/v1/images/contents/{}", escaped(image)));
    let contents: Contents = read(answer.map_err(|error| super::refusal(error, image))?)?;
    let step = Step::begin(&context.output, format!("Saving {image}"));
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let cannot = |error: &dyn std::fmt::Display| {
        Failure::new(Code::Refused, format!("{}: {error}", file.display()))
            .advice("name a file in a folder that you may write")
    };
    let mut fresh = tempfile::Builder::new().prefix(".skerry-save").tempfile_in(folder).map_err(|e| cannot(&e))?;
    let blobs = blobs(&contents);
    let total = blobs.iter().map(|blob| blob.size).sum();
    let mut tar = Builder::new(std::io::BufWriter::new(fresh.as_file_mut()));
    let mut done = 0;
    for blob in &blobs {
        copy(api, blob, &mut tar, &context.interrupt, &mut |count| {
            done += count;
            step.bytes(done, total);
        })?;
    }
    for (name, value) in indexes(&contents, image) {
        let text = value.to_string();
        append(&mut tar, name, text.len() as u64, text.as_bytes())?;
    }
    tar.into_inner()?.flush()?;
    fresh.persist(file).map_err(|error| cannot(&error.error))?;
    step.done(&HumanBytes(total).to_string());
    let value = json!({ "file": file, "digest": contents.manifest.digest, "names": contents.names, "bytes": total });
    Ok(context.output.data("", &value)?)
}

/// Every blob once: two layers may be the same.
fn blobs(contents: &Contents) -> Vec<&Descriptor> {
    let mut seen = BTreeSet::new();
    let all = [&contents.manifest, &contents.config].into_iter().chain(&contents.layers);
    all.filter(|blob| seen.insert(&blob.digest)).collect()
}

/// One blob on its way into the archive. What came is checked: a machine that is cut off leaves no short image.
fn copy<W: Write>(
    api: &Api,
    blob: &Descriptor,
    tar: &mut Builder<W>,
    interrupt: &Interrupt,
    progress: &mut dyn FnMut(u64),
) -> Result<()> {
    let digits = blob.digits().with_context(|| format!("{} is no SHA-256", blob.digest))?;
    let answer = api.get(&format!("/skerry/v1/images/blobs/{}", blob.digest))?;
    let from = answer.into_body().into_reader().take(blob.size);
    let mut watched = Watched { from, hash: Hash::new(&SHA256), interrupt, progress };
    append(tar, &format!("blobs/sha256/{digits}"), blob.size, &mut watched)?;
    let got: String = watched.hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    if got != digits {
        bail!("the machine sent something else than {}", blob.digest);
    }
    Ok(())
}

/// Content that is hashed and counted as it passes.
struct Watched<'a, R> {
    from: R,
    hash: Hash,
    interrupt: &'a Interrupt,
    progress: &'a mut dyn FnMut(u64),
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.interrupt.is_set() {
            return Err(std::io::Error::other(Failure::new(Code::Interrupted, "interrupted")));
        }
        let count = self.from.read(buffer)?;
        self.hash.update(&buffer[..count]);
        (self.progress)(count as u64);
        Ok(count)
    }
}

fn append<W: Write>(tar: &mut Builder<W>, name: &str, size: u64, content: impl Read) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    tar.append_data(&mut header, name, content).with_context(|| format!("writing {name}"))
}

/// What says how the blobs belong together: for those who read the OCI layout, and for Docker.
fn indexes(contents: &Contents, asked: &str) -> [(&'static str, Value); 3] {
    // The name that was asked for, when it is one; an image by its ID keeps all it has.
    let chosen: Vec<&String> = contents.names.iter().filter(|name| name.ends_with(asked)).collect();
    let names = if chosen.is_empty() { contents.names.iter().collect() } else { chosen };
    let entry = |name: Option<&&String>| {
        let mut entry = json!(contents.manifest);
        if let Some(name) = name {
            let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
            entry["annotations"] =
                json!({ "io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag });
        }
        entry
    };
    let manifests: Vec<Value> =
        if names.is_empty() { vec![entry(None)] } else { names.iter().map(|name| entry(Some(name))).collect() };
    let path = |blob: &Descriptor| format!("blobs/sha256/{}", blob.digits().unwrap_or_default());
    let layers: Vec<String> = contents.layers.iter().map(path).collect();
    [
        ("oci-layout", json!({ "imageLayoutVersion": "1.0.0" })),
        ("index.json", json!({ "schemaVersion": 2, "manifests": manifests })),
        ("manifest.json", json!([{ "Config": path(&contents.config), "RepoTags": names, "Layers": layers }])),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_indexes_name_what_was_asked_for_and_every_blob_is_there_once() {
        let layer = Descriptor::of("layer", b"layer");
        let contents = Contents {
            names: vec!["docker.io/library/a:1".to_owned(), "docker.io/library/a:2".to_owned()],
            manifest: Descriptor::of("manifest", b"manifest"),
            config: Descriptor::of("config", b"config"),
            layers: vec![layer.clone(), layer],
        };
        assert_eq!(blobs(&contents).len(), 3);
        let [_, (_, index), (_, docker)] = indexes(&contents, "a:2");
        assert_eq!(docker[0]["RepoTags"], json!(["docker.io/library/a:2"]));
        assert_eq!(docker[0]["Layers"].as_array().unwrap().len(), 2);
        let annotations = &index["manifests"][0]["annotations"];
        assert_eq!(annotations["org.opencontainers.image.ref.name"], "2");
        let [_, (_, index), _] = indexes(&contents, "0123456789ab");
        assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
    }
}
