//! PersistentVolumeClaims: what a pod wants of storage. Rules of
//! `k8s.io/kubernetes/pkg/registry/core/persistentvolumeclaim`.

use super::place::Place;
use super::storage;
use crate::cells;
use crate::rules::{Faults, PLAIN, Rules, SelectableField};
use api::{FieldError, Quantity, Tree, meta, names};

const SIZE: [&str; 4] = ["spec", "resources", "requests", "storage"];
const CLASS: [&str; 2] = ["spec", "storageClassName"];
const ATTRIBUTES: [&str; 2] = ["spec", "volumeAttributesClassName"];
const SNAPSHOTS: &str = "snapshot.storage.k8s.io";

/// What is special about PersistentVolumeClaims.
pub const RULES: Rules = Rules {
    returns_deleted: true,
    default,
    on_create,
    on_update,
    validate,
    validate_update,
    validate_status,
    fields: &[SelectableField { label: "name", path: &["metadata", "name"], absent: "" }],
    cells: row,
    ..PLAIN
};

fn default(object: &mut Tree) {
    for (path, value) in [(["status", "phase"], "Pending"), (["spec", "volumeMode"], "Filesystem")] {
        if object.str_at(&path).unwrap_or_default().is_empty() {
            object.set_at(&path, value);
        }
    }
}

fn on_create(object: &mut Tree) {
    object.set_at(&["status", "phase"], "Pending");
    data_sources(object, false);
}

fn on_update(object: &mut Tree, old: &Tree) {
    let used = ["dataSource", "dataSourceRef"].iter().any(|f| old.map_at(&["spec", f]).is_some());
    data_sources(object, used);
}

/// Drops sources that old clients could not mean, and brings the old and the new field together.
fn data_sources(object: &mut Tree, used: bool) {
    let (old, new) = (["spec", "dataSource"], ["spec", "dataSourceRef"]);
    let fits = |source: &Tree| {
        matches!(
            (source.str_at(&["apiGroup"]).unwrap_or_default(), source.str_at(&["kind"])),
            ("", Some("PersistentVolumeClaim")) | (SNAPSHOTS, Some("VolumeSnapshot"))
        )
    };
    if !used && object.map_at(&new).is_none() && object.at(&old).is_some_and(|source| !fits(source)) {
        object.remove_at(&old);
    }
    match (object.at(&old).cloned(), object.at(&new).cloned()) {
        (Some(source @ Tree::Map(_)), None | Some(Tree::Null)) => object.set_at(&new, source),
        (None | Some(Tree::Null), Some(mut source @ Tree::Map(_)))
            if source.str_at(&["namespace"]).unwrap_or_default().is_empty() =>
        {
            source.remove("namespace");
            object.set_at(&old, source);
        }
        _ => {}
    }
}

fn validate(object: &Tree, faults: &mut Faults) {
    let spec = Place::root(object).at("spec");
    storage::access_modes(&spec.at("accessModes"), "at least 1 access mode is required", faults);
    spec.at("selector").label_selector(faults);
    let size = Place { value: spec.down(&SIZE[1..]).value, path: spec.at("resources").path.key("storage") };
    if size.must(faults, "") {
        storage::positive(&size, faults);
    }
    spec.at("storageClassName").may_pass(faults, names::dns1123_subdomain);
    spec.at("volumeAttributesClassName").may_pass(faults, names::dns1123_subdomain);
    if spec.at("volumeMode").given() {
        spec.at("volumeMode").one_of(faults, &["Block", "Filesystem"]);
    }
    for field in ["dataSource", "dataSourceRef"] {
        let source = spec.at(field);
        if !source.given() {
            continue;
        }
        let (kind, group) = (source.at("kind"), source.at("apiGroup"));
        source.at("name").must(faults, "");
        kind.must(faults, "");
        if group.text().is_empty() && kind.text() != "PersistentVolumeClaim" {
            let why = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
            faults.push(FieldError::invalid(source.path.clone(), kind.text(), why));
        }
        group.may_pass(faults, names::dns1123_subdomain);
    }
    let (source, reference) = (spec.at("dataSource"), spec.at("dataSourceRef"));
    let fault = |why: &str| FieldError::invalid(spec.path.clone(), source.path.to_string(), why);
    if !reference.at("namespace").text().is_empty() {
        if source.given() {
            faults.push(fault("may not be specified when dataSourceRef.namespace is specified"));
        }
    } else if source.given()
        && reference.given()
        && ["apiGroup", "kind", "name"].iter().any(|f| source.at(f).text() != reference.at(f).text())
    {
        faults.push(fault("must match dataSourceRef"));
    }
}

fn set_or_remove(object: &mut Tree, path: &[&str], value: Option<&Tree>) {
    match value {
        Some(value) => object.set_at(path, value.clone()),
        None => _ = object.remove_at(path),
    }
}

fn amount(object: &Tree, path: &[&str]) -> Quantity {
    object.str_at(path).and_then(|text| Quantity::parse(text).ok()).unwrap_or_else(Quantity::zero)
}

