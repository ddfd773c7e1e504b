//! Images made of nothing.

use kubelet::images::{Blob, Digest, Target};
use serde_json::json;

/// An image in pieces.
pub struct Made {
    pub manifest: Vec<u8>,
    pub config: Vec<u8>,
    pub layers: Vec<Vec<u8>>,
}

/// An image whose layers hold one file each.
pub fn image(files: &[(&str, &[u8])]) -> Made {
    let layers: Vec<Vec<u8>> = files.iter().map(|(path, content)| layer(path, content)).collect();
    let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
    with_diff_ids(layers, &diff_ids)
}

/// An image whose configuration tells these digests of its layers.
pub fn with_diff_ids(layers: Vec<Vec<u8>>, diff_ids: &[Digest]) -> Made {
    let config = json!({ "os": "linux", "architecture": "amd64", "config": {},
                         "rootfs": { "type": "layers", "diff_ids": diff_ids } });
    let config = config.to_string().into_bytes();
    let describe = |kind: &str, content: &[u8]| {
        json!({ "mediaType": format!("application/vnd.oci.image.{kind}"), "digest": Digest::of(content),
                "size": content.len() })
    };
    let told: Vec<_> = layers.iter().map(|layer| describe("layer.v1.tar", layer)).collect();
    let manifest = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                           "config": describe("config.v1+json", &config), "layers": told });
    Made { manifest: manifest.to_string().into_bytes(), config, layers }
}

pub fn layer(path: &str, content: &[u8]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o755);
    header.set_mtime(0);
    header.set_size(content.len() as u64);
    tar.append_data(&mut header, path, content).unwrap();
    tar.into_inner().unwrap()
}

impl Made {
    /// Every blob, the manifest last.
    pub fn blobs(&self) -> Vec<(Blob, &[u8])> {
        let contents = self.layers.iter().chain([&self.config, &self.manifest]);
        contents.map(|content| (blob(content), &content[..])).collect()
    }

    pub fn told(&self) -> Vec<Blob> {
        self.blobs().into_iter().map(|(blob, _)| blob).collect()
    }

    /// What the last step is given.
    pub fn target(&self, load: &kubelet::images::Load, names: &[&str]) -> Target {
        let target = json!({
            "load": load, "names": names,
            "manifest": { "mediaType": "application/vnd.oci.image.manifest.v1+json",
                          "digest": Digest::of(&self.manifest), "size": self.manifest.len() },
        });
        serde_json::from_value(target).unwrap()
    }

    pub fn id(&self) -> Digest {
        Digest::of(&self.config)
    }
}

pub fn blob(content: &[u8]) -> Blob {
    Blob { digest: Digest::of(content), size: content.len() as u64 }
}
