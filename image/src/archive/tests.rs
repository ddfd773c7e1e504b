//! Archives as builders write them, and as somebody with bad intentions would.

use super::parts::{Descriptor, Image, Source};
use super::{Members, images};
use crate::exit::{Code, Failure};
use crate::interrupt::Interrupt;
use serde_json::{Value, json};
use std::io::Write;
use tar::EntryType;

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// A tar in the making.
#[derive(Default)]
struct Tar(Vec<(String, EntryType, String, Vec<u8>)>);

impl Tar {
    fn file(mut self, path: &str, content: impl Into<Vec<u8>>) -> Tar {
        self.0.push((path.to_owned(), EntryType::Regular, String::new(), content.into()));
        self
    }

    fn json(self, path: &str, value: &Value) -> Tar {
        self.file(path, value.to_string())
    }

    fn link(mut self, path: &str, target: &str) -> Tar {
        self.0.push((path.to_owned(), EntryType::Symlink, target.to_owned(), Vec::new()));
        self
    }

    fn odd(mut self, path: &str, kind: EntryType) -> Tar {
        self.0.push((path.to_owned(), kind, String::new(), Vec::new()));
        self
    }

    /// A blob of an OCI layout.
    fn blob(self, content: impl Into<Vec<u8>>) -> Tar {
        let content = content.into();
        self.file(&format!("blobs/sha256/{}", digits(&content)), content)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, kind, target, content) in &self.0 {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(*kind);
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            // Written as bytes: the library refuses what a hostile archive has.
            header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
            header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target.as_bytes());
            header.set_cksum();
            tar.append(&header, &content[..]).unwrap();
        }
        tar.into_inner().unwrap()
    }
}

fn digest(content: &[u8]) -> String {
    Descriptor::of("", content).digest
}

fn digits(content: &[u8]) -> String {
    digest(content)["sha256:".len()..].to_owned()
}

fn describe(media_type: &str, content: &[u8]) -> Value {
    serde_json::to_value(Descriptor::of(media_type, content)).unwrap()
}

fn config(architecture: &str, layers: &[&[u8]]) -> Value {
    let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
    json!({ "os": "linux", "architecture": architecture, "rootfs": { "type": "layers", "diff_ids": diff_ids } })
}

fn read(bytes: &[u8]) -> anyhow::Result<Vec<Image>> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    images(&Members::read(file, "x.tar")?, &Interrupt::never(), &|_| ())
}

/// Checks that an archive is refused, and that the message begins with the file and names the member.
fn refused(tar: &Tar, member: &str, why: &str) {
    refused_bytes(&tar.bytes(), member, why);
}

fn refused_bytes(bytes: &[u8], member: &str, why: &str) {
    let failure = Failure::of(read(bytes).map(|images| images.len()).expect_err("an archive that is refused"));
    assert_eq!(failure.code, Code::Refused, "{failure}");
    let begin = if member.is_empty() { "x.tar: ".to_owned() } else { format!("x.tar: {member}: ") };
    assert!(failure.message.starts_with(&begin), "{failure} does not name {member:?}");
    assert!(failure.message.contains(why), "{failure} does not say {why:?}");
}

/// An old `docker save` of one image with the layers given.
fn docker(layers: &[(&str, &[u8])], config: &Value) -> Tar {
    let text = config.to_string();
    let path = format!("{}.json", digits(text.as_bytes()));
    let paths: Vec<&str> = layers.iter().map(|(path, _)| *path).collect();
    let manifest = json!([{ "Config": path, "RepoTags": ["app:1", "app:2"], "Layers": paths }]);
    let tar = Tar::default().file(&path, text).json("manifest.json", &manifest);
    layers.iter().fold(tar, |tar, (path, content)| tar.file(path, *content))
}

/// An OCI layout of one image.
fn oci(name: &str, layer: &[u8], config: &Value) -> (Tar, Vec<u8>) {
    let config = config.to_string().into_bytes();
    let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": describe(CONFIG, &config),
                           "layers": [describe(LAYER, layer)] });
    let manifest = manifest.to_string().into_bytes();
    let mut entry = describe(MANIFEST, &manifest);
    entry["annotations"] = json!({ "io.containerd.image.name": name });
    let tar = Tar::default().blob(layer).blob(config).blob(manifest.clone());
    (tar.json("index.json", &json!({ "schemaVersion": 2, "manifests": [entry] })), manifest)
}