/// A spec stays, but for the volume that is bound, a class that was not given, and the size of a bound claim.
fn validate_update(object: &Tree, old: &Tree, faults: &mut Faults) {
    let (mut now, mut before) = (object.clone(), old.clone());
    if old.str_at(&["spec", "volumeName"]).unwrap_or_default().is_empty() {
        set_or_remove(&mut before, &["spec", "volumeName"], object.at(&["spec", "volumeName"]));
    }
    let annotations = [object, old].map(|o| meta::annotation(o, storage::CLASS_ANNOTATION));
    let class = object.str_at(&CLASS);
    let was_nil = old.str_at(&CLASS).is_none();
    let upgraded = was_nil && class.is_some() && annotations[1].is_some() && annotations[1] == class;
    if !(upgraded && annotations[0].is_none()) && annotations[0] != annotations[1] {
        let path = Place::root(object).down(&["metadata", "annotations"]).path.key(storage::CLASS_ANNOTATION);
        let value = Tree::text(annotations[0].unwrap_or_default());
        faults.push(FieldError::invalid(path, value, super::place::IMMUTABLE));
    }
    if was_nil && class.is_some() && annotations[1].is_none_or(|a| Some(a) == class) {
        now.remove_at(&CLASS);
    }
    if object.str_at(&["status", "phase"]) == Some("Bound") {
        set_or_remove(&mut now, &SIZE, old.at(&SIZE));
        set_or_remove(&mut now, &ATTRIBUTES, old.at(&ATTRIBUTES));
    }
    data_sources(&mut before, true);
    if now.get("spec") != before.get("spec") {
        let why =
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        faults.push(FieldError::forbidden(Place::root(object).at("spec").path, why));
    }
    let size = amount(object, &SIZE);
    if size < amount(old, &SIZE) && size <= amount(old, &["status", "capacity", "storage"]) {
        Place::root(object).down(&SIZE).forbidden(faults, "field can not be less than status.capacity");
    }
    let mode = ["spec", "volumeMode"];
    let place =
        Place { value: object.at(&mode).unwrap_or(&Tree::Null), path: Place::root(object).at("volumeMode").path };
    place.unchanged(faults, old.at(&mode).unwrap_or(&Tree::Null));
    let attributes = Place::root(object).down(&ATTRIBUTES);
    if object.at(&ATTRIBUTES) != old.at(&ATTRIBUTES)
        && old.str_at(&["status", "currentVolumeAttributesClassName"]).is_some()
        && attributes.text().is_empty()
    {
        let to = if attributes.given() { "empty string" } else { "nil" };
        let why = format!("update to {to} is forbidden when status.currentVolumeAttributesClassName is not nil");
        attributes.forbidden(faults, why);
    }
}

fn validate_status(object: &Tree, _old: &Tree, faults: &mut Faults) {
    for (_, amount) in Place::root(object).down(&["status", "capacity"]).entries() {
        if let Some(quantity) = Quantity::parse(amount.text()).ok().filter(|q| q.sign() < 0) {
            let value = Tree::Int(quantity.value());
            faults.push(FieldError::invalid(amount.path.clone(), value, "must be a valid resource quantity"));
        }
    }
}

fn row(object: &Tree, now: i64) -> Vec<Tree> {
    let volume = object.str_at(&["spec", "volumeName"]).unwrap_or_default();
    let bound = !volume.is_empty();
    let capacity = object.str_at(&["status", "capacity", "storage"]).unwrap_or("0");
    let modes = object.list_at(&["status", "accessModes"]);
    vec![
        Tree::text(meta::name(object)),
        storage::phase_text(object),
        Tree::text(volume),
        Tree::text(if bound { capacity } else { "" }),
        storage::modes_text(if bound { modes } else { &[] }),
        storage::class_text(object),
        storage::unset_or(object, "volumeAttributesClassName"),
        cells::age(object, now),
        storage::unset_or(object, "volumeMode"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn claim() -> Tree {
        let mut object = tree!({"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}}}});
        default(&mut object);
        object
    }

    fn faults_of(object: &Tree, old: &Tree) -> Vec<String> {
        let mut faults = Faults::new();
        validate(object, &mut faults);
        validate_update(object, old, &mut faults);
        faults.iter().map(|fault| fault.path.to_string()).collect()
    }

    #[test]
    fn a_claim_may_be_bound_and_get_a_class_but_not_grow_before() {
        let (old, mut object) = (claim(), claim());
        object.set_at(&["spec", "volumeName"], "v");
        object.set_at(&CLASS, "standard");
        assert_eq!(faults_of(&object, &old), [""; 0]);
        object.set_at(&SIZE, "2Gi");
        assert_eq!(faults_of(&object, &old), ["spec"]);
    }

    #[test]
    fn a_bound_claim_grows_and_does_not_shrink_below_its_capacity() {
        let mut old = claim();
        old.set_at(&["status", "phase"], "Bound");
        old.set_at(&["status", "capacity", "storage"], "1Gi");
        let mut object = old.clone();
        object.set_at(&SIZE, "2Gi");
        assert_eq!(faults_of(&object, &old), [""; 0]);
        object.set_at(&SIZE, "1Mi");
        assert_eq!(faults_of(&object, &old), ["spec.resources.requests.storage"]);
    }

    #[test]
    fn both_data_source_fields_are_filled() {
        let mut object = claim();
        object.set_at(&["spec", "dataSource"], tree!({"kind": "PersistentVolumeClaim", "name": "a"}));
        on_create(&mut object);
        assert_eq!(object.at(&["spec", "dataSourceRef"]), object.at(&["spec", "dataSource"]));
    }
}
