//! Whether this node takes a pod: its place, its labels, its ports. Reasons and messages as upstream's
//! `pkg/kubelet/lifecycle/predicate.go`. Pure.
//!
//! It must not know what happens to a pod that is turned away.

use crate::pod;
use crate::status::Verdict;
use api::Tree;
use k8s_openapi::api::core::v1::Pod;
use pods::{Amounts, HostPorts, affinity, fit, ports};

/// What the node is.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// The node as the API server has it, with labels and allocatable amounts.
    pub node: &'a Tree,
    /// Pods at most.
    pub pods_max: usize,
}

fn verdict(reason: impl Into<String>, message: &str) -> Verdict {
    Verdict { reason: reason.into(), message: format!("Pod was rejected: {message}"), at_the_door: true }
}

/// Why the node turns the pod away, given those that it has; `None` when it takes it.
#[must_use]
pub fn judge<'a>(new: &Pod, others: impl Iterator<Item = &'a Pod>, place: &Place<'_>) -> Option<Verdict> {
    let tree = pod::tree(new);
    if let Some(os) = pod::spec(new).os.as_ref().filter(|os| os.name != "linux") {
        let message = format!("Failed to admit pod as the OS field doesn't match node OS: {}", os.name);
        return Some(verdict("PodOSNotSupported", &message));
    }
    let (mut used, mut held, mut count) = (Amounts::default(), HostPorts::default(), 0);
    for other in others.filter(|other| !pod::is_terminal(pod::phase(other))) {
        let other = pod::tree(other);
        used.add(&Amounts::of_pod(&other, true).unwrap_or_default());
        held.add(&ports::host_ports(&other));
        count += 1;
    }
    let wanted = Amounts::of_pod(&tree, false).ok()?;
    let (has, _) = Amounts::of_node(place.node).unwrap_or_default();
    if let Some(short) = fit::shortages(&wanted, &used, count, &has, place.pods_max).first() {
        let message = format!(
            "Node didn't have enough resource: {}, requested: {}, used: {}, capacity: {}",
            short.resource, short.requested, short.used, short.capacity
        );
        return Some(verdict(format!("OutOf{}", short.resource), &message));
    }
    if !affinity::matches_node(&tree, place.node) {
        let message = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";
        return Some(verdict("NodeAffinity", message));
    }
    let message = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
    held.conflict(&ports::host_ports(&tree)).map(|_| verdict("NodePorts", message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(spec: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap()
    }

    fn reason(new: Value, others: &[Value], pods_max: usize) -> String {
        let node = json!({"metadata": {"name": "n", "labels": {"zone": "a"}},
            "status": {"allocatable": {"cpu": "1", "memory": "1Gi", "pods": "110"}}});
        let node = Tree::from_json(node.to_string().as_bytes()).unwrap().tree;
        let others: Vec<Pod> = others.iter().cloned().map(pod).collect();
        let found = judge(&pod(new), others.iter(), &Place { node: &node, pods_max });
        found.map(|verdict| verdict.reason).unwrap_or_default()
    }

    #[test]
    fn a_node_takes_what_fits() {
        let cpu = |milli: &str| json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": milli}}}]});
        let port =
            |port: i32| json!({"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": port}]}]});
        let zone = |zone: &str| json!({"nodeSelector": {"zone": zone}, "containers": []});
        assert_eq!(reason(cpu("600m"), &[cpu("400m")], 10), "");
        assert_eq!(reason(cpu("600m"), &[cpu("500m")], 10), "OutOfcpu");
        assert_eq!(reason(cpu("1m"), &[cpu("1m")], 1), "OutOfpods");
        assert_eq!(reason(zone("a"), &[], 10), "");
        assert_eq!(reason(zone("b"), &[], 10), "NodeAffinity");
        assert_eq!(reason(port(80), &[port(81)], 10), "");
        assert_eq!(reason(port(80), &[port(80)], 10), "NodePorts");
        assert_eq!(reason(json!({"os": {"name": "windows"}, "containers": []}), &[], 10), "PodOSNotSupported");
    }
}
