//! What a decision is made from: nodes with what is taken on them, pods with what they ask for.
//!
//! It must not know where any of it comes from.

use api::{Quantity, Tree, meta};
use pods::fit::{DEFAULT_MEMORY, DEFAULT_MILLI_CPU};
use pods::ports::{HostPort, host_ports};
use pods::{Amounts, HostPorts, Malformed, Options, pod_requests};
use std::collections::BTreeMap;

/// A pod and what it asks for.
#[derive(Clone, Debug)]
pub struct PodView {
    /// The pod itself.
    pub tree: Tree,
    /// What it asks for.
    pub requests: Amounts,
    /// What the scores take it to use: requests, or a little where it has none.
    pub weight: Amounts,
    /// Ports of the node that it wants.
    pub ports: Vec<HostPort>,
    /// Where its volumes can be reached: the NodeSelectors of the volumes that it is bound to.
    pub volumes: Vec<Tree>,
}

impl PodView {
    /// Reads a pod; `placed` when it is on a node.
    ///
    /// # Errors
    /// When an amount in it cannot be read.
    pub fn new(tree: Tree, placed: bool) -> Result<PodView, Malformed> {
        let missing = [("cpu", DEFAULT_MILLI_CPU, "m"), ("memory", DEFAULT_MEMORY, "")];
        let missing = missing.into_iter().filter_map(|(name, amount, suffix)| {
            Some((name.to_owned(), Quantity::parse(&format!("{amount}{suffix}")).ok()?))
        });
        let options = Options { use_status: placed, missing: missing.collect(), ..Options::default() };
        let weight = Amounts::from_list(&pod_requests(&tree, &options)?);
        Ok(PodView {
            requests: Amounts::of_pod(&tree, placed)?,
            weight,
            ports: host_ports(&tree),
            volumes: Vec::new(),
            tree,
        })
    }

    /// How important the pod is.
    #[must_use]
    pub fn priority(&self) -> i64 {
        self.tree.int_at(&["spec", "priority"]).unwrap_or(0)
    }

    /// The pod's uid.
    #[must_use]
    pub fn uid(&self) -> &str {
        meta::uid(&self.tree)
    }
}

/// A node and what is taken on it.
#[derive(Clone, Debug)]
pub struct NodeView {
    /// The node itself.
    pub tree: Tree,
    /// What it has for pods.
    pub allocatable: Amounts,
    /// How many pods it takes.
    pub pods_max: usize,
    /// The pods on it, by uid, also those on their way.
    pub pods: BTreeMap<String, PodView>,
    /// What they ask for together.
    pub used: Amounts,
    /// What the scores take them to use together.
    pub weight: Amounts,
    /// The ports they hold.
    pub ports: HostPorts,
}

impl NodeView {
    /// An empty node.
    ///
    /// # Errors
    /// When an amount in it cannot be read.
    pub fn new(tree: Tree) -> Result<NodeView, Malformed> {
        let (allocatable, pods_max) = Amounts::of_node(&tree)?;
        Ok(NodeView {
            tree,
            allocatable,
            pods_max,
            pods: BTreeMap::new(),
            used: Amounts::default(),
            weight: Amounts::default(),
            ports: HostPorts::default(),
        })
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        meta::name(&self.tree)
    }

    /// Puts a pod on the node, in place of its older self.
    pub fn add(&mut self, pod: PodView) {
        self.remove(pod.uid());
        self.used.add(&pod.requests);
        self.weight.add(&pod.weight);
        self.ports.add(&pod.ports);
        self.pods.insert(pod.uid().to_owned(), pod);
    }

    /// Takes a pod off the node; whether it was there.
    pub fn remove(&mut self, uid: &str) -> bool {
        let Some(pod) = self.pods.remove(uid) else { return false };
        self.used.subtract(&pod.requests);
        self.weight.subtract(&pod.weight);
        self.ports.remove(&pod.ports);
        true
    }
}

/// Everything a decision needs beside the pod.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The nodes by name.
    pub nodes: BTreeMap<String, NodeView>,
    /// Labels of the namespaces, for affinity to pods in other namespaces.
    pub namespaces: BTreeMap<String, Tree>,
}

#[cfg(test)]
pub(crate) mod samples {
    //! Nodes and pods for tests.

    use super::*;
    use serde_json::{Value, json};

    pub fn tree(value: &Value) -> Tree {
        Tree::from_json(value.to_string().as_bytes()).expect("JSON of a test").tree
    }

    /// A pod; `spec` is merged over an empty one.
    pub fn pod(name: &str, spec: Value) -> PodView {
        let value =
            json!({"metadata": {"name": name, "namespace": "a", "uid": name, "labels": {"app": name}}, "spec": spec});
        PodView::new(tree(&value), false).expect("a pod of a test")
    }

    /// A pod that asks for so many thousandths of a CPU.
    pub fn asking(name: &str, milli: u32) -> PodView {
        pod(name, json!({"containers": [{"resources": {"requests": {"cpu": format!("{milli}m")}}}]}))
    }

    /// A node with a CPU, 1Gi and ten pods; `more` is put into its spec.
    pub fn node(name: &str, labels: Value, more: Value) -> NodeView {
        let value = json!({"metadata": {"name": name, "labels": labels}, "spec": more,
            "status": {"allocatable": {"cpu": "1", "memory": "1Gi", "pods": "10"}}});
        NodeView::new(tree(&value)).expect("a node of a test")
    }

    pub fn snapshot(nodes: Vec<NodeView>) -> Snapshot {
        Snapshot { nodes: nodes.into_iter().map(|n| (n.name().to_owned(), n)).collect(), ..Snapshot::default() }
    }
}
