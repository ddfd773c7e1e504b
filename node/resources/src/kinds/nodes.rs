//! Nodes: machines that run pods. Rules of `k8s.io/kubernetes/pkg/registry/core/node`.

use super::address;
use super::place::Place;
use crate::cells;
use crate::rules::{Faults, PLAIN, Rules, SelectableField};
use api::{FieldError, Quantity, Tree, meta, names};

const ROLE_PREFIX: &str = "node-role.kubernetes.io/";
const ROLE: &str = "kubernetes.io/role";

/// What is special about Nodes.
pub const RULES: Rules = Rules {
    status_on_create: true,
    default,
    validate,
    validate_update: changed,
    validate_status: status,
    fields: &[SelectableField { label: "spec.unschedulable", path: &["spec", "unschedulable"], absent: "false" }],
    cells: row,
    ..PLAIN
};

/// What a node has, pods may have.
fn default(object: &mut Tree) {
    if let Some(capacity) = object.at(&["status", "capacity"]).cloned()
        && object.at(&["status", "allocatable"]).is_none()
    {
        object.set_at(&["status", "allocatable"], capacity);
    }
}

fn validate(object: &Tree, faults: &mut Faults) {
    let root = Place::root(object);
    taints(&root, faults);
    resources(&root, faults);
    let ranges = root.down(&["spec", "podCIDRs"]);
    let parsed: Vec<_> = ranges.items().filter_map(|range| address::cidr(&range, faults)).collect();
    let one_family = parsed.iter().all(|range| range.ip.is_ipv4() == parsed[0].ip.is_ipv4());
    if ranges.len() > 1 && (one_family || ranges.len() > 2) {
        ranges.invalid(faults, "may specify no more than one CIDR for each IP family");
    }
}

fn taints(root: &Place, faults: &mut Faults) {
    let mut seen = Vec::new();
    // Upstream reports taints under metadata.
    let path = root.at("metadata").path.field("taints");
    for (i, taint) in root.down(&["spec", "taints"]).items().enumerate() {
        let taint = Place { value: taint.value, path: path.index(i) };
        let (key, value, effect) = (taint.at("key"), taint.at("value"), taint.at("effect"));
        key.invalid_for(faults, names::label_key(key.text()));
        let wrong = names::label_value(value.text());
        if !wrong.is_empty() {
            value.invalid(faults, wrong.join(";"));
        }
        effect.must_be_one_of(faults, &["NoSchedule", "PreferNoSchedule", "NoExecute"]);
        if seen.contains(&(key.text(), effect.text())) {
            let mut fault = FieldError::duplicate(taint.path.clone(), taint.value.clone());
            fault.detail = "taints must be unique by key and effect pair".to_owned();
            faults.push(fault);
        }
        seen.push((key.text(), effect.text()));
    }
}

/// Amounts are not negative, and whole where a part of one makes no sense.
fn resources(root: &Place, faults: &mut Faults) {
    for list in ["capacity", "allocatable"] {
        let list = root.at("status").at(list);
        for (name, amount) in list.entries() {
            let amount = Place { value: amount.value, path: list.path.field(name) };
            let Ok(quantity) = Quantity::parse(amount.text()) else { continue };
            if quantity.sign() < 0 {
                amount.invalid(faults, super::place::NEGATIVE);
            }
            let whole = name == "pods" || (name.contains('/') && !name.contains("kubernetes.io/"));
            if whole && quantity.milli() % 1000 != 0 {
                amount.invalid(faults, "must be an integer");
            }
        }
    }
}

fn changed(object: &Tree, old: &Tree, faults: &mut Faults) {
    let root = Place::root(object);
    addresses(&root, faults);
    let before = old.list_at(&["spec", "podCIDRs"]);
    let ranges = root.down(&["spec", "podCIDRs"]);
    if !before.is_empty() && ranges.value.as_list() != Some(before) {
        ranges.forbidden(faults, "node updates may not change podCIDR except from \"\" to valid");
    }
    let provider = root.down(&["spec", "providerID"]);
    let before = old.str_at(&["spec", "providerID"]).unwrap_or_default();
    if !before.is_empty() && before != provider.text() {
        provider.forbidden(faults, "node updates may not change providerID except from \"\" to valid");
    }
    let external = root.down(&["spec", "externalID"]);
    if external.text() != old.str_at(&["spec", "externalID"]).unwrap_or_default() {
        external.forbidden(faults, "may not be updated");
    }
}

