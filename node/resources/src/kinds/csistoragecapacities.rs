//! CSIStorageCapacities: how much room a driver has where. Rules of
//! `k8s.io/kubernetes/pkg/registry/storage/csistoragecapacity`.

use super::place::Place;
use super::storage;
use crate::rules::{Faults, PLAIN, Rules};
use api::{Quantity, Tree, names};

/// What is special about CSIStorageCapacities.
pub const RULES: Rules = Rules { unconditional_update: false, validate, validate_update, ..PLAIN };

fn validate(object: &Tree, faults: &mut Faults) {
    let root = Place::root(object);
    root.at("nodeTopology").label_selector(faults);
    root.at("storageClassName").invalid_for(faults, names::dns1123_subdomain(root.at("storageClassName").text()));
    let capacity = root.at("capacity");
    if Quantity::parse(capacity.text()).is_ok_and(|amount| amount.sign() < 0) {
        capacity.invalid(faults, super::place::NEGATIVE);
    }
}

fn validate_update(object: &Tree, old: &Tree, faults: &mut Faults) {
    for field in ["nodeTopology", "storageClassName"] {
        storage::frozen(object, old, &[field], faults);
    }
}