#[test]
fn an_old_docker_archive_gets_a_manifest_of_its_own_digests() {
    let tar = docker(&[("a/layer.tar", b"lower"), ("b/layer.tar", b"upper")], &config("amd64", &[b"lower", b"upper"]));
    let images = read(&tar.bytes()).unwrap();
    assert_eq!(images.len(), 1);
    assert_eq!(images[0].names, ["app:1", "app:2"]);
    let blobs = &images[0].blobs;
    assert_eq!(blobs[0].digest, digest(b"lower"));
    assert_eq!(blobs[2].digest, images[0].id);
    let Source::Bytes(manifest) = &blobs[3].source else { panic!("the manifest is made here") };
    let manifest: Value = serde_json::from_slice(manifest).unwrap();
    assert_eq!(manifest["layers"][1]["digest"], digest(b"upper"));
    assert_eq!(manifest["config"]["digest"], images[0].id.as_str());
    assert_eq!(read(&tar.bytes()).unwrap(), images, "the same archive gives the same image");
}

#[test]
fn a_layer_that_is_a_link_to_another_is_sent_once() {
    let tar = docker(&[("a/layer.tar", b"same"), ("b/layer.tar", b"")], &config("amd64", &[b"same", b"same"]));
    let mut linked = Tar(tar.0.into_iter().filter(|(path, ..)| path != "b/layer.tar").collect());
    linked = linked.link("b/layer.tar", "../a/layer.tar");
    let images = read(&linked.bytes()).unwrap();
    assert_eq!(images[0].blobs.len(), 3);
}

#[test]
fn layers_compressed_in_the_archive_keep_their_compression() {
    let packed = [0x1f, 0x8b, 8, 0, 0];
    let images = read(&docker(&[("a/layer.tar", &packed)], &config("amd64", &[b"plain"])).bytes()).unwrap();
    let Source::Bytes(manifest) = &images[0].blobs[2].source else { panic!("the manifest is made here") };
    let manifest: Value = serde_json::from_slice(manifest).unwrap();
    assert_eq!(manifest["layers"][0]["mediaType"], format!("{LAYER}+gzip"));
}

#[test]
fn an_oci_layout_keeps_its_digests_and_its_name() {
    let (tar, manifest) = oci("r.test/app:1", b"layer", &config("amd64", &[b"layer"]));
    let images = read(&tar.bytes()).unwrap();
    assert_eq!(images[0].names, ["r.test/app:1"]);
    assert_eq!(images[0].manifest.digest, digest(&manifest));
    assert_eq!(images[0].blobs.len(), 3);
}

#[test]
fn an_oci_layout_without_a_name_takes_it_from_the_docker_archive_around_it() {
    let config = config("amd64", &[b"layer"]);
    let (tar, _) = oci("", b"layer", &config);
    let unnamed: Vec<_> = tar.0.iter().filter(|(path, ..)| path != "index.json").cloned().collect();
    let manifest = &unnamed[2].3;
    let entry = describe(MANIFEST, manifest);
    let path = format!("blobs/sha256/{}", digits(config.to_string().as_bytes()));
    let both = Tar(unnamed)
        .json("index.json", &json!({ "manifests": [entry] }))
        .json("manifest.json", &json!([{ "Config": path, "RepoTags": ["app:1"], "Layers": [] }]));
    assert_eq!(read(&both.bytes()).unwrap()[0].names, ["app:1"]);
}

#[test]
fn of_many_platforms_the_machine_s_is_taken_and_the_others_may_be_absent() {
    let (tar, manifest) = oci("x", b"layer", &config("amd64", &[b"layer"]));
    let of = |architecture: &str, content: &[u8]| {
        let mut entry = describe(MANIFEST, content);
        entry["platform"] = json!({ "os": "linux", "architecture": architecture });
        entry
    };
    let mut attestation = of("unknown", b"attestation");
    attestation["annotations"] = json!({ "vnd.docker.reference.type": "attestation-manifest" });
    let inner = json!({ "manifests": [of("arm64", b"absent"), attestation, of("amd64", &manifest)] }).to_string();
    let mut outer = describe(INDEX, inner.as_bytes());
    outer["annotations"] = json!({ "io.containerd.image.name": "r.test/multi:1" });
    let parts = Tar(tar.0.into_iter().filter(|(path, ..)| path != "index.json").collect());
    let images = read(&parts.blob(inner).json("index.json", &json!({ "manifests": [outer] })).bytes()).unwrap();
    assert_eq!(images[0].manifest.digest, digest(&manifest));
    assert_eq!(images[0].names, ["r.test/multi:1"]);
}

#[test]
fn images_for_other_machines_are_refused_by_platform() {
    refused(&oci("x", b"layer", &config("arm64", &[b"layer"])).0, "", "is for linux/arm64");
    let tar = docker(&[("a/layer.tar", b"x")], &config("s390x", &[b"x"]));
    let path = tar.0[0].0.clone();
    refused(&tar, &path, "is for linux/s390x");
}