fn addresses(root: &Place, faults: &mut Faults) {
    let mut seen = Vec::new();
    for one in root.down(&["status", "addresses"]).items() {
        if seen.contains(&one.value) {
            one.duplicate(faults);
        }
        seen.push(one.value);
    }
}

fn status(object: &Tree, _old: &Tree, faults: &mut Faults) {
    resources(&Place::root(object), faults);
    addresses(&Place::root(object), faults);
}

fn state(object: &Tree) -> String {
    let conditions = object.list_at(&["status", "conditions"]);
    let ready = conditions.iter().rfind(|c| c.str_at(&["type"]) == Some("Ready"));
    let state = match ready.map(|c| c.str_at(&["status"])) {
        None => "Unknown",
        Some(Some("True")) => "Ready",
        Some(_) => "NotReady",
    };
    let held = object.bool_at(&["spec", "unschedulable"]) == Some(true);
    if held { format!("{state},SchedulingDisabled") } else { state.to_owned() }
}

fn roles(object: &Tree) -> Tree {
    let labels = meta::labels(object).into_iter().flat_map(api::Map::iter);
    let role = |(key, value): &(api::Name, Tree)| match key.strip_prefix(ROLE_PREFIX) {
        Some(role) => Some(role.to_owned()),
        None if key.as_str() == ROLE => value.as_str().map(str::to_owned),
        None => None,
    };
    let mut roles: Vec<String> = labels.filter_map(role).filter(|role| !role.is_empty()).collect();
    roles.sort();
    roles.dedup();
    cells::or_none(Some(&roles.join(",")))
}

fn row(object: &Tree, now: i64) -> Vec<Tree> {
    let address = |of: &str| {
        let all = object.list_at(&["status", "addresses"]);
        let found = all.iter().find(|a| a.str_at(&["type"]) == Some(of));
        Tree::text(found.and_then(|a| a.str_at(&["address"])).unwrap_or("<none>"))
    };
    let info = |field: &str| object.str_at(&["status", "nodeInfo", field]).filter(|t| !t.is_empty());
    let known = |field: &str| info(field).unwrap_or("<unknown>").to_owned();
    let kernel = match info("architecture") {
        Some(architecture) => format!("{} ({architecture})", known("kernelVersion")),
        None => known("kernelVersion"),
    };
    vec![
        Tree::text(meta::name(object)),
        Tree::text(state(object)),
        roles(object),
        cells::age(object, now),
        Tree::text(info("kubeletVersion").unwrap_or_default()),
        address("InternalIP"),
        address("ExternalIP"),
        Tree::text(known("osImage")),
        Tree::text(kernel),
        Tree::text(known("containerRuntimeVersion")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_row_tells_state_and_roles() {
        let object = tree!({"metadata": {"name": "n", "labels": {"node-role.kubernetes.io/control-plane": ""}},
            "spec": {"unschedulable": true}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        let row = row(&object, 0);
        assert_eq!(row[..3], ["n", "Ready,SchedulingDisabled", "control-plane"].map(Tree::text));
        assert_eq!(row.len(), 10);
    }

    #[test]
    fn pod_ranges_are_given_once() {
        let old = tree!({"spec": {"podCIDRs": ["10.244.0.0/24"]}});
        let mut faults = Faults::new();
        changed(&tree!({"spec": {"podCIDRs": ["10.244.1.0/24"]}}), &old, &mut faults);
        assert_eq!(faults.len(), 1);
        changed(&old, &tree!({}), &mut faults);
        assert_eq!(faults.len(), 1);
    }

    #[test]
    fn equal_taints_are_refused() {
        let taint = || tree!({"key": "a", "effect": "NoSchedule"});
        let mut faults = Faults::new();
        validate(&tree!({"spec": {"taints": [(taint()), (taint())]}}), &mut faults);
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].path.to_string(), "metadata.taints[1]");
    }
}
