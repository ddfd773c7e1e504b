//! What workloads share: a pod template, a selector that must take the template's labels, replica counts, and the cells
//! that `kubectl get -o wide` shows of a template. Rules of `k8s.io/kubernetes/pkg/apis/{apps,batch}/validation`.

use super::labels_text;
use super::place::{IMMUTABLE, NEGATIVE, Place};
use super::pod_spec::{default_template, validate_template};
use crate::rules::Faults;
use api::selector::LabelSelector;
use api::{FieldError, FieldPath, Tree, meta};

/// Sets a field of the spec that is absent.
pub fn fill(object: &mut Tree, path: &[&str], value: impl Into<Tree>) {
    if object.at(path).is_none_or(Tree::is_null) {
        object.set_at(path, value);
    }
}

/// Sets a text of the spec that is absent or empty.
pub fn fill_text(object: &mut Tree, path: &[&str], value: &str) {
    if object.str_at(path).unwrap_or_default().is_empty() {
        object.set_at(path, value);
    }
}

/// Defaults of the template.
pub fn template(object: &mut Tree) {
    default_template(object, &["spec", "template"]);
}

/// A number that is given must not be negative.
pub fn not_negative(place: &Place, faults: &mut Faults) {
    if place.int().is_some_and(|n| n < 0) {
        place.invalid(faults, NEGATIVE);
    }
}

/// Faults of a selector in object form and of the template that it must take.
pub fn selector_and_template(object: &Tree, restart: &[&str], faults: &mut Faults) {
    let spec = Place::root(object).at("spec");
    let selector = spec.at("selector");
    let template = spec.at("template");
    if selector.given() {
        match LabelSelector::from_tree(Some(selector.value)) {
            Ok(parsed) if parsed.is_everything() => {
                selector.invalid(faults, "empty selector is invalid for deployment")
            }
            Ok(parsed) => {
                if !parsed.matches(meta::labels(template.value)) {
                    let labels = template.down(&["metadata", "labels"]);
                    labels.invalid(faults, "`selector` does not match template `labels`");
                }
            }
            Err(error) => selector.invalid(faults, error.0),
        }
    } else {
        selector.required(faults, "");
        // No selector takes no pod at all, so the labels do not fit either; upstream says both.
        template.down(&["metadata", "labels"]).invalid(faults, "`selector` does not match template `labels`");
    }
    validate_template(&template, faults);
    let policy = template.down(&["spec", "restartPolicy"]);
    if policy.given() && !restart.contains(&policy.text()) {
        policy.must_be_one_of(faults, restart);
    }
}

/// Counts of a status are not below zero.
pub fn status_counts(object: &Tree, fields: &[&str], faults: &mut Faults) {
    let status = Place::root(object).at("status");
    fields.iter().for_each(|field| status.at(field).not_negative(faults));
}

/// Parts of the replicas of a status are not more than all, and what is available is ready.
pub fn status_parts(object: &Tree, fields: &[&str], faults: &mut Faults) {
    let count = |field: &str| number(object, &["status", field]);
    let mut exceeds = |field: &str, whole: &str, shown: &str| {
        if count(field) > count(whole) {
            let path = FieldPath::of(&["status", field]);
            faults.push(FieldError::invalid(path, count(field), format!("cannot be greater than {shown}")));
        }
    };
    fields.iter().for_each(|field| exceeds(field, "replicas", "status.replicas"));
    exceeds("availableReplicas", "readyReplicas", "readyReplicas");
}

/// A selector never changes.
pub fn frozen_selector(object: &Tree, old: &Tree, faults: &mut Faults) {
    if object.at(&["spec", "selector"]) != old.at(&["spec", "selector"]) {
        Place::root(object).down(&["spec", "selector"]).invalid(faults, IMMUTABLE);
    }
}

/// Names and images of a template's containers.
pub fn container_cells(object: &Tree) -> [Tree; 2] {
    let spec = if object.get("template").is_some() {
        &["template", "spec", "containers"][..]
    } else {
        &["spec", "template", "spec", "containers"]
    };
    let join = |field: &str| {
        let texts: Vec<&str> = object.list_at(spec).iter().filter_map(|c| c.str_at(&[field])).collect();
        Tree::text(texts.join(","))
    };
    [join("name"), join("image")]
}

/// The selector's cell.
pub fn selector_cell(object: &Tree) -> Tree {
    labels_text::selector(object.at(&["spec", "selector"]))
}

/// A number at a path, 0 when absent.
pub fn number(object: &Tree, path: &[&str]) -> i64 {
    object.int_at(path).unwrap_or(0)
}
