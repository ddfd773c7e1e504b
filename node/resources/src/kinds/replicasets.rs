//! Replica sets and, in their older form, replication controllers. Rules of
//! `k8s.io/kubernetes/pkg/registry/{apps/replicaset,core/replicationcontroller}`.

use super::labels_text;
use super::place::Place;
use super::pod_spec::validate_template;
use super::workloads::{
    container_cells, fill, frozen_selector, not_negative, number, selector_and_template, selector_cell, status_counts,
    status_parts, template,
};
use crate::rules::{Faults, PLAIN, Rules, SelectableField};
use api::selector::LabelSelector;
use api::{Tree, meta};

const REPLICAS: &[SelectableField] =
    &[SelectableField { label: "status.replicas", path: &["status", "replicas"], absent: "0" }];

/// What is special about replica sets.
pub const RULES: Rules = Rules {
    generation: true,
    default,
    validate,
    validate_update: frozen_selector,
    validate_status,
    fields: REPLICAS,
    cells: |object, now| row(object, now, selector_cell(object)),
    ..PLAIN
};

/// What is special about replication controllers.
pub const CONTROLLERS: Rules = Rules {
    generation: true,
    orphan_by_default: true,
    default: default_controller,
    validate: validate_controller,
    validate_status,
    fields: REPLICAS,
    cells: |object, now| row(object, now, labels_text::labels(object.map_at(&["spec", "selector"]))),
    ..PLAIN
};

fn validate_status(object: &Tree, _old: &Tree, faults: &mut Faults) {
    const PARTS: &[&str] = &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
    status_counts(object, &["replicas"], faults);
    status_counts(object, PARTS, faults);
    status_counts(object, &["observedGeneration", "terminatingReplicas"], faults);
    status_parts(object, PARTS, faults);
}

fn default(object: &mut Tree) {
    template(object);
    fill(object, &["spec", "replicas"], 1);
}

/// Labels and selector of a replication controller come from its template when they are left out.
fn default_controller(object: &mut Tree) {
    // Here alone upstream tells an absent template from an empty one.
    if object.at(&["spec", "template"]).is_some_and(|template| !template.is_null()) {
        template(object);
    }
    fill(object, &["spec", "replicas"], 1);
    let labels = object.at(&["spec", "template", "metadata", "labels"]).cloned();
    if let Some(labels) = labels.filter(|l| !l.is_empty()) {
        for path in [&["spec", "selector"][..], &["metadata", "labels"]] {
            if object.at(path).is_none_or(Tree::is_empty) {
                object.set_at(path, labels.clone());
            }
        }
    }
}

fn validate(object: &Tree, faults: &mut Faults) {
    let spec = Place::root(object).at("spec");
    not_negative(&spec.at("replicas"), faults);
    not_negative(&spec.at("minReadySeconds"), faults);
    selector_and_template(object, &["Always"], faults);
}

fn validate_controller(object: &Tree, faults: &mut Faults) {
    let spec = Place::root(object).at("spec");
    not_negative(&spec.at("minReadySeconds"), faults);
    let selector = spec.at("selector");
    if selector.len() == 0 {
        selector.required(faults, "");
    }
    not_negative(&spec.at("replicas"), faults);
    let template = spec.at("template");
    if !template.given() {
        return template.required(faults, "");
    }
    if !LabelSelector::from_map(selector.value.as_map()).matches(meta::labels(template.value)) {
        template.down(&["metadata", "labels"]).invalid(faults, "`selector` does not match template `labels`");
    }
    validate_template(&template, faults);
    template.down(&["spec", "restartPolicy"]).must_be_one_of(faults, &["Always"]);
}

fn row(object: &Tree, now: i64, selector: Tree) -> Vec<Tree> {
    let [names, images] = container_cells(object);
    vec![
        Tree::text(meta::name(object)),
        Tree::Int(number(object, &["spec", "replicas"])),
        Tree::Int(number(object, &["status", "replicas"])),
        Tree::Int(number(object, &["status", "readyReplicas"])),
        crate::cells::age(object, now),
        names,
        images,
        selector,
    ]
}
