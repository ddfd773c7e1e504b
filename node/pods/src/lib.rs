//! Pure pod arithmetic: what a pod asks for, its quality of service, and whether it fits a node.
//!
//! Everything works on objects as trees and answers from them alone; one answer serves scheduler, DaemonSet controller,
//! kubelet and quota. Rules are those of `k8s.io/component-helpers` and of the scheduler's filters.
//!
//! It must not know the scheduler's order or any clock.

pub mod affinity;
pub mod fit;
pub mod list;
pub mod ports;
pub mod qos;
pub mod quota;
pub mod references;
pub mod requests;
pub mod taints;

pub use fit::{Amounts, Insufficient};
pub use list::{Malformed, ResourceList};
pub use ports::HostPorts;
pub use qos::{QosClass, qos_class};
pub use requests::{Options, pod_limits, pod_requests};

#[cfg(test)]
fn tree(json: serde_json::Value) -> api::Tree {
    api::Tree::from_json(json.to_string().as_bytes()).expect("JSON of a test").tree
}
