//! Deployments. Rules of `k8s.io/kubernetes/pkg/registry/apps/deployment` and `pkg/apis/apps/v1/defaults.go`.

use super::place::Place;
use super::workloads::{
    container_cells, fill, fill_text, frozen_selector, not_negative, number, selector_and_template, selector_cell,
    status_counts, status_parts, template,
};
use crate::rules::{Faults, PLAIN, Rules};
use api::{Tree, meta};

/// What is special about deployments.
pub const RULES: Rules =
    Rules { generation: true, default, validate, validate_update: frozen_selector, validate_status, cells, ..PLAIN };

fn default(object: &mut Tree) {
    template(object);
    fill(object, &["spec", "replicas"], 1);
    fill_text(object, &["spec", "strategy", "type"], "RollingUpdate");
    if object.str_at(&["spec", "strategy", "type"]) == Some("RollingUpdate") {
        fill(object, &["spec", "strategy", "rollingUpdate", "maxUnavailable"], "25%");
        fill(object, &["spec", "strategy", "rollingUpdate", "maxSurge"], "25%");
    }
    fill(object, &["spec", "revisionHistoryLimit"], 10);
    fill(object, &["spec", "progressDeadlineSeconds"], 600);
}

fn validate(object: &Tree, faults: &mut Faults) {
    let spec = Place::root(object).at("spec");
    not_negative(&spec.at("replicas"), faults);
    selector_and_template(object, &["Always"], faults);
    strategy(&spec.at("strategy"), faults);
    for field in ["minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"] {
        not_negative(&spec.at(field), faults);
    }
    let (deadline, ready) = (spec.at("progressDeadlineSeconds"), spec.at("minReadySeconds").int().unwrap_or(0));
    if deadline.int().is_some_and(|seconds| seconds <= ready) {
        deadline.invalid(faults, "must be greater than minReadySeconds");
    }
}

fn validate_status(object: &Tree, _old: &Tree, faults: &mut Faults) {
    const PARTS: &[&str] = &["updatedReplicas", "readyReplicas", "availableReplicas"];
    status_counts(object, &["observedGeneration", "replicas"], faults);
    status_counts(object, PARTS, faults);
    status_counts(object, &["unavailableReplicas", "terminatingReplicas", "collisionCount"], faults);
    status_parts(object, PARTS, faults);
}

fn strategy(strategy: &Place, faults: &mut Faults) {
    let rolling = strategy.at("rollingUpdate");
    match strategy.at("type").text() {
        "Recreate" if rolling.given() => {
            rolling.forbidden(faults, "may not be specified when strategy `type` is 'Recreate'");
        }
        "Recreate" => {}
        "RollingUpdate" => {
            let none = |field: &str| match rolling.at(field).value {
                Tree::Int(0) => true,
                Tree::Text(text) => text == "0%",
                _ => false,
            };
            if none("maxUnavailable") && none("maxSurge") {
                rolling.at("maxUnavailable").invalid(faults, "may not be 0 when `maxSurge` is 0");
            }
        }
        _ => strategy.at("type").must_be_one_of(faults, &["Recreate", "RollingUpdate"]),
    }
}

fn cells(object: &Tree, now: i64) -> Vec<Tree> {
    let status = |field: &str| number(object, &["status", field]);
    let [names, images] = container_cells(object);
    vec![
        Tree::text(meta::name(object)),
        Tree::text(format!("{}/{}", status("readyReplicas"), number(object, &["spec", "replicas"]))),
        Tree::Int(status("updatedReplicas")),
        Tree::Int(status("availableReplicas")),
        crate::cells::age(object, now),
        names,
        images,
        selector_cell(object),
    ]
}
