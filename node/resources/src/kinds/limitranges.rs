//! LimitRanges: what containers of a namespace get and may have. Rules of
//! `k8s.io/kubernetes/pkg/apis/core/v1/defaults.go` and `pkg/apis/core/validation`. It must not know how pods are held to them: that is admission.

use super::place::Place;
use crate::rules::{Faults, PLAIN, Rules};
use api::quantity::Format;
use api::{FieldError, Quantity, Tree};

/// What is special about LimitRanges.
pub const RULES: Rules = Rules { default, validate, ..PLAIN };

fn default(object: &mut Tree) {
    for item in object.at_mut(&["spec", "limits"]).and_then(Tree::as_list_mut).into_iter().flatten() {
        if item.str_at(&["type"]) == Some("Container") {
            fill(item, "default", "max");
            fill(item, "defaultRequest", "default");
            fill(item, "defaultRequest", "min");
        }
    }
}

/// Amounts that one list lacks are taken from another.
fn fill(item: &mut Tree, list: &str, from: &str) {
    let amounts = item.map_at(&[from]).cloned().unwrap_or_default();
    for (name, amount) in amounts.iter() {
        if item.at(&[list, name]).is_none() {
            item.set_at(&[list, name], amount.clone());
        }
    }
}

fn validate(object: &Tree, faults: &mut Faults) {
    let mut seen = Vec::new();
    for item in Place::root(object).down(&["spec", "limits"]).items() {
        let kind = item.at("type");
        kinds(&kind, faults);
        if seen.contains(&kind.text()) {
            kind.duplicate(faults);
        }
        seen.push(kind.text());
        if kind.text() == "Pod" {
            for list in ["default", "defaultRequest"].map(|list| item.at(list)).iter().filter(|list| list.len() > 0) {
                list.forbidden(faults, "may not be specified when `type` is 'Pod'");
            }
        }
        let storage = |list: &str| item.at(list).at("storage").given();
        if kind.text() == "PersistentVolumeClaim" && !storage("min") && !storage("max") {
            let why = "either minimum or maximum storage value is required, but neither was provided";
            item.at("limits").required(faults, why);
        }
        let lists = ["min", "max", "default", "defaultRequest", "maxLimitRequestRatio"];
        let mut names: Vec<&str> =
            lists.iter().flat_map(|list| item.at(list).entries().map(|(name, _)| name)).collect();
        names.sort_unstable();
        names.dedup();
        names.iter().for_each(|name| amounts(&item, name, faults));
    }
}

fn kinds(kind: &Place, faults: &mut Faults) {
    let wrong = api::names::label_key(kind.text());
    if wrong.is_empty() && !kind.text().contains('/') && !KINDS.contains(&kind.text()) {
        kind.invalid(faults, "must be a standard limit type or fully qualified");
    }
    kind.invalid_for(faults, wrong);
}

/// What limits can be about.
const KINDS: &[&str] = &["Pod", "Container", "PersistentVolumeClaim"];

/// Lists whose amounts must not be greater than those of another, and what both are called; which of the two is shown
/// is upstream's choice.
const ORDER: &[(&str, &str, &str, &str, &str)] = &[
    ("min", "max", "min", "min value {} is greater than max value {}", "min"),
    (
        "min",
        "defaultRequest",
        "defaultRequest",
        "min value {} is greater than default request value {}",
        "defaultRequest",
    ),
    (
        "defaultRequest",
        "max",
        "defaultRequest",
        "default request value {} is greater than max value {}",
        "defaultRequest",
    ),
    (
        "defaultRequest",
        "default",
        "defaultRequest",
        "default request value {} is greater than default limit value {}",
        "defaultRequest",
    ),
    ("min", "default", "default", "min value {} is greater than default value {}", "min"),
    ("default", "max", "default", "default value {} is greater than max value {}", "max"),
];

/// Faults of the amounts of one resource.
fn amounts(item: &Place, name: &str, faults: &mut Faults) {
    let pod = item.at("type").text() == "Pod";
    let read = |list: &str| {
        let skipped = pod && list.starts_with("default");
        Quantity::parse(item.at(list).at(name).text()).ok().filter(|_| !skipped)
    };
    for (low, high, at, words, shown) in ORDER {
        let (Some(less), Some(more)) = (read(low), read(high)) else { continue };
        if less > more {
            let why = words.replacen("{}", &less.to_string(), 1).replacen("{}", &more.to_string(), 1);
            let value = if shown == low { less } else { more };
            faults.push(FieldError::invalid(item.at(at).path.key(name), value.to_string(), why));
        }
    }
    let ratio = read("maxLimitRequestRatio");
    if let Some(ratio) = ratio.filter(|ratio| *ratio < Quantity::from_int(1, Format::DecimalSi)) {
        let path = item.at("maxLimitRequestRatio").path.key(name);
        faults.push(FieldError::invalid(path, ratio.to_string(), format!("ratio {ratio} is less than 1")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn limits_that_contradict_each_other_are_named() {
        let limits = tree!([
            {"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}},
            {"type": "Pod", "default": {"cpu": "1"}},
            {"type": "Pod"}
        ]);
        let mut object = tree!({"spec": {"limits": limits}});
        default(&mut object);
        let mut faults = Faults::new();
        validate(&object, &mut faults);
        let said: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                r#"spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1"#,
                r#"spec.limits[0].defaultRequest[cpu]: Invalid value: "1": min value 2 is greater than default request value 1"#,
                r#"spec.limits[0].default[cpu]: Invalid value: "2": min value 2 is greater than default value 1"#,
                "spec.limits[1].default: Forbidden: may not be specified when `type` is 'Pod'",
                r#"spec.limits[2].type: Duplicate value: "Pod""#,
            ]
        );
    }

    #[test]
    fn what_is_not_said_follows_from_the_limits() {
        let item =
            tree!({"type": "Container", "max": {"memory": "1Gi"}, "default": {"cpu": "1"}, "min": {"disk": "1"}});
        let mut object = tree!({"spec": {"limits": [item]}});
        default(&mut object);
        let item = &object.list_at(&["spec", "limits"])[0];
        assert_eq!(item.get("default"), Some(&tree!({"cpu": "1", "memory": "1Gi"})));
        assert_eq!(item.get("defaultRequest"), Some(&tree!({"cpu": "1", "memory": "1Gi", "disk": "1"})));
    }
}
