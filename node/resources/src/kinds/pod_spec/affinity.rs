//! Faults of affinities, of nodes and of pods.

use super::scheduling::label_keys;
use crate::kinds::place::Place;
use crate::rules::Faults;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
/// Weights of preferences.
const WEIGHTS: std::ops::RangeInclusive<i64> = 1..=100;

/// Faults of `affinity`.
pub(super) fn validate(affinity: &Place, faults: &mut Faults) {
    let node = affinity.at("nodeAffinity");
    if node.at(REQUIRED).given() {
        node_selector(&node.at(REQUIRED), faults);
    }
    for preference in node.at(PREFERRED).items() {
        weight(&preference.at("weight"), faults);
        node_term(&preference.at("preference"), faults);
    }
    for kind in ["podAffinity", "podAntiAffinity"].map(|field| affinity.at(field)) {
        kind.at(REQUIRED).items().for_each(|term| pod_term(&term, faults));
        for weighted in kind.at(PREFERRED).items() {
            weight(&weighted.at("weight"), faults);
            pod_term(&weighted.at("podAffinityTerm"), faults);
        }
    }
}

fn weight(weight: &Place, faults: &mut Faults) {
    if !WEIGHTS.contains(&weight.int().unwrap_or_default()) {
        weight.invalid(faults, "must be in the range 1-100");
    }
}

/// Faults of a selector of nodes.
fn node_selector(selector: &Place, faults: &mut Faults) {
    let terms = selector.at("nodeSelectorTerms");
    if terms.must(faults, "must have at least one node selector term") {
        terms.items().for_each(|term| node_term(&term, faults));
    }
}

fn node_term(term: &Place, faults: &mut Faults) {
    for expression in term.at("matchExpressions").items() {
        let (operator, values) = (expression.at("operator"), expression.at("values"));
        match operator.text() {
            "In" | "NotIn" if values.len() == 0 => {
                values.required(faults, "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if values.len() > 0 => {
                values.forbidden(faults, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
            }
            "Gt" | "Lt" if values.len() != 1 => {
                values.required(faults, "must be specified single value when `operator` is 'Lt' or 'Gt'");
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
            _ => operator.invalid(faults, "not a valid selector operator"),
        }
        expression.at("key").invalid_for(faults, api::names::label_key(expression.at("key").text()));
        values.items().for_each(|value| value.invalid_for(faults, api::names::label_value(value.text())));
    }
    for field in term.at("matchFields").items() {
        let (operator, values) = (field.at("operator"), field.at("values"));
        match operator.text() {
            "In" | "NotIn" if values.len() != 1 => {
                let why = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
                values.required(faults, why);
            }
            "In" | "NotIn" => {}
            _ => operator.invalid(faults, "not a valid selector operator"),
        }
        if field.at("key").text() != "metadata.name" {
            field.at("key").invalid(faults, "not a valid field selector key");
            continue;
        }
        values.items().for_each(|value| value.invalid_for(faults, api::names::dns1123_subdomain(value.text())));
    }
}

fn pod_term(term: &Place, faults: &mut Faults) {
    term.at("labelSelector").label_selector(faults);
    term.at("namespaceSelector").label_selector(faults);
    for name in term.at("namespaces").items() {
        let place = Place { value: name.value, path: term.path.field("namespace") };
        place.invalid_for(faults, api::names::dns1123_label(place.text()));
    }
    label_keys(term, faults);
    let topology = term.at("topologyKey");
    topology.must(faults, "can not be empty");
    topology.invalid_for(faults, api::names::label_key(topology.text()));
}
