//! CSINodes: the drivers of a node. Rules of `k8s.io/kubernetes/pkg/registry/storage/csinode`.

use super::place::Place;
use super::storage;
use crate::cells;
use crate::rules::{Faults, PLAIN, Rules};
use api::{FieldError, Tree, meta, names};

/// Longest id of a node, as drivers call it, characters.
const NODE_ID_MAX: usize = 192;

/// What is special about CSINodes.
pub const RULES: Rules =
    Rules { unconditional_update: false, returns_deleted: true, validate, validate_update, cells: row, ..PLAIN };

fn validate(object: &Tree, faults: &mut Faults) {
    let mut seen = Vec::new();
    for driver in Place::root(object).down(&["spec", "drivers"]).items() {
        let (name, id) = (driver.at("name"), driver.at("nodeID"));
        storage::driver_name(&name, faults);
        id.must(faults, "");
        if id.text().len() > NODE_ID_MAX {
            id.invalid(faults, format!("must be {NODE_ID_MAX} characters or less"));
        }
        driver.at("allocatable").at("count").not_negative(faults);
        if seen.contains(&name.text()) {
            name.duplicate(faults);
        }
        seen.push(name.text());
        let mut keys = Vec::new();
        for key in driver.at("topologyKeys").items().map(|key| key.text()) {
            if key.is_empty() {
                driver.required(faults, "");
            }
            if keys.contains(&key) {
                faults.push(FieldError::duplicate(driver.path.clone(), key));
            }
            keys.push(key);
            let wrong = names::label_key(key).into_iter();
            faults.extend(wrong.map(|why| FieldError::invalid(driver.path.clone(), key, why)));
        }
    }
}

/// A driver stays as it registered, but for how many volumes it takes.
fn validate_update(object: &Tree, old: &Tree, faults: &mut Faults) {
    let drivers = Place::root(object).down(&["spec", "drivers"]);
    let bare = |driver: &Tree| {
        let mut driver = driver.clone();
        driver.remove("allocatable");
        driver
    };
    for driver in drivers.items() {
        let before = old.list_at(&["spec", "drivers"]).iter().find(|d| d.get("name") == driver.value.get("name"));
        if before.is_some_and(|before| bare(before) != bare(driver.value)) {
            faults.push(FieldError::invalid(drivers.path.clone(), driver.value.clone(), super::place::IMMUTABLE));
        }
    }
}

fn row(object: &Tree, now: i64) -> Vec<Tree> {
    let drivers = object.list_at(&["spec", "drivers"]).len() as i64;
    vec![Tree::text(meta::name(object)), Tree::Int(drivers), cells::age(object, now)]
}
