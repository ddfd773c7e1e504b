//! The pods of a DaemonSet: how they are made, and which node each is for.

use crate::history;
use crate::owner::controlled_by;
use crate::pod::from_template;
use client::Meta;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec, Toleration};

/// The old annotation and label by which revisions were counted before they had hashes.
const GENERATION: &str = "deprecated.daemonset.template.generation";
const GENERATION_LABEL: &str = "pod-template-generation";

/// What daemons tolerate whatever their template says: a node in trouble keeps them.
const TOLERATED: &[(&str, &str)] = &[
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];
/// What daemons on the node's own network tolerate as well: they may be what makes the network.
const TOLERATED_ON_HOST: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");

/// The field by which a pod names its node.
const NAME_FIELD: &str = "metadata.name";

fn tolerate(spec: &mut PodSpec) {
    let on_host = spec.host_network == Some(true);
    let all = TOLERATED.iter().chain(on_host.then_some(&TOLERATED_ON_HOST));
    let tolerations = spec.tolerations.get_or_insert_default();
    for (key, effect) in all {
        let wanted = Toleration {
            key: Some((*key).to_owned()),
            operator: Some("Exists".to_owned()),
            effect: Some((*effect).to_owned()),
            ..Toleration::default()
        };
        let same = |t: &&mut Toleration| {
            t.key == wanted.key && t.effect == wanted.effect && t.operator == wanted.operator && t.value == wanted.value
        };
        match tolerations.iter_mut().find(same) {
            Some(there) => *there = wanted,
            None => tolerations.push(wanted),
        }
    }
}

/// A pod as it would be, to see which nodes take it.
pub fn probe(set: &DaemonSet) -> Pod {
    let template = set.spec.as_ref().map(|s| s.template.clone()).unwrap_or_default();
    let mut spec = template.spec.unwrap_or_default();
    tolerate(&mut spec);
    Pod { spec: Some(spec), ..Pod::default() }
}

/// A new pod for a node.
pub fn make(set: &DaemonSet, hash: &str, node: &str) -> Pod {
    let template = set.spec.as_ref().map(|s| s.template.clone()).unwrap_or_default();
    let mut pod = from_template(&template, set.name(), controlled_by(set));
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(history::LABEL.to_owned(), hash.to_owned());
    if let Some(generation) = generation(set) {
        labels.insert(GENERATION_LABEL.to_owned(), generation.to_string());
    }
    let spec = pod.spec.get_or_insert_default();
    tolerate(spec);
    let named = NodeSelectorRequirement {
        key: NAME_FIELD.to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![node.to_owned()]),
    };
    // The template's own terms held for this node already, so its name says all.
    let term = NodeSelectorTerm { match_fields: Some(vec![named]), match_expressions: None };
    let affinity = spec.affinity.get_or_insert_default().node_affinity.get_or_insert_default();
    affinity.required_during_scheduling_ignored_during_execution =
        Some(NodeSelector { node_selector_terms: vec![term] });
    pod
}

fn generation(set: &DaemonSet) -> Option<i64> {
    set.annotation(GENERATION)?.parse().ok()
}

/// Whether a pod is of the present template.
pub fn is_updated(set: &DaemonSet, pod: &Pod, hash: &str) -> bool {
    let counted = generation(set).is_some_and(|g| pod.label(GENERATION_LABEL) == Some(&g.to_string()));
    counted || pod.label(history::LABEL) == Some(hash)
}

/// The node that a pod is on or for; `None` for one that names none.
pub fn node_of(pod: &Pod) -> Option<&str> {
    let spec = pod.spec.as_ref()?;
    if let Some(node) = spec.node_name.as_deref().filter(|node| !node.is_empty()) {
        return Some(node);
    }
    let affinity = spec.affinity.as_ref()?.node_affinity.as_ref()?;
    let terms = &affinity.required_during_scheduling_ignored_during_execution.as_ref()?.node_selector_terms;
    let fields = terms.iter().flat_map(|term| term.match_fields.iter().flatten());
    let named = fields.into_iter().find(|field| field.key == NAME_FIELD && field.operator == "In")?;
    match named.values.as_deref()? {
        [node] => Some(node),
        _ => None,
    }
}
