//! VolumeAttributesClasses: what of a volume may change later. Rules of
//! `k8s.io/kubernetes/pkg/registry/storage/volumeattributesclass`.

use super::place::Place;
use super::storage;
use crate::cells;
use crate::rules::{Faults, PLAIN, Rules};
use api::{Tree, meta};

/// What is special about VolumeAttributesClasses.
pub const RULES: Rules = Rules { returns_deleted: true, validate, validate_update, cells: row, ..PLAIN };

fn validate(object: &Tree, faults: &mut Faults) {
    storage::provisioner(&Place::root(object).at("driverName"), faults);
    storage::parameters(&Place::root(object).at("parameters"), false, faults);
}

fn validate_update(object: &Tree, old: &Tree, faults: &mut Faults) {
    for field in ["driverName", "parameters"] {
        if object.get(field) != old.get(field) {
            Place::root(object).at(field).forbidden(faults, format!("updates to {field} are forbidden."));
        }
    }
}

fn row(object: &Tree, now: i64) -> Vec<Tree> {
    let driver = object.str_at(&["driverName"]).unwrap_or_default();
    vec![Tree::text(meta::name(object)), Tree::text(driver), cells::age(object, now)]
}
