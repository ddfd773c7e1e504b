//! Refuses nodes by the pods that run near them: affinity and anti-affinity of the pod, and anti-affinity of the pods
//! that are there. Behaviour as upstream's `interpodaffinity`.

use crate::failure::Refusal;
use crate::snapshot::{NodeView, PodView, Snapshot};
use api::selector::LabelSelector;
use api::{Tree, meta};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";

/// The required terms of one side, `podAffinity` or `podAntiAffinity`.
fn terms<'a>(pod: &'a Tree, side: &str) -> &'a [Tree] {
    pod.list_at(&["spec", "affinity", side, REQUIRED])
}

/// Whether a term of `owner` takes another pod.
fn takes(snapshot: &Snapshot, term: &Tree, owner: &Tree, other: &Tree) -> bool {
    let labels = meta::labels(other);
    let Ok(selector) = LabelSelector::from_tree(term.get("labelSelector")) else { return false };
    if !selector.matches(labels) {
        return false;
    }
    let own = |key: &str| meta::labels(owner).and_then(|l| l.get(key));
    let theirs = |key: &str| labels.and_then(|l| l.get(key));
    let same = |key: &&str| own(key).is_none() || own(key) == theirs(key);
    let keys = |field: &str| term.list_at(&[field]).iter().filter_map(Tree::as_str).collect::<Vec<_>>();
    if !keys("matchLabelKeys").iter().all(same) {
        return false;
    }
    if keys("mismatchLabelKeys").iter().any(|key| own(key).is_some() && own(key) == theirs(key)) {
        return false;
    }
    let namespace = meta::namespace(other);
    let named = term.list_at(&["namespaces"]);
    let chosen = term.get("namespaceSelector").filter(|s| !s.is_null());
    if named.is_empty() && chosen.is_none() {
        return namespace == meta::namespace(owner);
    }
    let by_label = chosen.is_some_and(|selector| {
        let labels = snapshot.namespaces.get(namespace).and_then(meta::labels);
        LabelSelector::from_tree(Some(selector)).is_ok_and(|s| s.matches(labels))
    });
    by_label || named.iter().any(|n| n.as_str() == Some(namespace))
}

fn topology<'a>(node: &'a NodeView, term: &Tree) -> Option<&'a str> {
    meta::labels(&node.tree)?.get(term.str_at(&["topologyKey"])?)?.as_str()
}

/// Whether a pod that the term takes runs in the topology of the node.
fn is_near(snapshot: &Snapshot, term: &Tree, owner: &Tree, node: &NodeView) -> bool {
    let Some(here) = topology(node, term) else { return false };
    let near = snapshot.nodes.values().filter(|other| topology(other, term) == Some(here));
    near.flat_map(|other| other.pods.values()).any(|pod| takes(snapshot, term, owner, &pod.tree))
}

fn satisfied(snapshot: &Snapshot, pod: &PodView, node: &NodeView) -> bool {
    let terms = terms(&pod.tree, "podAffinity");
    if terms.iter().any(|term| topology(node, term).is_none()) {
        return false;
    }
    if terms.iter().all(|term| is_near(snapshot, term, &pod.tree, node)) {
        return true;
    }
    // The first of a group that wants to be together has nobody to be near to: it may go anywhere, if it is of the
    // group itself.
    let exists = |term: &Tree| {
        let all = snapshot.nodes.values().filter(|n| topology(n, term).is_some()).flat_map(|n| n.pods.values());
        all.into_iter().any(|other| takes(snapshot, term, &pod.tree, &other.tree))
    };
    !terms.iter().any(exists) && terms.iter().all(|term| takes(snapshot, term, &pod.tree, &pod.tree))
}

/// See [`super::Filter`].
pub fn refuses(snapshot: &Snapshot, pod: &PodView, node: &NodeView) -> Option<Refusal> {
    if !satisfied(snapshot, pod, node) {
        return Some(Refusal::hopeless("node(s) didn't match pod affinity rules"));
    }
    if terms(&pod.tree, "podAntiAffinity").iter().any(|term| is_near(snapshot, term, &pod.tree, node)) {
        return Some(Refusal::resolvable("node(s) didn't match pod anti-affinity rules"));
    }
    for other in snapshot.nodes.values() {
        for there in other.pods.values() {
            let objects = |term: &Tree| {
                let together = topology(other, term).is_some() && topology(other, term) == topology(node, term);
                together && takes(snapshot, term, &there.tree, &pod.tree)
            };
            if terms(&there.tree, "podAntiAffinity").iter().any(objects) {
                return Some(Refusal::resolvable("node(s) didn't satisfy existing pods anti-affinity rules"));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pick::pick;
    use crate::snapshot::samples::{node, pod, snapshot};
    use serde_json::{Value, json};

    fn wanting(name: &str, side: &str, app: &str) -> PodView {
        let term = json!({"topologyKey": "host", "labelSelector": {"matchLabels": {"app": app}}});
        pod(name, json!({"affinity": {side: {REQUIRED: [term]}}}))
    }

    fn two() -> Vec<NodeView> {
        let host = |name: &str| node(name, json!({"host": name}), Value::Null);
        vec![host("a"), host("b")]
    }

    #[test]
    fn pods_keep_together_or_apart_as_they_say() {
        let mut nodes = two();
        nodes[1].add(pod("db", json!({})));
        assert_eq!(pick(&snapshot(nodes.clone()), &wanting("web", "podAffinity", "db")).unwrap(), "b");
        assert_eq!(pick(&snapshot(nodes), &wanting("web", "podAntiAffinity", "db")).unwrap(), "a");
    }

    #[test]
    fn a_pod_that_keeps_others_away_does_so_when_it_is_there() {
        let mut nodes = two();
        nodes[0].add(wanting("shy", "podAntiAffinity", "web"));
        assert_eq!(pick(&snapshot(nodes), &pod("web", json!({}))).unwrap(), "b");
    }

    #[test]
    fn the_first_of_a_group_may_go_anywhere() {
        assert!(pick(&snapshot(two()), &wanting("web", "podAffinity", "web")).is_ok());
        assert!(pick(&snapshot(two()), &wanting("web", "podAffinity", "db")).is_err());
    }
}
