//! The running picture of the cluster: kept by the caches' changes, and by the bindings that the caches have not seen
//! yet.
//!
//! It must not decide.

use crate::snapshot::{NodeView, PodView, Snapshot};
use api::{Tree, meta};
use std::collections::HashMap;

/// The picture.
#[derive(Default)]
pub struct Cluster {
    snapshot: Snapshot,
    /// Where each placed pod is, by uid.
    places: HashMap<String, String>,
    /// Pods on nodes that are not known (yet), by node.
    homeless: HashMap<String, Vec<PodView>>,
}

impl Cluster {
    /// What to decide from.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Takes in a node's newest state; its pods stay.
    pub fn set_node(&mut self, tree: Tree) {
        let name = meta::name(&tree).to_owned();
        let mut node = match NodeView::new(tree) {
            Ok(node) => node,
            Err(error) => return tracing::warn!(node = name, %error, "a node cannot be read and gets no pods"),
        };
        let there = self.snapshot.nodes.remove(&name).map(|old| old.pods.into_values().collect::<Vec<_>>());
        for pod in there.into_iter().flatten().chain(self.homeless.remove(&name).into_iter().flatten()) {
            node.add(pod);
        }
        self.snapshot.nodes.insert(name, node);
    }

    /// Takes a node away; its pods are remembered until they go too.
    pub fn remove_node(&mut self, name: &str) {
        if let Some(node) = self.snapshot.nodes.remove(name) {
            self.homeless.insert(name.to_owned(), node.pods.into_values().collect());
        }
    }

    /// Puts a pod on a node.
    pub fn place(&mut self, pod: PodView, node: &str) {
        self.remove_pod(pod.uid());
        self.places.insert(pod.uid().to_owned(), node.to_owned());
        match self.snapshot.nodes.get_mut(node) {
            Some(node) => node.add(pod),
            None => self.homeless.entry(node.to_owned()).or_default().push(pod),
        }
    }

    /// Takes a pod off its node; whether it was on one.
    pub fn remove_pod(&mut self, uid: &str) -> bool {
        let Some(place) = self.places.remove(uid) else { return false };
        if let Some(node) = self.snapshot.nodes.get_mut(&place) {
            node.remove(uid);
        } else if let Some(pods) = self.homeless.get_mut(&place) {
            pods.retain(|pod| pod.uid() != uid);
        }
        true
    }

    /// Takes in a namespace.
    pub fn set_namespace(&mut self, tree: Tree) {
        self.snapshot.namespaces.insert(meta::name(&tree).to_owned(), tree);
    }

    /// Takes a namespace away.
    pub fn remove_namespace(&mut self, name: &str) {
        self.snapshot.namespaces.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::samples::{asking, node};
    use serde_json::json;

    #[test]
    fn pods_stay_counted_while_their_node_changes_or_comes_late() {
        let mut cluster = Cluster::default();
        cluster.place(asking("p", 300), "n");
        cluster.set_node(node("n", json!({}), json!({})).tree);
        assert_eq!(cluster.snapshot().nodes["n"].used.get("cpu"), 300);
        cluster.set_node(node("n", json!({"new": "label"}), json!({})).tree);
        assert_eq!(cluster.snapshot().nodes["n"].used.get("cpu"), 300);
        assert!(cluster.remove_pod("p") && !cluster.remove_pod("p"));
        assert_eq!(cluster.snapshot().nodes["n"].used.get("cpu"), 0);
    }
}
