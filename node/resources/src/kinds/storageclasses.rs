//! StorageClasses: how volumes are made for claims. Rules of `k8s.io/kubernetes/pkg/registry/storage/storageclass`.

use super::place::Place;
use super::storage;
use crate::cells;
use crate::rules::{Faults, PLAIN, Rules};
use api::{Tree, meta};

const DEFAULT: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

/// What is special about StorageClasses.
pub const RULES: Rules = Rules { returns_deleted: true, default, validate, validate_update, cells: row, ..PLAIN };

fn default(object: &mut Tree) {
    for (field, value) in [("reclaimPolicy", "Delete"), ("volumeBindingMode", "Immediate")] {
        if object.get(field).is_none_or(Tree::is_null) {
            object.set(field, value);
        }
    }
}

fn validate(object: &Tree, faults: &mut Faults) {
    let root = Place::root(object);
    storage::provisioner(&root.at("provisioner"), faults);
    storage::parameters(&root.at("parameters"), true, faults);
    if !root.at("reclaimPolicy").text().is_empty() {
        root.at("reclaimPolicy").one_of(faults, &["Delete", "Retain"]);
    }
    root.at("volumeBindingMode").one_of(faults, &["Immediate", "WaitForFirstConsumer"]);
    let mut terms = Vec::new();
    for term in root.at("allowedTopologies").items() {
        let expressions = term.at("matchLabelExpressions");
        let mut keys = Vec::new();
        for expression in expressions.items() {
            let (key, values) = (expression.at("key"), expression.at("values"));
            values.must(faults, "");
            key.invalid_for(faults, api::names::label_key(key.text()));
            if keys.contains(&key.text()) {
                key.duplicate(faults);
            }
            keys.push(key.text());
        }
        if terms.contains(&expressions.value) {
            faults.push(api::FieldError::duplicate(expressions.path.clone(), ""));
        }
        terms.push(expressions.value);
    }
}

fn validate_update(object: &Tree, old: &Tree, faults: &mut Faults) {
    for field in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
        storage::frozen(object, old, &[field], faults);
    }
}

fn row(object: &Tree, now: i64) -> Vec<Tree> {
    let default = DEFAULT.iter().any(|key| meta::annotation(object, key) == Some("true"));
    let text = |field: &str, absent: &str| Tree::text(object.str_at(&[field]).unwrap_or(absent));
    vec![
        Tree::text(format!("{}{}", meta::name(object), if default { " (default)" } else { "" })),
        text("provisioner", ""),
        text("reclaimPolicy", "Delete"),
        text("volumeBindingMode", "Immediate"),
        Tree::Bool(object.bool_at(&["allowVolumeExpansion"]) == Some(true)),
        cells::age(object, now),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_class_deletes_at_once_and_stays_as_it_is() {
        let mut old = tree!({"metadata": {"name": "a", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
            "provisioner": "example.com/p"});
        default(&mut old);
        assert_eq!(row(&old, 0)[..4], ["a (default)", "example.com/p", "Delete", "Immediate"].map(Tree::text));
        let (mut object, mut faults) = (old.clone(), Faults::new());
        object.set("reclaimPolicy", "Retain");
        validate(&object, &mut faults);
        validate_update(&object, &old, &mut faults);
        let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["reclaimPolicy: Invalid value: \"Retain\": field is immutable"]);
    }
}
