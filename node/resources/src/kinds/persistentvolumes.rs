//! PersistentVolumes: storage that outlives pods. Rules of `k8s.io/kubernetes/pkg/registry/core/persistentvolume`.

use super::place::Place;
use super::storage;
use crate::cells;
use crate::rules::{Faults, PLAIN, Rules, SelectableField};
use api::{FieldError, Tree, meta, names};

/// What stands in a spec beside the source of the volume.
const NO_SOURCE: &[&str] = &[
    "capacity",
    "accessModes",
    "claimRef",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "mountOptions",
    "volumeMode",
    "nodeAffinity",
    "volumeAttributesClassName",
];

/// What is special about PersistentVolumes.
pub const RULES: Rules = Rules {
    returns_deleted: true,
    default,
    on_create,
    on_status_update,
    validate,
    validate_update,
    fields: &[SelectableField { label: "name", path: &["metadata", "name"], absent: "" }],
    cells: row,
    ..PLAIN
};

fn default(object: &mut Tree) {
    let defaults = [
        (["status", "phase"], "Pending"),
        (["spec", "persistentVolumeReclaimPolicy"], "Retain"),
        (["spec", "volumeMode"], "Filesystem"),
    ];
    for (path, value) in defaults {
        if object.str_at(&path).unwrap_or_default().is_empty() {
            object.set_at(&path, value);
        }
    }
    // A host path without a type is taken as it is found.
    if object.map_at(&["spec", "hostPath"]).is_some() && object.at(&["spec", "hostPath", "type"]).is_none() {
        object.set_at(&["spec", "hostPath", "type"], "");
    }
}

/// A new volume is pending since it exists.
fn on_create(object: &mut Tree) {
    object.set_at(&["status", "phase"], "Pending");
    if let Some(now) = object.at(&["metadata", "creationTimestamp"]).filter(|t| !t.is_null()).cloned() {
        object.set_at(&["status", "lastPhaseTransitionTime"], now);
    }
}

/// The time of the last change of phase stays while the phase stays.
fn on_status_update(object: &mut Tree, old: &Tree) {
    let (phase, time) = (["status", "phase"], ["status", "lastPhaseTransitionTime"]);
    if object.at(&phase) == old.at(&phase)
        && object.at(&time).is_none()
        && let Some(before) = old.at(&time)
    {
        object.set_at(&time, before.clone());
    }
}

fn sources(object: &Tree) -> Vec<(&str, &Tree)> {
    let spec = object.map_at(&["spec"]).into_iter().flat_map(api::Map::iter);
    let fields = spec.map(|(name, value)| (name.as_str(), value));
    fields.filter(|(name, value)| !NO_SOURCE.contains(name) && !value.is_null()).collect()
}

fn validate(object: &Tree, faults: &mut Faults) {
    let spec = Place::root(object).at("spec");
    storage::access_modes(&spec.at("accessModes"), "", faults);
    let capacity = spec.at("capacity");
    capacity.must(faults, "");
    if !capacity.at("storage").given() || capacity.len() > 1 {
        faults.push(FieldError::not_supported(capacity.path.clone(), capacity.value.clone(), &["storage"]));
    }
    capacity.entries().for_each(|(_, amount)| storage::positive(&amount, faults));
    let policy = spec.at("persistentVolumeReclaimPolicy");
    if policy.given() {
        policy.one_of(faults, &["Delete", "Recycle", "Retain"]);
    }
    affinity(&spec, faults);
    source(object, &spec, faults);
    spec.at("storageClassName").may_pass(faults, names::dns1123_subdomain);
    if spec.at("volumeMode").given() {
        spec.at("volumeMode").one_of(faults, &["Block", "Filesystem"]);
    }
    let class = spec.at("volumeAttributesClassName");
    if class.given() {
        if class.must(faults, "an empty string is disallowed") {
            class.invalid_for(faults, names::dns1123_subdomain(class.text()));
        }
        if !spec.at("csi").given() {
            spec.at("csi").required(faults, "has to be specified when using volumeAttributesClassName");
        }
    }
}

