//! RuntimeClasses: how containers of a pod are run. Rules of `k8s.io/kubernetes/pkg/registry/node/runtimeclass`.

use super::place::Place;
use crate::cells;
use crate::rules::{Faults, PLAIN, Rules};
use api::{Tree, meta, names};

/// What is special about RuntimeClasses.
pub const RULES: Rules =
    Rules { create_on_update: true, unconditional_update: false, validate, validate_update, cells: row, ..PLAIN };

fn validate(object: &Tree, faults: &mut Faults) {
    let root = Place::root(object);
    root.at("handler").must_pass(faults, names::dns1123_label);
    root.at("scheduling").at("nodeSelector").labels(faults);
    let mut seen = Vec::new();
    for toleration in root.at("scheduling").at("tolerations").items() {
        let key = ["key", "operator", "value", "effect"].map(|field| toleration.at(field).text());
        if seen.contains(&key) {
            toleration.duplicate(faults);
        }
        seen.push(key);
    }
}

fn validate_update(object: &Tree, old: &Tree, faults: &mut Faults) {
    Place::root(object).at("handler").unchanged(faults, old.get("handler").unwrap_or(&Tree::Null));
}

fn row(object: &Tree, now: i64) -> Vec<Tree> {
    let handler = object.str_at(&["handler"]).unwrap_or_default();
    vec![Tree::text(meta::name(object)), Tree::text(handler), cells::age(object, now)]
}
