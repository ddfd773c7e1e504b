//! What a container's process gets told: environment, command and arguments. Behaviour as upstream's
//! `pkg/kubelet/kubelet_pods.go` (`makeEnvironmentVariables`).
//!
//! Pure core: [`environment`] takes what [`fetch`] has found. It must not know the runtime.

mod build;
mod expand;
mod fetch;
mod field;
mod file;
mod resource;
mod services;

pub use build::{Failure, Variables, environment};
pub use expand::{expand, process, static_command};
pub use fetch::{Fetched, fetch};
pub use field::{field, metadata_field};
pub use resource::resource;

use std::collections::BTreeMap;

/// What of node and sandbox a pod may be told. All addresses in the order of the node's preference.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Addresses of the pod; empty before its sandbox is there.
    pub pod_ips: Vec<String>,
    /// Addresses of the node.
    pub host_ips: Vec<String>,
    /// What the node has for pods (`cpu`, `memory`, `ephemeral-storage`): the limit of containers without one.
    pub allocatable: BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>,
}
