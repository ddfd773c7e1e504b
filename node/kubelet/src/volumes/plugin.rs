//! The table of the kinds of volume, and what each of them is given and gives back.
//!
//! It must not know how any of them works.

use super::token::Tokens;
use super::{claim, config_map, downward, empty_dir, ephemeral, host_path, image, projected, secret};
use crate::env::Facts;
use crate::objects::Objects;
use client::Meta;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Volume};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

/// Reads the time of day.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Making one volume ready.
pub type Work<'a> = Pin<Box<dyn Future<Output = Result<Place, String>> + Send + 'a>>;

/// One kind of volume.
pub struct Plugin {
    /// The field of a pod's volume that asks for it.
    pub field: &'static str,
    /// Whether a volume is of this kind.
    pub takes: fn(&Volume) -> bool,
    /// Whether its files follow objects that change.
    pub refreshes: bool,
    /// Makes it ready, whatever is there already.
    pub set_up: for<'a> fn(Job<'a>) -> Work<'a>,
}

/// What a plugin is given.
pub struct Job<'a> {
    /// Whose volume it is.
    pub pod: &'a Pod,
    /// The volume.
    pub volume: &'a Volume,
    /// What the pod may be told.
    pub facts: &'a Facts,
    /// The folder of everything of the pod.
    pub pod_folder: PathBuf,
    /// Where to find what the volume names.
    pub objects: &'a dyn Objects,
    /// The tokens of this node's pods.
    pub tokens: &'a Tokens,
    /// The time of day.
    pub now: Timestamp,
}

impl Job<'_> {
    /// Where the volume goes: `volumes/kubernetes.io~PLUGIN/NAME`.
    #[must_use]
    pub fn folder(&self, plugin: &str, name: &str) -> PathBuf {
        self.pod_folder.join("volumes").join(format!("kubernetes.io~{plugin}")).join(name)
    }

    /// The group that owns the files of the pod's volumes.
    #[must_use]
    pub fn fs_group(&self) -> Option<u32> {
        let group = self.pod.spec.as_ref()?.security_context.as_ref()?.fs_group?;
        u32::try_from(group).ok()
    }

    /// The namespace of pod and objects.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.pod.namespace()
    }
}

/// Where a ready volume is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the node.
    Path {
        /// The folder, file, socket or device.
        path: PathBuf,
        /// Whether no container may write to it.
        read_only: bool,
    },
    /// An image, which the runtime mounts.
    Image {
        /// As the pod names it.
        reference: String,
    },
}

/// All kinds. Those that upstream has and this node has not are named in [`plugin_of`].
pub const PLUGINS: &[Plugin] = &[
    Plugin { field: "configMap", takes: |v| v.config_map.is_some(), refreshes: true, set_up: config_map::set_up },
    Plugin { field: "secret", takes: |v| v.secret.is_some(), refreshes: true, set_up: secret::set_up },
    Plugin { field: "downwardAPI", takes: |v| v.downward_api.is_some(), refreshes: true, set_up: downward::set_up },
    Plugin { field: "projected", takes: |v| v.projected.is_some(), refreshes: true, set_up: projected::set_up },
    Plugin { field: "emptyDir", takes: |v| v.empty_dir.is_some(), refreshes: false, set_up: empty_dir::set_up },
    Plugin { field: "hostPath", takes: |v| v.host_path.is_some(), refreshes: false, set_up: host_path::set_up },
    Plugin {
        field: "persistentVolumeClaim",
        takes: |v| v.persistent_volume_claim.is_some(),
        refreshes: false,
        set_up: claim::set_up,
    },
    Plugin { field: "ephemeral", takes: |v| v.ephemeral.is_some(), refreshes: false, set_up: ephemeral::set_up },
    Plugin { field: "image", takes: |v| v.image.is_some(), refreshes: false, set_up: image::set_up },
];

/// The plugin of a volume.
///
/// # Errors
/// Why there is none, and what there is instead.
pub fn plugin_of(volume: &Volume) -> Result<&'static Plugin, String> {
    PLUGINS.iter().find(|plugin| (plugin.takes)(volume)).ok_or_else(|| {
        let fields = serde_json::to_value(volume).unwrap_or_default();
        let asked = fields.as_object().into_iter().flatten().map(|(field, _)| field).find(|field| *field != "name");
        let known: Vec<&str> = PLUGINS.iter().map(|plugin| plugin.field).collect();
        let asked = asked.map_or("no kind of volume", String::as_str);
        format!("no volume plugin matched: {asked} is not supported on this node; use one of {}", known.join(", "))
    })
}
