//! Manifests, indexes and configurations: what an image is made of. Pure.

use super::{Digest, Fault};
use serde::{Deserialize, Serialize};

/// Bytes of a manifest or an index, as registries limit them.
pub const MANIFEST_BYTES_MAX: u64 = 4 << 20;
/// Bytes of a configuration; its history is what makes it long.
pub const CONFIG_BYTES_MAX: u64 = 8 << 20;
/// Layers of one image. Overlay mounts fail above some 500 lower folders; Docker stops at 127.
pub const LAYERS_MAX: usize = 256;
/// The platform of the machine.
const PLATFORM: (&str, &str) = ("linux", "amd64");

const MANIFESTS: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];
const INDEXES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];

/// A reference to a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What kind of content it is.
    pub media_type: String,
    /// Its name.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// What it runs on; in indexes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

/// What an image runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`.
    pub architecture: String,
}

impl Descriptor {
    /// Whether it leads to one image.
    pub fn is_manifest(&self) -> bool {
        MANIFESTS.contains(&self.media_type.as_str())
    }

    /// Whether it leads to a choice of images.
    pub fn is_index(&self) -> bool {
        INDEXES.contains(&self.media_type.as_str())
    }

    /// From containerd's form; `None` when its digest is none.
    pub(super) fn from_containerd(target: &containerd_client::types::Descriptor) -> Option<Descriptor> {
        let digest = Digest::parse(&target.digest).ok()?;
        let size = u64::try_from(target.size).ok()?;
        Some(Descriptor { media_type: target.media_type.clone(), digest, size, platform: None })
    }

    /// As containerd writes it.
    pub(super) fn to_containerd(&self) -> containerd_client::types::Descriptor {
        containerd_client::types::Descriptor {
            media_type: self.media_type.clone(),
            digest: self.digest.to_string(),
            size: i64::try_from(self.size).unwrap_or(i64::MAX),
            annotations: std::collections::HashMap::new(),
        }
    }
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Manifest {
    /// Where its configuration is.
    pub config: Descriptor,
    /// Its layers, the lowest first.
    pub layers: Vec<Descriptor>,
}

impl Manifest {
    /// Reads one.
    ///
    /// # Errors
    /// `Invalid` when it is none, or has too many layers.
    pub fn parse(bytes: &[u8]) -> Result<Manifest, Fault> {
        let manifest: Manifest =
            serde_json::from_slice(bytes).map_err(|error| Fault::invalid("manifest", error.to_string()))?;
        if manifest.layers.len() > LAYERS_MAX {
            let message = format!("{} layers; at most {LAYERS_MAX} can be mounted", manifest.layers.len());
            return Err(Fault::invalid("manifest", message));
        }
        Ok(manifest)
    }

    /// Configuration and layers.
    pub fn children(&self) -> impl Iterator<Item = &Descriptor> {
        std::iter::once(&self.config).chain(&self.layers)
    }
}

/// The manifest for this machine among those of an index.
///
/// # Errors
/// `Invalid` when it is no index.
pub fn choose(index: &[u8]) -> Result<Option<Descriptor>, Fault> {
    #[derive(Deserialize)]
    struct Index {
        manifests: Vec<Descriptor>,
    }
    let index: Index = serde_json::from_slice(index).map_err(|error| Fault::invalid("index", error.to_string()))?;
    let fits = |descriptor: &&Descriptor| {
        descriptor
            .platform
            .as_ref()
            .is_none_or(|platform| (platform.os.as_str(), platform.architecture.as_str()) == PLATFORM)
    };
    Ok(index.manifests.iter().find(fits).cloned())
}

/// What we need of an image's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Config {
    #[serde(flatten)]
    platform: Platform,
    rootfs: RootFs,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<Digest>,
}

impl Config {
    /// Reads one.
    ///
    /// # Errors
    /// `Invalid` when it is none.
    pub fn parse(bytes: &[u8]) -> Result<Config, Fault> {
        serde_json::from_slice(bytes).map_err(|error| Fault::invalid("config", error.to_string()))
    }

    /// The layers' digests before compression, one for each of `layers`.
    ///
    /// # Errors
    /// `Invalid` when it is for another platform, or tells another number of layers.
    pub fn diff_ids(&self, layers: usize) -> Result<&[Digest], Fault> {
        let Platform { os, architecture } = &self.platform;
        if (os.as_str(), architecture.as_str()) != PLATFORM {
            let message =
                format!("the image is for {os}/{architecture}, this machine is {}/{}", PLATFORM.0, PLATFORM.1);
            return Err(Fault::invalid("config", message));
        }
        let told = self.rootfs.diff_ids.len();
        if told != layers {
            return Err(Fault::invalid("config", format!("it tells {told} layers, the manifest has {layers}")));
        }
        Ok(&self.rootfs.diff_ids)
    }

    /// The name of the unpacked image, which is that of its topmost snapshot; `None` without layers.
    pub fn chain(&self) -> Option<Digest> {
        chains(&self.rootfs.diff_ids).pop()
    }
}

/// The names of the snapshots of layers, the lowest first: the OCI's `ChainID`.
pub fn chains(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chains: Vec<Digest> = Vec::new();
    for diff in diff_ids {
        chains.push(match chains.last() {
            Some(parent) => Digest::of(format!("{parent} {diff}").as_bytes()),
            None => diff.clone(),
        });
    }
    chains
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_chain_names_every_layer_below_it() {
        let layers = [Digest::of(b"a"), Digest::of(b"b"), Digest::of(b"c")];
        let chained = chains(&layers);
        assert_eq!(chained[0], layers[0]);
        assert_eq!(chained[1], Digest::of(format!("{} {}", layers[0], layers[1]).as_bytes()));
        assert_eq!(chained[2], Digest::of(format!("{} {}", chained[1], layers[2]).as_bytes()));
        assert_eq!(chains(&[]), []);
    }

    #[test]
    fn the_manifest_for_this_machine_is_chosen() {
        let entry = |architecture: &str, content: &[u8]| {
            json!({ "mediaType": MANIFESTS[0], "digest": Digest::of(content), "size": 1,
                    "platform": { "os": "linux", "architecture": architecture } })
        };
        let index = json!({ "manifests": [entry("arm64", b"1"), entry("unknown", b"2"), entry("amd64", b"3")] });
        let chosen = choose(index.to_string().as_bytes()).unwrap().unwrap();
        assert_eq!(chosen.digest, Digest::of(b"3"));
        let foreign = json!({ "manifests": [entry("arm64", b"1")] });
        assert_eq!(choose(foreign.to_string().as_bytes()).unwrap(), None);
    }

    #[test]
    fn an_image_for_another_platform_or_with_another_count_of_layers_is_refused() {
        let config = |architecture: &str| {
            let text = json!({ "os": "linux", "architecture": architecture,
                               "rootfs": { "type": "layers", "diff_ids": [Digest::of(b"a")] } });
            Config::parse(text.to_string().as_bytes()).unwrap()
        };
        assert_eq!(config("amd64").diff_ids(1).unwrap(), [Digest::of(b"a")]);
        assert!(config("amd64").diff_ids(2).unwrap_err().to_string().contains("tells 1 layers, the manifest has 2"));
        assert!(config("arm64").diff_ids(1).unwrap_err().to_string().contains("linux/arm64"));
    }
}
