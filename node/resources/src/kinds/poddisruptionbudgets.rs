//! PodDisruptionBudgets: how many pods may be away at once. Rules of
//! `k8s.io/kubernetes/pkg/registry/policy/poddisruptionbudget`.

use super::place::{NEGATIVE, Place};
use crate::cells;
use crate::rules::{Faults, PLAIN, Rules};
use api::path::Fault;
use api::{FieldError, Tree, meta};

/// What is special about PodDisruptionBudgets.
pub const RULES: Rules =
    Rules { generation: true, unconditional_update: false, validate, validate_status, cells: row, ..PLAIN };

fn number_or_percent(place: &Place, faults: &mut Faults) {
    let percent = place.text().strip_suffix('%').filter(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    match (place.int(), percent) {
        (Some(number), _) if number < 0 => place.invalid(faults, NEGATIVE),
        (Some(_), _) => {}
        (None, None) => place.invalid(
            faults,
            "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
        ),
        (None, Some(digits)) if digits.parse::<i64>().map_or(true, |n| n > 100) => {
            place.invalid(faults, "must not be greater than 100%");
        }
        (None, Some(_)) => {}
    }
}

fn validate(object: &Tree, faults: &mut Faults) {
    let spec = Place::root(object).at("spec");
    let (least, most, policy) =
        (spec.at("minAvailable"), spec.at("maxUnavailable"), spec.at("unhealthyPodEvictionPolicy"));
    if least.given() && most.given() {
        faults.push(both(&spec));
    }
    for limit in [least, most].into_iter().filter(Place::given) {
        number_or_percent(&limit, faults);
    }
    spec.at("selector").label_selector(faults);
    if policy.given() {
        policy.one_of(faults, &["AlwaysAllow", "IfHealthyBudget"]);
    }
}

/// Both limits at once. Upstream shows its internal form of the spec, whose fields have other names and another order.
fn both(spec: &Place) -> FieldError {
    let fields = ["minAvailable", "selector", "maxUnavailable", "unhealthyPodEvictionPolicy"];
    let shown = fields.map(|field| {
        let (first, rest) = field.split_at(1);
        format!("\"{}{rest}\":{}", first.to_uppercase(), spec.at(field).value.to_json_text())
    });
    let why = format!("{{{}}}: minAvailable and maxUnavailable cannot be both set", shown.join(","));
    FieldError { fault: Fault::Invalid, path: spec.path.clone(), value: None, detail: why }
}

fn validate_status(object: &Tree, _old: &Tree, faults: &mut Faults) {
    for field in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
        Place::root(object).at("status").at(field).not_negative(faults);
    }
}

fn row(object: &Tree, now: i64) -> Vec<Tree> {
    let limit = |field: &str| match object.at(&["spec", field]) {
        Some(Tree::Int(number)) => Tree::text(number.to_string()),
        Some(Tree::Text(text)) => Tree::text(text.as_str()),
        _ => Tree::text("N/A"),
    };
    vec![
        Tree::text(meta::name(object)),
        limit("minAvailable"),
        limit("maxUnavailable"),
        Tree::Int(object.int_at(&["status", "disruptionsAllowed"]).unwrap_or_default()),
        cells::age(object, now),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_budget_has_one_limit() {
        let faults = |spec: Tree| {
            let mut faults = Faults::new();
            validate(&tree!({"spec": spec}), &mut faults);
            faults.into_iter().map(|fault| fault.path.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(faults(tree!({"minAvailable": "50%"})), [""; 0]);
        assert_eq!(faults(tree!({"minAvailable": 1, "maxUnavailable": 1})), ["spec"]);
        let message = both(&Place::root(&tree!({"minAvailable": 1, "maxUnavailable": "5%"}))).message();
        assert!(message.starts_with(r#"Invalid value: {"MinAvailable":1,"Selector":null,"MaxUnavailable":"5%","#));
        assert_eq!(faults(tree!({"maxUnavailable": "101%"})), ["spec.maxUnavailable"]);
    }
}
