//! Faults of tolerations, gates and spreading.

use crate::kinds::place::Place;
use crate::rules::Faults;
use api::{FieldError, Tree};

const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// Faults of tolerations.
pub(super) fn tolerations(list: &Place, faults: &mut Faults) {
    for toleration in list.items() {
        let [key, operator, value, effect] =
            ["key", "operator", "value", "effect"].map(|field| text_at(&toleration, field));
        let (key_text, operator_text) = (key.1, operator.1);
        if !key_text.is_empty() {
            key.0.invalid_for(faults, api::names::label_key(key_text));
        } else if operator_text != "Exists" {
            let why = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            faults.push(FieldError::invalid(operator.0.path.clone(), operator_text, why));
        }
        if toleration.at("tolerationSeconds").given() && effect.1 != "NoExecute" {
            let why = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            faults.push(FieldError::invalid(effect.0.path.clone(), effect.1, why));
        }
        match operator_text {
            "" | "Equal" => {
                let wrong = api::names::label_value(value.1);
                if !wrong.is_empty() {
                    faults.push(FieldError::invalid(operator.0.path.clone(), value.1, wrong.join(";")));
                }
            }
            "Exists" if !value.1.is_empty() => {
                let why = "value must be empty when `operator` is 'Exists'";
                faults.push(FieldError::invalid(operator.0.path.clone(), value.1, why));
            }
            "Exists" => {}
            _ => operator.0.one_of(faults, &["Equal", "Exists"]),
        }
        if !effect.1.is_empty() {
            effect.0.one_of(faults, EFFECTS);
        }
    }
}

fn text_at<'a>(place: &Place<'a>, field: &str) -> (Place<'a>, &'a str) {
    let found = place.at(field);
    let text = found.text();
    (found, text)
}

/// Whether two tolerations differ in no more than their seconds.
fn same_but_seconds(one: &Tree, other: &Tree) -> bool {
    let without = |toleration: &Tree| {
        let mut rest = toleration.clone();
        rest.remove("tolerationSeconds");
        rest
    };
    without(one) == without(other)
}

/// A pod's tolerations may only grow.
pub fn only_added_tolerations(new: &Place, old: &[Tree], faults: &mut Faults) {
    let kept = |before: &Tree| new.items().any(|now| same_but_seconds(now.value, before));
    if !old.iter().all(kept) {
        new.forbidden(faults, "existing toleration can not be modified except its tolerationSeconds");
    }
}

/// Faults of the gates that hold a pod back from scheduling.
pub(super) fn gates(list: &Place, faults: &mut Faults) {
    let mut seen = Vec::new();
    for gate in list.items() {
        let name = Place { value: gate.at("name").value, path: gate.path.clone() };
        name.invalid_for(faults, api::names::label_key(name.text()));
        if seen.contains(&name.text()) {
            name.duplicate(faults);
        }
        seen.push(name.text());
    }
}

/// Gates may only be taken away.
pub fn only_removed_gates(new: &Place, old: &[Tree], faults: &mut Faults) {
    for name in new.items().map(|gate| gate.at("name")) {
        if !old.iter().any(|gate| gate.str_at(&["name"]) == Some(name.text())) {
            let why = format!("only deletion is allowed, but found new scheduling gate '{}'", name.text());
            name.forbidden(faults, why);
        }
    }
}

/// Faults of how pods spread over the cluster.
pub(super) fn spread(list: &Place, faults: &mut Faults) {
    let constraints: Vec<Place> = list.items().collect();
    for (i, constraint) in constraints.iter().enumerate() {
        positive(&constraint.at("maxSkew"), faults);
        constraint.at("topologyKey").must(faults, "can not be empty");
        let action = constraint.at("whenUnsatisfiable");
        action.one_of(faults, &["DoNotSchedule", "ScheduleAnyway"]);
        let same = |other: &Place| {
            ["topologyKey", "whenUnsatisfiable"].iter().all(|f| other.at(f).text() == constraint.at(f).text())
        };
        if constraints[i + 1..].iter().any(same) {
            let shown = format!("{{{}, {}}}", constraint.at("topologyKey").text(), action.text());
            let path = constraint.path.field("{topologyKey, whenUnsatisfiable}");
            faults.push(FieldError::duplicate(path, shown));
        }
        let domains = constraint.at("minDomains");
        if domains.given() {
            positive(&domains, faults);
            if action.text() != "DoNotSchedule" {
                let why = "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not";
                domains.invalid(faults, format!("{why} {}", action.text()));
            }
        }
        for policy in ["nodeAffinityPolicy", "nodeTaintsPolicy"].map(|field| constraint.at(field)) {
            if policy.given() {
                policy.one_of(faults, &["Honor", "Ignore"]);
            }
        }
        label_keys(constraint, faults);
        constraint.at("labelSelector").label_selector(faults);
    }
}

fn positive(number: &Place, faults: &mut Faults) {
    let value = number.int().unwrap_or_default();
    if value <= 0 {
        faults.push(FieldError::invalid(number.path.clone(), value, "must be greater than zero"));
    }
}

/// Faults of the keys whose values are taken from the pod's own labels.
pub(super) fn label_keys(holder: &Place, faults: &mut Faults) {
    let selector = holder.at("labelSelector");
    for list in ["matchLabelKeys", "mismatchLabelKeys"].map(|field| holder.at(field)) {
        if list.len() > 0 && !selector.given() {
            list.forbidden(faults, "must not be specified when labelSelector is not set");
            continue;
        }
        list.items().for_each(|key| key.invalid_for(faults, api::names::label_key(key.text())));
    }
    let mismatched = holder.at("mismatchLabelKeys");
    for key in holder.at("matchLabelKeys").items() {
        if mismatched.items().any(|other| other.text() == key.text()) {
            key.invalid(faults, "exists in both matchLabelKeys and mismatchLabelKeys");
        }
    }
}

/// Writes the pod's values of the keys that a term or constraint names into its selector, as upstream's storage does
/// before a pod is stored.
pub fn take_label_keys(holder: &mut Tree, labels: Option<&api::Map>) {
    if holder.get("labelSelector").is_none_or(Tree::is_null) {
        return;
    }
    for (field, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        for key in holder.list_at(&[field]).to_vec() {
            let value = key.as_str().and_then(|key| labels?.get(key));
            if let (Some(key), Some(value)) = (key.as_str(), value.and_then(Tree::as_str)) {
                let mut expressions = holder.list_at(&["labelSelector", "matchExpressions"]).to_vec();
                expressions.push(api::tree!({"key": key, "operator": operator, "values": [value]}));
                holder.set_at(&["labelSelector", "matchExpressions"], expressions);
            }
        }
    }
}
