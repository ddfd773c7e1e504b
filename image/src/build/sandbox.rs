//! The sandbox image: one static program as an image archive in the OCI layout, the same bytes every time. Pure.

use super::packages::fetch::sha256;
use anyhow::Result;
use serde_json::{Value, json};

/// What the container engine calls it. Its configuration pins this name, so that it is never collected or pulled.
pub const NAME: &str = "skerry.local/pause:1";
/// Where the program lies in its image.
const PROGRAM: &str = "pause";
/// Nobody in particular: the sandbox needs no rights.
const USER: &str = "65535:65535";

/// The archive.
///
/// # Errors
/// Never for content that fits a tar.
pub fn archive(program: &[u8]) -> Result<Vec<u8>> {
    let layer = tar(&[(PROGRAM.to_owned(), 0o755, program)])?;
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": { "User": USER, "Entrypoint": [format!("/{PROGRAM}")] },
        "rootfs": { "type": "layers", "diff_ids": [name(&layer)] },
    });
    let config = config.to_string().into_bytes();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": describe("application/vnd.oci.image.config.v1+json", &config),
        "layers": [describe("application/vnd.oci.image.layer.v1.tar", &layer)],
    });
    let manifest = manifest.to_string().into_bytes();
    let mut entry = describe("application/vnd.oci.image.manifest.v1+json", &manifest);
    entry["platform"] = json!({ "architecture": "amd64", "os": "linux" });
    entry["annotations"] = json!({ "io.containerd.image.name": NAME, "org.opencontainers.image.ref.name": "1" });
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [entry],
    });
    tar(&[
        (blob(&layer), 0o644, &layer),
        (blob(&config), 0o644, &config),
        (blob(&manifest), 0o644, &manifest),
        ("index.json".to_owned(), 0o644, index.to_string().as_bytes()),
        ("oci-layout".to_owned(), 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#),
    ])
}

fn name(content: &[u8]) -> String {
    format!("sha256:{}", sha256(content))
}

fn blob(content: &[u8]) -> String {
    format!("blobs/sha256/{}", sha256(content))
}

fn describe(media_type: &str, content: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": name(content), "size": content.len() })
}

fn tar(files: &[(String, u32, &[u8])]) -> Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, mode, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(*mode);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, path, *content)?;
    }
    Ok(tar.into_inner()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::io::Read;

    #[test]
    fn every_reference_of_the_archive_leads_to_a_blob_of_that_hash_and_size() {
        let archive = archive(b"program").unwrap();
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(&archive[..]).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            files.insert(path, content);
        }
        let follow = |reference: &Value| {
            let digest = reference["digest"].as_str().unwrap();
            let content = &files[&format!("blobs/sha256/{}", digest.trim_start_matches("sha256:"))];
            assert_eq!(name(content), digest);
            assert_eq!(reference["size"], content.len());
            content.clone()
        };
        let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
        assert_eq!(index["manifests"][0]["annotations"]["io.containerd.image.name"], NAME);
        let manifest: Value = serde_json::from_slice(&follow(&index["manifests"][0])).unwrap();
        let config: Value = serde_json::from_slice(&follow(&manifest["config"])).unwrap();
        let layer = follow(&manifest["layers"][0]);
        assert_eq!(config["rootfs"]["diff_ids"][0], name(&layer));
    }

    #[test]
    fn the_same_program_gives_the_same_bytes() {
        assert_eq!(archive(b"x").unwrap(), archive(b"x").unwrap());
    }

    #[test]
    fn the_engine_is_told_the_same_name() {
        assert!(include_str!("../../rootfs/usr/lib/skerry/containerd.toml").contains(&format!("sandbox = \"{NAME}\"")));
    }
}
