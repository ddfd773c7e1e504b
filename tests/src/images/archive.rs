//! Layers and a configuration as one archive that every loader takes: the OCI layout, with the `manifest.json` that
//! `docker save` writes beside it. Pure.

use super::catalog::Start;
use super::layer::{self, Owners};
use anyhow::Result;
use image::build::packages::fetch::hexadecimal;
use image::build::tree::Tree;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Media types of the parts.
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// An archive of one image. `layers` are uncompressed tars, from the bottom up.
///
/// # Errors
/// Never for content that fits a tar.
pub fn pack(name: &str, layers: &[Vec<u8>], start: &Start) -> Result<Vec<u8>> {
    pack_started(name, layers, configuration(start))
}

/// An archive that holds one static program and nothing else: `/PROGRAM` is what it starts.
///
/// # Errors
/// As `pack`.
pub fn of_program(name: &str, program: &str, content: Vec<u8>) -> Result<Vec<u8>> {
    let mut tree = Tree::default();
    tree.folder("tmp", 0o1777)?;
    tree.file(program, 0o755, content)?;
    let layer = layer::tar(&tree, &Owners::new())?;
    pack_started(name, &[layer], json!({ "User": "0:0", "Entrypoint": [format!("/{program}")] }))
}

/// How the image starts, as its configuration says it.
fn configuration(start: &Start) -> Value {
    let ports = start.ports.iter().map(|port| (format!("{port}/tcp"), json!({}))).collect::<serde_json::Map<_, _>>();
    json!({
        "User": start.user,
        "Entrypoint": start.entrypoint,
        "Cmd": start.arguments,
        "ExposedPorts": ports,
        "Env": ["PATH=/usr/bin:/bin"],
        "WorkingDir": start.folder,
        "StopSignal": start.stop_signal,
    })
}

fn pack_started(name: &str, layers: &[Vec<u8>], start: Value) -> Result<Vec<u8>> {
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": start,
        "rootfs": { "type": "layers", "diff_ids": layers.iter().map(|layer| named(layer)).collect::<Vec<_>>() },
    });
    let config = config.to_string().into_bytes();
    let described: Vec<Value> = layers.iter().map(|layer| describe(LAYER, layer)).collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": describe(CONFIG, &config),
        "layers": described,
    });
    let manifest = manifest.to_string().into_bytes();
    let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
    let mut entry = describe(MANIFEST, &manifest);
    entry["platform"] = json!({ "architecture": "amd64", "os": "linux" });
    entry["annotations"] = json!({ "io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] });
    let docker = json!([{
        "Config": blob(&config),
        "RepoTags": [name],
        "Layers": layers.iter().map(|layer| blob(layer)).collect::<Vec<_>>(),
    }]);

    let mut files: BTreeMap<String, &[u8]> = BTreeMap::new();
    let (index, docker) = (index.to_string(), docker.to_string());
    files.extend([&config, &manifest].into_iter().chain(layers).map(|content| (blob(content), content.as_slice())));
    files.insert("index.json".to_owned(), index.as_bytes());
    files.insert("manifest.json".to_owned(), docker.as_bytes());
    files.insert("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#);
    let mut tar = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, path, content)?;
    }
    Ok(tar.into_inner()?)
}

fn hash(content: &[u8]) -> String {
    hexadecimal(digest(&SHA256, content).as_ref())
}

fn named(content: &[u8]) -> String {
    format!("sha256:{}", hash(content))
}

fn blob(content: &[u8]) -> String {
    format!("blobs/sha256/{}", hash(content))
}

fn describe(media_type: &str, content: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": named(content), "size": content.len() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn files(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(archive).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            files.insert(path, content);
        }
        files
    }

    #[test]
    fn both_descriptions_lead_to_the_same_blobs() {
        let archive = of_program("x.local/agnhost:v1", "agnhost", b"program".to_vec()).unwrap();
        let files = files(&archive);
        let read = |path: &str| serde_json::from_slice::<Value>(&files[path]).unwrap();
        let docker = read("manifest.json");
        let index = read("index.json");
        let follow = |reference: &Value| {
            let digest = reference["digest"].as_str().unwrap();
            let path = format!("blobs/sha256/{}", digest.trim_start_matches("sha256:"));
            assert_eq!(named(&files[&path]), digest);
            assert_eq!(reference["size"], files[&path].len());
            path
        };
        let manifest = read(&follow(&index["manifests"][0]));
        assert_eq!(docker[0]["Config"], follow(&manifest["config"]));
        assert_eq!(docker[0]["Layers"][0], follow(&manifest["layers"][0]));
        assert_eq!(docker[0]["RepoTags"][0], index["manifests"][0]["annotations"]["io.containerd.image.name"]);
        let config = read(docker[0]["Config"].as_str().unwrap());
        assert_eq!(config["config"]["Entrypoint"], json!(["/agnhost"]));
        assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
    }

    #[test]
    fn the_same_program_gives_the_same_bytes() {
        let make = || of_program("x.local/a:v1", "a", b"x".to_vec()).unwrap();
        assert_eq!(make(), make());
    }
}