#[test]
fn what_is_no_image_archive_is_refused() {
    refused_bytes(b"", "", "neither index.json nor manifest.json");
    refused_bytes(&[7; 4096], "", "no tar archive");
    refused(&Tar::default().file("readme.txt", "hello"), "", "neither index.json nor manifest.json");
    refused(&Tar::default().json("manifest.json", &json!([])), "", "holds no image");
    refused(&Tar::default().file("manifest.json", "["), "manifest.json", "EOF");
    refused(&Tar::default().file("index.json", "7"), "index.json", "invalid");
}

#[test]
fn content_that_is_not_what_its_digest_says_is_refused() {
    let tar = docker(&[("a/layer.tar", b"forged")], &config("amd64", &[b"true"]));
    refused(&tar, "a/layer.tar", "the configuration says");
    let (mut tar, _) = oci("x", b"layer", &config("amd64", &[b"layer"]));
    let honest = std::mem::replace(&mut tar.0[1].3, config("amd64", &[b"lAyer"]).to_string().into_bytes());
    refused(&tar, &tar.0[1].0, "its content has the digest");
    tar.0[1].3 = honest;
    let path = tar.0[0].0.clone();
    tar.0[0].3 = b"LAYER".to_vec();
    let checked: Vec<_> = read(&tar.bytes()).unwrap()[0].blobs.iter().map(|blob| blob.is_checked).collect();
    assert_eq!(checked, [false, true, true], "a layer is checked on its way");
    tar.0[0].3 = b"longer than that".to_vec();
    refused(&tar, &path, "its descriptor says 5");
    tar.0.remove(0);
    refused(&tar, &path, "is not in the archive");
}

#[test]
fn paths_that_lead_out_links_in_circles_and_odd_members_are_refused() {
    let good = || docker(&[("a/layer.tar", b"x")], &config("amd64", &[b"x"]));
    refused(&good().file("../evil", "x"), "../evil", "leads out");
    refused(&good().file("/etc/passwd", "x"), "/etc/passwd", "leads out");
    refused(&good().link("b/layer.tar", "../../etc/shadow"), "b/layer.tar", "leads out");
    refused(&good().link("b/layer.tar", "/etc/shadow"), "b/layer.tar", "leads out");
    refused(&good().odd("dev", EntryType::Char), "dev", "Char");
    refused(&good().file("a/./layer.tar", "y"), "a/layer.tar", "is there twice");
    let circle = docker(&[("a/layer.tar", b"x")], &config("amd64", &[b"x"]));
    let circle = Tar(circle.0.into_iter().filter(|(path, ..)| path != "a/layer.tar").collect());
    refused(&circle.link("a/layer.tar", "../b").link("b", "a/layer.tar"), "a/layer.tar", "behind more than");
}

#[test]
fn an_archive_that_is_cut_short_is_refused_wherever_it_ends() {
    let whole = docker(&[("a/layer.tar", &[9; 2000])], &config("amd64", &[&[9; 2000]])).bytes();
    // The last 1,072 bytes hold no content.
    for length in (1..whole.len() - 1072).step_by(100) {
        let failure = Failure::of(read(&whole[..length]).map(|images| images.len()).expect_err("cut short"));
        assert_eq!(failure.code, Code::Refused, "{length} bytes: {failure}");
    }
    assert_eq!(read(&whole).unwrap().len(), 1);
}

#[test]
fn numbers_beyond_the_limits_are_refused() {
    let many = vec!["a/layer.tar"; 257];
    let tar = Tar::default().json("manifest.json", &json!([{ "Config": "c.json", "Layers": many }]));
    refused(&tar, "manifest.json", "257 layers");
    let images = vec![json!({ "Config": "c.json" }); 257];
    refused(&Tar::default().json("manifest.json", &Value::Array(images)), "manifest.json", "257 images");
    let long = vec![b' '; (4 << 20) + 1];
    refused(&Tar::default().file("manifest.json", long), "manifest.json", "at most 4194304");
    let count = docker(&[("a/layer.tar", b"x")], &config("amd64", &[b"x", b"y"]));
    let path = count.0[0].0.clone();
    refused(&count, &path, "tells 2 layers, and there are 1");
}

#[test]
fn digests_that_are_paths_are_refused() {
    let (mut tar, _) = oci("x", b"layer", &config("amd64", &[b"layer"]));
    let evil = json!({ "manifests": [{ "mediaType": MANIFEST, "digest": "sha256:../../etc/passwd", "size": 1 }] });
    tar.0.retain(|(path, ..)| path != "index.json");
    refused(&tar.json("index.json", &evil), "sha256:../../etc/passwd", "is not the SHA-256 digest");
}
