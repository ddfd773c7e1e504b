//! What every worker of this kubelet shares. It must not know any single pod.

use crate::config::Config;
use crate::cri::Cri;
use crate::objects::Objects;
use crate::probe::Prober;
use crate::volumes::Volumes;
use client::{Client, Recorder};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Reads the time of day.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What is found out once about machine and engine.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// Memory, bytes.
    pub memory_bytes: i64,
    /// CPUs.
    pub cpus: i64,
    /// The engine's name, `containerd`.
    pub runtime: String,
    /// Its version.
    pub runtime_version: String,
    /// Whether the default handler can mount read-only all the way down.
    pub recursive_read_only: bool,
    /// The handlers that the engine has, by name, with what they can do.
    pub handlers: Vec<crate::cri::v1::RuntimeHandler>,
    /// What pods may use together.
    pub allocatable: BTreeMap<String, Quantity>,
    /// What the machine has.
    pub capacity: BTreeMap<String, Quantity>,
}

/// What every worker shares.
pub struct Context {
    /// The settings.
    pub config: Config,
    /// The API server, as this node's user.
    pub client: Client,
    /// The engine.
    pub cri: Cri,
    /// Where events go.
    pub recorder: Recorder,
    /// The time of day.
    pub clock: Clock,
    /// When this kubelet began; what is older was adopted.
    pub since: Timestamp,
    /// What pods refer to.
    pub objects: Arc<dyn Objects>,
    /// The volumes of all pods.
    pub volumes: Volumes,
    /// Runs probes.
    pub prober: Prober,
    /// Machine and engine.
    pub machine: Machine,
}

impl Context {
    /// Now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }
}
