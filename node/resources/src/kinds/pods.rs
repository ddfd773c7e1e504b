//! Pods: what `k8s.io/kubernetes/pkg/registry/core/pod` adds to a pod spec: a status from the start, deletion with
//! grace, and that almost nothing may change.

mod cells;
mod changes;

pub use changes::{EPHEMERAL_CONTAINERS, RESIZE};

use super::place::Place;
use super::pod_spec::{self, Holder};
use crate::rules::{Faults, PLAIN, Rules, SelectableField};
use api::{Tree, meta, tree};

/// What is special about pods.
pub const RULES: Rules = Rules {
    generation: true,
    returns_deleted: true,
    default,
    on_create: begin,
    on_status_update: keep_status,
    validate,
    validate_update: changes::of_pod,
    warnings,
    fields: FIELDS,
    cells: cells::row,
    grace: Some(grace),
    ..PLAIN
};

const fn field(label: &'static str, path: &'static [&'static str]) -> SelectableField {
    SelectableField { label, path, absent: "" }
}

const FIELDS: &[SelectableField] = &[
    field("spec.nodeName", &["spec", "nodeName"]),
    SelectableField { label: "spec.hostNetwork", path: &["spec", "hostNetwork"], absent: "false" },
    field("spec.restartPolicy", &["spec", "restartPolicy"]),
    field("spec.schedulerName", &["spec", "schedulerName"]),
    field("spec.serviceAccountName", &["spec", "serviceAccountName"]),
    field("status.nominatedNodeName", &["status", "nominatedNodeName"]),
    field("status.phase", &["status", "phase"]),
    field("status.podIP", &["status", "podIP"]),
];

/// Besides what every pod spec gets, a pod asks for what it is limited to, and opens on the node the ports that it
/// opens on the node's network.
fn default(object: &mut Tree) {
    let Some(spec) = object.get_mut("spec") else { return };
    pod_spec::default_spec(spec);
    for list in ["containers", "initContainers"] {
        let host_network = spec.bool_at(&["hostNetwork"]) == Some(true);
        for container in spec.get_mut(list).and_then(Tree::as_list_mut).into_iter().flatten() {
            ask_for_limits(container);
            if host_network {
                open_on_node(container);
            }
        }
    }
    if spec.get("enableServiceLinks").is_none_or(Tree::is_null) {
        spec.set("enableServiceLinks", true);
    }
    ask_as_a_whole(object);
}

fn ask_for_limits(container: &mut Tree) {
    let Some(limits) = container.map_at(&["resources", "limits"]).cloned() else { return };
    for (name, amount) in limits.iter() {
        if container.at(&["resources", "requests", name]).is_none() {
            container.set_at(&["resources", "requests", name], amount.clone());
        }
    }
}

fn open_on_node(container: &mut Tree) {
    for port in container.get_mut("ports").and_then(Tree::as_list_mut).into_iter().flatten() {
        if let (None | Some(0), Some(number)) = (port.int_at(&["hostPort"]), port.int_at(&["containerPort"])) {
            port.set("hostPort", number);
        }
    }
}

/// A pod that is limited as a whole asks as a whole: for what its containers ask, else for its limits.
fn ask_as_a_whole(object: &mut Tree) {
    let Some(limits) = object.map_at(&["spec", "resources", "limits"]).cloned() else { return };
    let options = pods::Options { without_pod_level: true, without_overhead: true, ..pods::Options::default() };
    // What is no quantity is left for validation to report.
    let parts = pods::pod_requests(object, &options).unwrap_or_default();
    let asked = |object: &Tree, name: &str| object.at(&["spec", "resources", "requests", name]).is_some();
    for (name, amount) in parts {
        if (name == "cpu" || name == "memory") && !asked(object, &name) {
            object.set_at(&["spec", "resources", "requests", &name], amount.to_string());
        }
    }
    for (name, amount) in limits.iter().filter(|(name, _)| pods::requests::is_pod_level(name)) {
        if !asked(object, name) {
            object.set_at(&["spec", "resources", "requests", name], amount.clone());
        }
    }
}

/// A new pod is pending, of a class that never changes.
fn begin(object: &mut Tree) {
    let mut status = tree!({"phase": "Pending"});
    if let Ok(class) = pods::qos::compute(object) {
        status.set("qosClass", class.name());
    }
    if !object.list_at(&["spec", "schedulingGates"]).is_empty() {
        // A pod that is made gated has been so since it was made.
        let since = object.at(&["metadata", "creationTimestamp"]).cloned().unwrap_or_default();
        let gated = tree!({
            "type": "PodScheduled",
            "status": "False",
            "lastTransitionTime": since,
            "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
        });
        status.set("conditions", vec![gated]);
    }
    object.set("status", status);
    object.set_at(&["metadata", "generation"], 1);
    take_label_keys(object);
}

/// Terms of affinity and spreading that follow the pod's own labels get their values.
fn take_label_keys(object: &mut Tree) {
    let labels = meta::labels(object).cloned();
    let labels = labels.as_ref();
    let Some(spec) = object.get_mut("spec") else { return };
    let each = |holder: Option<&mut Tree>, inner: Option<&str>| {
        for item in holder.and_then(Tree::as_list_mut).into_iter().flatten() {
            match inner {
                None => pod_spec::take_label_keys(item, labels),
                Some(field) => item.get_mut(field).into_iter().for_each(|i| pod_spec::take_label_keys(i, labels)),
            }
        }
    };
    each(spec.get_mut("topologySpreadConstraints"), None);
    for kind in ["podAffinity", "podAntiAffinity"] {
        each(spec.at_mut(&["affinity", kind, "requiredDuringSchedulingIgnoredDuringExecution"]), None);
        let preferred = spec.at_mut(&["affinity", kind, "preferredDuringSchedulingIgnoredDuringExecution"]);
        each(preferred, Some("podAffinityTerm"));
    }
}

/// What a status keeps when its writer leaves it out: the class, and which generation was observed.
fn keep_status(object: &mut Tree, old: &Tree) {
    if let Some(owners) = old.at(&["metadata", "ownerReferences"]) {
        object.set_at(&["metadata", "ownerReferences"], owners.clone());
    } else {
        object.remove_at(&["metadata", "ownerReferences"]);
    }
    for field in ["qosClass", "observedGeneration"] {
        if let (None, Some(before)) =
            (object.at(&["status", field]).filter(|v| !v.is_empty()), old.at(&["status", field]))
        {
            object.set_at(&["status", field], before.clone());
        }
    }
    let before = old.list_at(&["status", "conditions"]);
    let Some(conditions) = object.at_mut(&["status", "conditions"]).and_then(Tree::as_list_mut) else { return };
    for condition in conditions.iter_mut().filter(|c| c.get("observedGeneration").is_none_or(Tree::is_empty)) {
        let same = before.iter().find(|b| b.str_at(&["type"]) == condition.str_at(&["type"]));
        if let Some(generation) = same.and_then(|b| b.get("observedGeneration")) {
            condition.set("observedGeneration", generation.clone());
        }
    }
}

fn validate(object: &Tree, faults: &mut Faults) {
    let pod = Place::root(object);
    let spec = pod.at("spec");
    pod_spec::annotations(&pod.at("metadata").at("annotations"), spec.value, faults);
    pod_spec::validate(&spec, Holder::Pod(meta::name(object)), faults);
    if spec.at("serviceAccountName").text().is_empty() {
        for projected in spec.at("volumes").items().map(|volume| volume.at("projected")) {
            for token in projected.at("sources").items().map(|source| source.at("serviceAccountToken")) {
                if token.given() {
                    token.forbidden(faults, "must not be specified when serviceAccountName is not set");
                }
            }
        }
    }
    pod_spec::padded_images(&spec, faults);
    let gates = spec.at("schedulingGates").len();
    if gates > 0 && !spec.at("nodeName").text().is_empty() {
        spec.at("nodeName").forbidden(faults, "cannot be set until all schedulingGates have been cleared");
    }
}

fn warnings(object: &Tree) -> Vec<String> {
    let wrong = api::names::dns1123_label(meta::name(object));
    if meta::name(object).is_empty() || wrong.is_empty() {
        return Vec::new();
    }
    let why = "this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended";
    vec![format!("metadata.name: {why}: [{}]", wrong.join(" "))]
}

/// Seconds until a deleted pod goes: what was asked for, else what the pod says; none when nothing of it runs.
fn grace(object: &Tree, requested_seconds: Option<i64>) -> i64 {
    let unscheduled = object.str_at(&["spec", "nodeName"]).is_none_or(str::is_empty);
    if unscheduled || matches!(object.str_at(&["status", "phase"]), Some("Succeeded" | "Failed")) {
        return 0;
    }
    let own = object.int_at(&["spec", "terminationGracePeriodSeconds"]);
    match requested_seconds.or(own).unwrap_or_default() {
        seconds if seconds < 0 => 1,
        seconds => seconds,
    }
}

#[cfg(test)]
mod tests;
