//! HorizontalPodAutoscalers: as many pods as a metric asks for. Stored as version 2; version 1 knows the CPU and keeps
//! the rest in annotations. Rules of `k8s.io/kubernetes/pkg/registry/autoscaling/horizontalpodautoscaler` and
//! `pkg/apis/autoscaling/{v1,v2}`. Functions of rules see either version.

mod version1;

use super::place::Place;
use crate::cells;
use crate::rules::{Faults, PLAIN, Rules};
use api::{Tree, meta, names, tree};

pub use version1::VERSION_1;

/// The share of the requested CPU that pods shall use when nobody says, percent.
const CPU_PERCENT: i64 = 80;
const METRICS: [&str; 2] = ["spec", "metrics"];

/// What is special about HorizontalPodAutoscalers.
pub const RULES: Rules = Rules { default, validate, validate_status, cells: row, ..PLAIN };

fn is_version_1(object: &Tree) -> bool {
    meta::api_version(object) == "autoscaling/v1"
}

fn default(object: &mut Tree) {
    if object.int_at(&["spec", "minReplicas"]).is_none() {
        object.set_at(&["spec", "minReplicas"], 1);
    }
    if is_version_1(object) {
        return;
    }
    if object.list_at(&METRICS).is_empty() {
        object.set_at(&METRICS, vec![cpu(CPU_PERCENT)]);
    }
    let Some(behavior) = object.at_mut(&["spec", "behavior"]).filter(|b| b.as_map().is_some()) else { return };
    let percent = tree!({"type": "Percent", "value": 100, "periodSeconds": 15});
    let pods = tree!({"type": "Pods", "value": 4, "periodSeconds": 15});
    for (field, window, policies) in
        [("scaleUp", Some(0), vec![pods, percent.clone()]), ("scaleDown", None, vec![percent])]
    {
        let given = |behavior: &Tree, name: &str| behavior.at(&[field, name]).is_some_and(|v| !v.is_null());
        if !given(behavior, "selectPolicy") {
            behavior.set_at(&[field, "selectPolicy"], "Max");
        }
        if let Some(seconds) = window.filter(|_| !given(behavior, "stabilizationWindowSeconds")) {
            behavior.set_at(&[field, "stabilizationWindowSeconds"], seconds);
        }
        if !given(behavior, "policies") {
            behavior.set_at(&[field, "policies"], policies);
        }
    }
}

fn cpu(percent: i64) -> Tree {
    let target = tree!({"type": "Utilization", "averageUtilization": percent});
    tree!({"type": "Resource", "resource": {"name": "cpu", "target": target}})
}

fn validate(object: &Tree, faults: &mut Faults) {
    let spec = Place::root(object).at("spec");
    let (least, most, target) = (spec.at("minReplicas"), spec.at("maxReplicas"), spec.at("scaleTargetRef"));
    if least.int().is_some_and(|n| n < 1) {
        least.invalid(faults, "must be greater than or equal to 1");
    }
    match most.int().unwrap_or_default() {
        0 => most.required(faults, "must be set and greater than 0"),
        ..0 => most.invalid(faults, "must be greater than or equal to 1"),
        _ => {}
    }
    if most.int().unwrap_or_default() < least.int().unwrap_or_default() {
        most.invalid(faults, "must be greater than or equal to `minReplicas`");
    }
    target.at("kind").must_pass(faults, names::path_segment);
    target.at("name").must_pass(faults, names::path_segment);
    for metric in spec.at("metrics").items() {
        let forms = ["ContainerResource", "External", "Object", "Pods", "Resource"];
        metric.at("type").must_be_one_of(faults, &forms);
        for form in forms {
            let field = version1::field(form);
            let source = metric.at(&field);
            match (form == metric.at("type").text(), source.given()) {
                (true, false) => source.required(faults, "must populate information for the given metric source"),
                (false, true) => source.forbidden(faults, "must populate the given metric source only"),
                _ => {}
            }
        }
    }
    for rules in ["scaleUp", "scaleDown"].map(|field| spec.at("behavior").at(field)).into_iter().filter(Place::given) {
        rules.at("policies").must(faults, "must specify at least one Policy");
        for policy in rules.at("policies").items() {
            policy.at("type").one_of(faults, &["Percent", "Pods"]);
            for number in ["value", "periodSeconds"].map(|field| policy.at(field)) {
                if number.int().unwrap_or_default() <= 0 {
                    number.invalid(faults, "must be greater than zero");
                }
            }
        }
    }
}

fn validate_status(object: &Tree, _old: &Tree, faults: &mut Faults) {
    for field in ["currentReplicas", "desiredReplicas"] {
        Place::root(object).at("status").at(field).not_negative(faults);
    }
}

/// One metric as `current/target`.
fn metric(spec: &Tree, status: Option<&Tree>) -> String {
    let kind = spec.str_at(&["type"]).unwrap_or_default();
    let field = version1::field(kind);
    let now = |value: &str| status.and_then(|s| s.at(&[&field, "current", value]));
    let target = |value: &str| spec.at(&[&field, "target", value]);
    let text = |value: Option<&Tree>| value.and_then(Tree::as_str).unwrap_or("<unknown>").to_owned();
    let percent =
        |value: Option<&Tree>, none: &str| value.and_then(Tree::as_int).map_or(none.to_owned(), |n| format!("{n}%"));
    let average = target("averageValue").is_some_and(|v| !v.is_null());
    let pair = |value: &str| format!("{}/{}", text(now(value)), text(target(value)));
    let name = spec.str_at(&[&field, "name"]).unwrap_or_default();
    match kind {
        "External" | "Object" if average => format!("{} (avg)", pair("averageValue")),
        "External" | "Object" => pair("value"),
        "Pods" => pair("averageValue"),
        "Resource" | "ContainerResource" if average => format!("{name}: {}", pair("averageValue")),
        "Resource" | "ContainerResource" => {
            let current = percent(now("averageUtilization"), "<unknown>");
            format!("{name}: {current}/{}", percent(target("averageUtilization"), "<auto>"))
        }
        _ => "<unknown type>".to_owned(),
    }
}

fn row(object: &Tree, now: i64) -> Vec<Tree> {
    let mut stored = object.clone();
    if is_version_1(object) {
        (VERSION_1.to_stored)(&mut stored);
    }
    let statuses = stored.list_at(&["status", "currentMetrics"]);
    let specs = stored.list_at(&METRICS).iter().enumerate();
    let shown: Vec<String> = specs.map(|(i, spec)| metric(spec, statuses.get(i))).collect();
    let more = if shown.len() > 2 { format!(" + {} more...", shown.len() - 2) } else { String::new() };
    let targets = format!("{}{more}", shown[..shown.len().min(2)].join(", "));
    let text = |field: &str| object.str_at(&["spec", "scaleTargetRef", field]).unwrap_or_default();
    let number = |path: &[&str]| Tree::Int(object.int_at(path).unwrap_or_default());
    let least = object.int_at(&["spec", "minReplicas"]).map_or("<unset>".to_owned(), |n| n.to_string());
    vec![
        Tree::text(meta::name(object)),
        Tree::text(format!("{}/{}", text("kind"), text("name"))),
        cells::or_none(Some(&targets)),
        Tree::text(least),
        number(&["spec", "maxReplicas"]),
        number(&["status", "currentReplicas"]),
        cells::age(object, now),
    ]
}