fn affinity(spec: &Place, faults: &mut Faults) {
    let affinity = spec.at("nodeAffinity");
    if !affinity.given() {
        return;
    }
    let required = affinity.at("required");
    if !required.given() {
        return required.required(faults, "must specify required node constraints");
    }
    let terms = required.at("nodeSelectorTerms");
    terms.must(faults, "must have at least one node selector term");
    for expression in terms.items().flat_map(|term| term.at("matchExpressions").items()) {
        let (operator, values) = (expression.at("operator"), expression.at("values"));
        match operator.text() {
            "In" | "NotIn" if values.len() == 0 => {
                values.required(faults, "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if values.len() > 0 => {
                values.forbidden(faults, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
            }
            "Gt" | "Lt" if values.len() != 1 => {
                values.required(faults, "must be specified single value when `operator` is 'Lt' or 'Gt'");
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
            _ => operator.invalid(faults, "not a valid selector operator"),
        }
        expression.at("key").invalid_for(faults, names::label_key(expression.at("key").text()));
        values.items().for_each(|v| v.invalid_for(faults, names::label_value(v.text())));
    }
}

fn source(object: &Tree, spec: &Place, faults: &mut Faults) {
    let sources = sources(object);
    if sources.is_empty() {
        spec.required(faults, "must specify a volume type");
    }
    for (name, _) in sources.iter().skip(1) {
        spec.at(name).forbidden(faults, "may not specify more than 1 volume type");
    }
    let Some((name, _)) = sources.first() else { return };
    let source = spec.at(name);
    match *name {
        "hostPath" | "local" => {
            let path = source.at("path");
            if path.must(faults, "") && path.text().split('/').any(|part| part == "..") {
                path.invalid(faults, "must not contain '..'");
            }
        }
        "nfs" => {
            source.at("server").must(faults, "");
            source.at("path").must(faults, "");
            if !source.at("path").text().starts_with('/') {
                source.at("path").invalid(faults, "must be an absolute path");
            }
        }
        "csi" => {
            storage::driver_name(&source.at("driver"), faults);
            source.at("volumeHandle").must(faults, "");
            for field in [
                "controllerPublishSecretRef",
                "controllerExpandSecretRef",
                "nodePublishSecretRef",
                "nodeExpandSecretRef",
            ] {
                let secret = source.at(field);
                for part in ["name", "namespace"].into_iter().filter(|_| secret.given()) {
                    secret.at(part).must(faults, "");
                }
            }
        }
        _ => {}
    }
    if *name == "local" && !spec.at("nodeAffinity").given() {
        spec.at("nodeAffinity").required(faults, "Local volume requires node affinity");
    }
    let policy = spec.at("persistentVolumeReclaimPolicy");
    let whole_host = *name == "hostPath" && source.at("path").text().trim_end_matches('/').is_empty();
    if whole_host && policy.text() == "Recycle" {
        policy.forbidden(faults, "may not be 'recycle' for a hostPath mount of '/'");
    }
}

fn validate_update(object: &Tree, old: &Tree, faults: &mut Faults) {
    let mut now = object.clone();
    let secret = ["spec", "csi", "controllerExpandSecretRef"];
    if old.at(&secret).is_none() {
        now.remove_at(&secret);
    }
    let root = Place::root(object);
    if sources(&now) != sources(old) {
        let path = root.at("spec").path.field("persistentvolumesource");
        faults.push(FieldError::forbidden(path, "spec.persistentvolumesource is immutable after creation"));
    }
    let mode = root.down(&["spec", "volumeMode"]);
    // Upstream reports these two at the top of the object.
    Place { value: mode.value, path: root.at("volumeMode").path }
        .unchanged(faults, old.at(&["spec", "volumeMode"]).unwrap_or(&Tree::Null));
    let affinity = root.down(&["spec", "nodeAffinity"]);
    if let Some(before) = old.at(&["spec", "nodeAffinity"]).filter(|a| !a.is_null())
        && affinity.value != before
    {
        let why = format!("{}, except for updating from beta label to GA", super::place::IMMUTABLE);
        faults.push(FieldError::invalid(root.at("nodeAffinity").path, affinity.value.clone(), why));
    }
    let class = root.down(&["spec", "volumeAttributesClassName"]);
    if old.str_at(&["spec", "volumeAttributesClassName"]).is_some() && !class.given() {
        class.forbidden(faults, "update from non-nil value to nil is forbidden");
    }
}

fn row(object: &Tree, now: i64) -> Vec<Tree> {
    let text = |path: &[&str]| object.str_at(path).unwrap_or_default();
    let claim = ["namespace", "name"].map(|field| text(&["spec", "claimRef", field])).join("/");
    let claim = if object.map_at(&["spec", "claimRef"]).is_some() { claim } else { String::new() };
    vec![
        Tree::text(meta::name(object)),
        Tree::text(object.str_at(&["spec", "capacity", "storage"]).unwrap_or("0")),
        storage::modes_text(object.list_at(&["spec", "accessModes"])),
        Tree::text(text(&["spec", "persistentVolumeReclaimPolicy"])),
        storage::phase_text(object),
        Tree::text(claim),
        storage::class_text(object),
        storage::unset_or(object, "volumeAttributesClassName"),
        Tree::text(text(&["status", "reason"])),
        cells::age(object, now),
        storage::unset_or(object, "volumeMode"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn volume() -> Tree {
        let mut object = tree!({"metadata": {"name": "v"}, "spec": {"capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/data"}}});
        default(&mut object);
        object
    }

    #[test]
    fn a_volume_is_kept_and_pending_unless_said_otherwise() {
        let (object, mut faults) = (volume(), Faults::new());
        validate(&object, &mut faults);
        assert_eq!(faults, []);
        assert_eq!(row(&object, 0)[1..5], ["1Gi", "RWO", "Retain", "Pending"].map(Tree::text));
    }

    #[test]
    fn the_source_of_a_volume_stays() {
        let (old, mut object, mut faults) = (volume(), volume(), Faults::new());
        object.set_at(&["spec", "hostPath", "path"], "/other");
        object.set_at(&["spec", "persistentVolumeReclaimPolicy"], "Delete");
        validate_update(&object, &old, &mut faults);
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].path.to_string(), "spec.persistentvolumesource");
    }
}
