//! What the kubelet asks of a pod's spec all the time. It must not know the runtime.

use api::Tree;
use client::Meta;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

/// The sorts of containers in a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Runs to its end before the next one, or beside all later ones when it restarts always.
    Init,
    /// The pod's purpose.
    Main,
    /// Added later to look around; never restarted.
    Ephemeral,
}

/// The spec; every stored pod has one.
#[must_use]
pub fn spec(pod: &Pod) -> &PodSpec {
    static EMPTY: std::sync::LazyLock<PodSpec> = std::sync::LazyLock::new(PodSpec::default);
    pod.spec.as_ref().unwrap_or(&EMPTY)
}

/// Init containers, sidecars among them, in their order.
#[must_use]
pub fn init_containers(pod: &Pod) -> &[Container] {
    spec(pod).init_containers.as_deref().unwrap_or_default()
}

/// Ephemeral containers in the form of the others.
#[must_use]
pub fn ephemeral_containers(pod: &Pod) -> Vec<Container> {
    let convert = |container| {
        let value = serde_json::to_value(container).ok()?;
        serde_json::from_value(value).ok()
    };
    spec(pod).ephemeral_containers.iter().flatten().filter_map(convert).collect()
}

/// One container by its name, with its sort.
#[must_use]
pub fn container(pod: &Pod, name: &str) -> Option<(Sort, Container)> {
    let find = |list: &[Container]| list.iter().find(|c| c.name == name).cloned();
    find(&spec(pod).containers)
        .map(|c| (Sort::Main, c))
        .or_else(|| find(init_containers(pod)).map(|c| (Sort::Init, c)))
        .or_else(|| find(&ephemeral_containers(pod)).map(|c| (Sort::Ephemeral, c)))
}

/// Whether an init container runs as long as the pod.
#[must_use]
pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// Whether the pod uses the node's network.
#[must_use]
pub fn on_host_network(pod: &Pod) -> bool {
    spec(pod).host_network.unwrap_or(false)
}

/// The pod's restart policy.
#[must_use]
pub fn restart_policy(pod: &Pod) -> &str {
    spec(pod).restart_policy.as_deref().unwrap_or("Always")
}

/// The phase in the status, `Pending` before the first.
#[must_use]
pub fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|s| s.phase.as_deref()).filter(|phase| !phase.is_empty()).unwrap_or("Pending")
}

/// Whether a phase is never left again.
#[must_use]
pub fn is_terminal(phase: &str) -> bool {
    matches!(phase, "Succeeded" | "Failed")
}

/// How upstream's messages name a pod.
#[must_use]
pub fn full_name(pod: &Pod) -> String {
    format!("{}_{}({})", pod.name(), pod.namespace(), pod.uid())
}

/// The pod as a tree, for the arithmetic of the `pods` crate.
#[must_use]
pub fn tree(pod: &Pod) -> Tree {
    let bytes = serde_json::to_vec(pod).unwrap_or_default();
    Tree::from_json(&bytes).map_or_else(|_| Tree::Null, |decoded| decoded.tree)
}

/// Changes when the container must be replaced: its name or image. Upstream's `HashContainer` takes the same two.
#[must_use]
pub fn hash(container: &Container) -> String {
    // FNV-1a, 64 bits: the value outlives this process in an annotation, so it must not depend on the library's hasher.
    let text = format!("{}\0{}", container.name, container.image.as_deref().unwrap_or_default());
    let sum = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{sum:x}")
}
