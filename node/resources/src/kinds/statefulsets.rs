//! Stateful sets and daemon sets. Rules of `k8s.io/kubernetes/pkg/registry/apps/{statefulset,daemonset}` and
//! `pkg/apis/apps/v1/defaults.go`.

use super::labels_text;
use super::place::Place;
use super::pod_spec::validate_template;
use super::workloads::{
    container_cells, fill, fill_text, frozen_selector, not_negative, number, selector_and_template, selector_cell,
    template,
};
use crate::rules::{Faults, PLAIN, Rules};
use api::selector::LabelSelector;
use api::{Tree, meta};

/// What is special about stateful sets.
pub const RULES: Rules = Rules { generation: true, default, validate, validate_update, cells, ..PLAIN };

/// What is special about daemon sets.
pub const DAEMONS: Rules = Rules {
    generation: true,
    default: default_daemons,
    on_create: first_template,
    on_update: count_templates,
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
    selector_and_template(&with_claims(object), &["Always"], faults);
}

/// The set with its template as its pods get it: each claim is a volume that containers may mount, and the names of the
/// pods are the controller's own (upstream's `ValidateStatefulSetSpec`).
fn with_claims(object: &Tree) -> Tree {
    let claims = object.list_at(&["spec", "volumeClaimTemplates"]).iter().map(|claim| meta::name(claim).to_owned());
    let claims: Vec<String> = claims.collect();
    let kept = object.list_at(&["spec", "template", "spec", "volumes"]).iter();
    let mut volumes: Vec<Tree> =
        kept.filter(|volume| !claims.iter().any(|claim| volume.str_at(&["name"]) == Some(claim))).cloned().collect();
    for claim in &claims {
        let name = claim.as_str();
        volumes.push(api::tree!({"name": name, "persistentVolumeClaim": {"claimName": name}}));
    }
    let mut object = object.clone();
    object.remove_at(&["spec", "template", "spec", "hostname"]);
    object.remove_at(&["spec", "template", "spec", "subdomain"]);
    if !claims.is_empty() {
        object.set_at(&["spec", "template", "spec", "volumes"], Tree::from(volumes));
    }
    object
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

/// How often the template of a daemon set changed, as an annotation; an old field that clients still see.
const TEMPLATE_GENERATION: [&str; 3] = ["metadata", "annotations", "deprecated.daemonset.template.generation"];

fn template_generation(object: &Tree) -> i64 {
    object.str_at(&TEMPLATE_GENERATION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn first_template(object: &mut Tree) {
    let count = template_generation(object).max(1);
    object.set_at(&TEMPLATE_GENERATION, count.to_string());
}

fn count_templates(object: &mut Tree, old: &Tree) {
    let changed = object.at(&["spec", "template"]) != old.at(&["spec", "template"]);
    let count = template_generation(old) + i64::from(changed);
    object.set_at(&TEMPLATE_GENERATION, count.to_string());
}

fn validate_daemons(object: &Tree, faults: &mut Faults) {
    let spec = Place::root(object).at("spec");
    let selector = spec.at("selector");
    selector.label_selector(faults);
    let labels = spec.down(&["template", "metadata", "labels"]);
    let parsed = LabelSelector::from_tree(selector.given().then_some(selector.value));
    if parsed.as_ref().is_ok_and(|parsed| !parsed.matches(labels.value.as_map())) {
        labels.invalid(faults, "`selector` does not match template `labels`");
    }
    if selector.given() && parsed.is_ok_and(|parsed| parsed.is_everything()) {
        selector.invalid(faults, "empty selector is invalid for daemonset");
    }
    validate_template(&spec.at("template"), faults);
    spec.down(&["template", "spec", "restartPolicy"]).one_of(faults, &["Always"]);
    if spec.down(&["template", "spec", "activeDeadlineSeconds"]).given() {
        let why = "activeDeadlineSeconds in DaemonSet is not Supported";
        spec.down(&["template", "spec", "activeDeadlineSeconds"]).forbidden(faults, why);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_of_the_set_is_a_volume_of_its_template() {
        let set = api::tree!({"spec": {
            "volumeClaimTemplates": [{"metadata": {"name": "data"}}],
            "template": {"spec": {"hostname": "x", "volumes": [{"name": "data"}, {"name": "other"}]}}
        }});
        let seen = with_claims(&set);
        let volumes = seen.list_at(&["spec", "template", "spec", "volumes"]);
        let names: Vec<_> = volumes.iter().map(|volume| volume.str_at(&["name"]).unwrap()).collect();
        assert_eq!(names, ["other", "data"]);
        assert_eq!(volumes[1].str_at(&["persistentVolumeClaim", "claimName"]), Some("data"));
        assert_eq!(seen.at(&["spec", "template", "spec", "hostname"]), None);
    }
}
