//! Devices that pods claim: classes, claims, templates of claims, slices of devices. Rules of
//! `k8s.io/kubernetes/pkg/registry/resource` and `pkg/apis/resource/validation`, as far as storing them goes: CEL
//! selectors, attributes and counters of devices, and allocation results are not looked into.

use super::place::{IMMUTABLE, Place};
use super::storage;
use crate::cells;
use crate::rules::{Faults, PLAIN, Rules, SelectableField};
use api::{FieldError, Tree, meta, names};

const REQUESTS_MAX: usize = 32;
const DEVICES_MAX: usize = 128;
const RESERVED_MAX: usize = 256;

/// What is special about DeviceClasses.
pub const CLASSES: Rules = Rules { generation: true, returns_deleted: true, cells: name_and_age, ..PLAIN };

/// What is special about ResourceClaims.
pub const CLAIMS: Rules = Rules {
    returns_deleted: true,
    default: |object| claim_defaults(object.get_mut("spec")),
    validate: |object, faults| claim(&Place::root(object).at("spec"), faults),
    validate_update: same_spec,
    validate_status: claim_status,
    cells: claim_row,
    ..PLAIN
};

/// What is special about ResourceClaimTemplates.
pub const TEMPLATES: Rules = Rules {
    returns_deleted: true,
    default: |object| claim_defaults(object.at_mut(&["spec", "spec"])),
    validate: |object, faults| claim(&Place::root(object).down(&["spec", "spec"]), faults),
    validate_update: same_spec,
    cells: name_and_age,
    ..PLAIN
};

/// What is special about ResourceSlices.
pub const SLICES: Rules = Rules {
    generation: true,
    returns_deleted: true,
    validate: slice,
    validate_update: slice_update,
    fields: &[
        SelectableField { label: "spec.driver", path: &["spec", "driver"], absent: "" },
        SelectableField { label: "spec.nodeName", path: &["spec", "nodeName"], absent: "" },
    ],
    cells: slice_row,
    ..PLAIN
};

/// A request is for one device unless it says otherwise.
fn claim_defaults(spec: Option<&mut Tree>) {
    let requests = spec.and_then(|s| s.at_mut(&["devices", "requests"])).and_then(Tree::as_list_mut);
    for request in requests.into_iter().flatten() {
        if let Some(exactly) = request.get_mut("exactly").filter(|e| e.as_map().is_some()) {
            one_device(exactly);
        }
        let choices = request.get_mut("firstAvailable").and_then(Tree::as_list_mut);
        choices.into_iter().flatten().for_each(one_device);
    }
}

fn one_device(request: &mut Tree) {
    if request.str_at(&["allocationMode"]).unwrap_or_default().is_empty() {
        request.set("allocationMode", "ExactCount");
    }
    let exact = request.str_at(&["allocationMode"]) == Some("ExactCount");
    if exact && request.int_at(&["count"]).unwrap_or_default() == 0 {
        request.set("count", 1);
    }
}

fn claim(spec: &Place, faults: &mut Faults) {
    let requests = spec.at("devices").at("requests");
    if requests.len() > REQUESTS_MAX {
        faults.push(FieldError::too_many(requests.path.clone(), requests.len(), REQUESTS_MAX));
    }
    let mut seen = Vec::new();
    for request in requests.items() {
        let (name, exactly, choices) = (request.at("name"), request.at("exactly"), request.at("firstAvailable"));
        name.must_pass(faults, names::dns1123_label);
        if seen.contains(&name.text()) {
            name.duplicate(faults);
        }
        seen.push(name.text());
        match (exactly.given(), choices.len() > 0) {
            (false, false) => request.required(faults, "exactly one of `exactly` or `firstAvailable` is required"),
            (true, true) => {
                let why = "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set";
                faults.push(FieldError::invalid(request.path.clone(), Tree::Null, why));
            }
            (true, false) => device(&exactly, faults),
            (false, true) => choices.items().for_each(|choice| {
                choice.at("name").must_pass(faults, names::dns1123_label);
                device(&choice, faults);
            }),
        }
    }
}

fn device(request: &Place, faults: &mut Faults) {
    request.at("deviceClassName").must_pass(faults, names::dns1123_subdomain);
    let (mode, count) = (request.at("allocationMode"), request.at("count"));
    match (mode.text(), count.int().unwrap_or_default()) {
        ("ExactCount", ..=0) => count.invalid(faults, "must be greater than zero"),
        ("ExactCount", _) | ("All", 0) => {}
        ("All", _) => count.invalid(faults, "must not be specified when allocationMode is 'All'"),
        _ => mode.one_of(faults, &["All", "ExactCount"]),
    }
}

fn same_spec(object: &Tree, old: &Tree, faults: &mut Faults) {
    storage::frozen(object, old, &["spec"], faults);
}

fn claim_status(object: &Tree, old: &Tree, faults: &mut Faults) {
    let status = Place::root(object).at("status");
    let (allocation, reserved) = (status.at("allocation"), status.at("reservedFor"));
    if let Some(before) = old.at(&["status", "allocation"]).filter(|a| !a.is_null())
        && allocation.given()
        && allocation.value != before
    {
        allocation.invalid(faults, IMMUTABLE);
    }
    if reserved.len() > RESERVED_MAX {
        faults.push(FieldError::too_many(reserved.path.clone(), reserved.len(), RESERVED_MAX));
    }
    if reserved.len() > 0 && !allocation.given() {
        reserved.forbidden(faults, "may not be specified when `allocated` is not set");
    }
    let mut seen = Vec::new();
    for consumer in reserved.items() {
        for field in ["resource", "name", "uid"] {
            consumer.at(field).must(faults, "");
        }
        if seen.contains(&consumer.at("uid").text()) {
            consumer.at("uid").duplicate(faults);
        }
        seen.push(consumer.at("uid").text());
    }
}

