//! A new node is tainted until it is ready. Rule of `k8s.io/kubernetes/plugin/pkg/admission/nodetaint`.

use super::Attributes;
use api::{Status, Tree, tree};

const NOT_READY: &str = "node.kubernetes.io/not-ready";

/// Taints a new node.
pub fn taint_new(attributes: &Attributes, node: &mut Tree) -> Result<(), Status> {
    if !attributes.creates("", "nodes") {
        return Ok(());
    }
    let mut taints = node.list_at(&["spec", "taints"]).to_vec();
    let has = |t: &Tree| t.str_at(&["key"]) == Some(NOT_READY) && t.str_at(&["effect"]) == Some("NoSchedule");
    if !taints.iter().any(has) {
        taints.push(tree!({"key": NOT_READY, "effect": "NoSchedule"}));
        node.set_at(&["spec", "taints"], taints);
    }
    Ok(())
}
