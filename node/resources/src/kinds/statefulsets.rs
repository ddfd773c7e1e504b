//! Stateful sets and daemon sets. Rules of `k8s.io/kubernetes/pkg/registry/apps/{statefulset,daemonset}` and
//! `pkg/apis/apps/v1/defaults.go`.

use super::labels_text;
use super::place::Place;
use super::workloads::{
    container_cells, fill, fill_text, frozen_selector, not_negative, number, selector_and_template, selector_cell,
    template,
};
use crate::rules::{Faults, PLAIN, Rules};
use api::{Tree, meta};

/// What is special about stateful sets.
pub const RULES: Rules = Rules { generation: true, default, validate, validate_update, cells, ..PLAIN };

/// What is special about daemon sets.
pub const DAEMONS: Rules = Rules {
    generation: true,
    default: default_daemons,
    validate: validate_daemons,
    validate_update: frozen_selector,
    cells: daemon_cells,
    ..PLAIN
};

fn default(object: &mut Tree) {
    template(object);
    fill_text(object, &["spec", "podManagementPolicy"], "OrderedReady");
    fill_text(object, &["spec", "updateStrategy", "type"], "RollingUpdate");
    if object.str_at(&["spec", "updateStrategy", "type"]) == Some("RollingUpdate") {
        fill(object, &["spec", "updateStrategy", "rollingUpdate", "partition"], 0);
    }
    for when in ["whenDeleted", "whenScaled"] {
        fill_text(object, &["spec", "persistentVolumeClaimRetentionPolicy", when], "Retain");
    }
    fill(object, &["spec", "replicas"], 1);
    fill(object, &["spec", "revisionHistoryLimit"], 10);
    for claim in object.at_mut(&["spec", "volumeClaimTemplates"]).and_then(Tree::as_list_mut).into_iter().flatten() {
        fill_text(claim, &["spec", "volumeMode"], "Filesystem");
        fill_text(claim, &["status", "phase"], "Pending");
        fill_text(claim, &["apiVersion"], "v1");
        fill_text(claim, &["kind"], "PersistentVolumeClaim");
    }
}

fn validate(object: &Tree, faults: &mut Faults) {
    let spec = Place::root(object).at("spec");
    spec.at("podManagementPolicy").must_be_one_of(faults, &["OrderedReady", "Parallel"]);
    spec.at("updateStrategy").at("type").must_be_one_of(faults, &["OnDelete", "RollingUpdate"]);
    for field in ["replicas", "minReadySeconds", "revisionHistoryLimit"] {
        not_negative(&spec.at(field), faults);
    }
    not_negative(&spec.down(&["updateStrategy", "rollingUpdate", "partition"]), faults);
    selector_and_template(object, &["Always"], faults);
}

/// What a stateful set may change.
const CHANGEABLE: &[&str] = &[
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

fn validate_update(object: &Tree, old: &Tree, faults: &mut Faults) {
    let fixed = |object: &Tree| {
        let mut spec = object.get("spec").cloned().unwrap_or_default();
        for field in CHANGEABLE {
            spec.remove(field);
        }
        spec
    };
    if fixed(object) != fixed(old) {
        let why = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
        Place::root(object).at("spec").forbidden(faults, why);
    }
}

fn cells(object: &Tree, now: i64) -> Vec<Tree> {
    let [names, images] = container_cells(object);
    let (ready, wanted) = (number(object, &["status", "readyReplicas"]), number(object, &["spec", "replicas"]));
    let name = Tree::text(meta::name(object));
    vec![name, Tree::text(format!("{ready}/{wanted}")), crate::cells::age(object, now), names, images]
}

fn default_daemons(object: &mut Tree) {
    template(object);
    fill_text(object, &["spec", "updateStrategy", "type"], "RollingUpdate");
    if object.str_at(&["spec", "updateStrategy", "type"]) == Some("RollingUpdate") {
        fill(object, &["spec", "updateStrategy", "rollingUpdate", "maxUnavailable"], 1);
        fill(object, &["spec", "updateStrategy", "rollingUpdate", "maxSurge"], 0);
    }
    fill(object, &["spec", "revisionHistoryLimit"], 10);
}

fn validate_daemons(object: &Tree, faults: &mut Faults) {
    let spec = Place::root(object).at("spec");
    selector_and_template(object, &["Always"], faults);
    spec.at("updateStrategy").at("type").must_be_one_of(faults, &["OnDelete", "RollingUpdate"]);
    not_negative(&spec.at("minReadySeconds"), faults);
    not_negative(&spec.at("revisionHistoryLimit"), faults);
}

fn daemon_cells(object: &Tree, now: i64) -> Vec<Tree> {
    let [names, images] = container_cells(object);
    let status = |field: &str| Tree::Int(number(object, &["status", field]));
    vec![
        Tree::text(meta::name(object)),
        status("desiredNumberScheduled"),
        status("currentNumberScheduled"),
        status("numberReady"),
        status("updatedNumberScheduled"),
        status("numberAvailable"),
        labels_text::labels(object.map_at(&["spec", "template", "spec", "nodeSelector"])),
        crate::cells::age(object, now),
        names,
        images,
        selector_cell(object),
    ]
}