fn slice(object: &Tree, faults: &mut Faults) {
    let spec = Place::root(object).at("spec");
    storage::driver_name(&spec.at("driver"), faults);
    let pool = spec.at("pool");
    pool.at("name").must(faults, "");
    for part in pool.at("name").text().split('/').filter(|_| !pool.at("name").text().is_empty()) {
        pool.at("name").invalid_for(faults, names::dns1123_subdomain(part));
    }
    if pool.at("resourceSliceCount").int().unwrap_or_default() <= 0 {
        pool.at("resourceSliceCount").invalid(faults, "must be greater than zero");
    }
    if pool.at("generation").int().is_some_and(|n| n < 0) {
        pool.at("generation").invalid(faults, "must be greater than or equal to zero");
    }
    let node = spec.at("nodeName");
    if node.given() && node.text().is_empty() {
        node.invalid(faults, "must be either unset or set to a non-empty string");
    }
    node.may_pass(faults, names::dns1123_subdomain);
    for flag in ["allNodes", "perDeviceNodeSelection"].map(|field| spec.at(field)) {
        if flag.given() && !flag.yes() {
            flag.invalid(faults, "must be either unset or set to true");
        }
    }
    let chosen = ["nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection"];
    let set: Vec<String> =
        chosen.into_iter().filter(|field| !spec.at(field).value.is_empty()).map(|f| format!("`{f}`")).collect();
    let one = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    match set.len() {
        0 => spec.required(faults, one),
        1 => {}
        _ => {
            let why = format!("{one}, but multiple fields are set");
            faults.push(FieldError::invalid(spec.path.clone(), format!("{{{}}}", set.join(", ")), why));
        }
    }
    let devices = spec.at("devices");
    if devices.len() > DEVICES_MAX {
        faults.push(FieldError::too_many(devices.path.clone(), devices.len(), DEVICES_MAX));
    }
    let mut seen = Vec::new();
    for name in devices.items().map(|device| device.at("name")) {
        name.must_pass(faults, names::dns1123_label);
        if seen.contains(&name.text()) {
            name.duplicate(faults);
        }
        seen.push(name.text());
    }
}

fn slice_update(object: &Tree, old: &Tree, faults: &mut Faults) {
    for path in [&["spec", "pool", "name"][..], &["spec", "driver"], &["spec", "nodeName"]] {
        storage::frozen(object, old, path, faults);
    }
}

fn name_and_age(object: &Tree, now: i64) -> Vec<Tree> {
    vec![Tree::text(meta::name(object)), cells::age(object, now)]
}

fn claim_row(object: &Tree, now: i64) -> Vec<Tree> {
    let going = meta::deletion_timestamp(object).is_some();
    let allocated = object.map_at(&["status", "allocation"]).is_some();
    let reserved = allocated && !object.list_at(&["status", "reservedFor"]).is_empty();
    let states =
        [(going, "deleted"), (!allocated && !going, "pending"), (allocated, "allocated"), (reserved, "reserved")];
    let states: Vec<&str> = states.into_iter().filter(|(is, _)| *is).map(|(_, state)| state).collect();
    vec![Tree::text(meta::name(object)), Tree::text(states.join(",")), cells::age(object, now)]
}

fn slice_row(object: &Tree, now: i64) -> Vec<Tree> {
    let text = |path: &[&str]| Tree::text(object.str_at(path).unwrap_or_default());
    vec![
        Tree::text(meta::name(object)),
        text(&["spec", "nodeName"]),
        text(&["spec", "driver"]),
        text(&["spec", "pool", "name"]),
        cells::age(object, now),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_claim_is_for_one_device_and_stays() {
        let request = tree!({"name": "r", "exactly": {"deviceClassName": "c"}});
        let mut old = tree!({"metadata": {"name": "a"}, "spec": {"devices": {"requests": [request]}}});
        (CLAIMS.default)(&mut old);
        let exactly = old.list_at(&["spec", "devices", "requests"])[0].get("exactly");
        assert_eq!(exactly, Some(&tree!({"deviceClassName": "c", "allocationMode": "ExactCount", "count": 1})));
        let (mut object, mut faults) = (old.clone(), Faults::new());
        object.set_at(&["spec", "devices"], Tree::map());
        (CLAIMS.validate)(&old, &mut faults);
        assert_eq!(faults, []);
        (CLAIMS.validate_update)(&object, &old, &mut faults);
        assert_eq!(faults.len(), 1);
        assert_eq!(claim_row(&old, 0)[1], Tree::text("pending"));
    }

    #[test]
    fn a_slice_says_for_which_nodes_it_is() {
        let mut faults = Faults::new();
        let pool = tree!({"name": "p", "resourceSliceCount": 1});
        slice(&tree!({"spec": {"driver": "d.example.com", "pool": (pool.clone()), "nodeName": "n"}}), &mut faults);
        assert_eq!(faults, []);
        slice(&tree!({"spec": {"driver": "d.example.com", "pool": pool}}), &mut faults);
        assert_eq!(faults[0].path.to_string(), "spec");
    }
}
