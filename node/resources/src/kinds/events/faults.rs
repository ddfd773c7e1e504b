//! What may be wrong with an event. The core group judges as it always did, the newer group more strictly, and both
//! name fields as the core form does. Rules of `k8s.io/kubernetes/pkg/apis/core/validation/events.go`.

use super::to_stored;
use crate::kinds::place::Place;
use crate::rules::Faults;
use api::{FieldError, Tree, meta, names};

/// Characters that upstream allows of each text.
const INSTANCE_MAX: usize = 128;
const ACTION_MAX: usize = 128;
const REASON_MAX: usize = 128;
const NOTE_MAX: usize = 1024;

fn is_newer(event: &Tree) -> bool {
    meta::api_version(event).starts_with("events.k8s.io/")
}

/// Faults of an event, in either form.
pub fn object(event: &Tree, faults: &mut Faults) {
    let core = core(event);
    any(&core, is_newer(event), faults);
    // The rest holds for new events only; `change` runs for the others, and knows them by their revision.
    if is_newer(event) && meta::resource_version(event).is_empty() {
        begun(&core, faults);
    }
}

/// Faults of a change: through the newer group only the series may change.
pub fn change(event: &Tree, old: &Tree, faults: &mut Faults) {
    if !is_newer(event) {
        return;
    }
    let (new, before) = (core(event), core(old));
    if new.get("series") != before.get("series") {
        series(&new, faults);
    }
    let fields = [
        "involvedObject",
        "reason",
        "message",
        "source",
        "firstTimestamp",
        "lastTimestamp",
        "count",
        "type",
        "eventTime",
        "action",
        "related",
    ];
    for field in fields {
        Place::root(&new).at(field).unchanged(faults, before.get(field).unwrap_or(&Tree::Null));
    }
    let reporter = before.get("reportingComponent").unwrap_or(&Tree::Null);
    let place =
        Place { path: api::FieldPath::of(&["reportingController"]), ..Place::root(&new).at("reportingComponent") };
    place.unchanged(faults, reporter);
    Place::root(&new).at("reportingInstance").unchanged(faults, before.get("reportingInstance").unwrap_or(&Tree::Null));
}

/// The event in its core form.
fn core(event: &Tree) -> Tree {
    let mut core = event.clone();
    if is_newer(event) {
        to_stored(&mut core);
    }
    core
}

/// What holds for every event.
fn any(core: &Tree, newer: bool, faults: &mut Faults) {
    let root = Place::root(core);
    let subject = root.down(&["involvedObject", "namespace"]);
    let foreign = |faults: &mut Faults| {
        faults.push(FieldError::invalid(subject.path.clone(), subject.text(), "does not match event.namespace"));
    };
    let own = meta::namespace(core);
    if !root.at("eventTime").given() {
        let agrees = if subject.text().is_empty() { matches!(own, "" | "default") } else { own == subject.text() };
        if !agrees {
            foreign(faults);
        }
    } else {
        if subject.text().is_empty() && !matches!(own, "default" | "kube-system") {
            foreign(faults);
        }
        let reporter = Place {
            path: api::FieldPath::of(&[if newer { "reportingController" } else { "reportingComponent" }]),
            ..root.at("reportingComponent")
        };
        reporter.must(faults, "");
        for why in names::label_key(reporter.text()) {
            faults.push(FieldError::invalid(reporter.path.clone(), reporter.text(), why));
        }
        root.at("reportingInstance").must(faults, "");
        at_most(&root.at("reportingInstance"), INSTANCE_MAX, faults);
        root.at("action").must(faults, "");
        at_most(&root.at("action"), ACTION_MAX, faults);
        root.at("reason").must(faults, "");
        at_most(&root.at("reason"), REASON_MAX, faults);
        at_most(&root.at("message"), NOTE_MAX, faults);
    }
}

fn at_most(place: &Place, max: usize, faults: &mut Faults) {
    if place.text().len() > max {
        let why = format!("can have at most {max} characters");
        faults.push(FieldError::invalid(place.path.clone(), "", why));
    }
}

/// What holds for a new event of the newer group.
fn begun(core: &Tree, faults: &mut Faults) {
    let root = Place::root(core);
    series(core, faults);
    if !root.at("eventTime").given() {
        root.at("eventTime").required(faults, "");
    }
    let invalid = |place: Place, why: String, faults: &mut Faults| {
        faults.push(FieldError::invalid(place.path, "", why));
    };
    let kind = root.at("type");
    if !matches!(kind.text(), "Normal" | "Warning") {
        let why = format!("has invalid value: {}", kind.text());
        invalid(kind, why, faults);
    }
    for field in ["firstTimestamp", "lastTimestamp"] {
        if root.at(field).given() {
            invalid(root.at(field), "needs to be unset".to_owned(), faults);
        }
    }
    if root.at("count").int().unwrap_or(0) != 0 {
        invalid(root.at("count"), "needs to be unset".to_owned(), faults);
    }
    let source = root.at("source");
    if !source.at("component").text().is_empty() || !source.at("host").text().is_empty() {
        invalid(source, "needs to be unset".to_owned(), faults);
    }
}

fn series(core: &Tree, faults: &mut Faults) {
    let series = Place::root(core).at("series");
    if !series.given() {
        return;
    }
    if series.at("count").int().unwrap_or(0) < 2 {
        faults.push(FieldError::invalid(api::FieldPath::of(&["series", "count"]), "", "should be at least 2"));
    }
    if !series.at("lastObservedTime").given() {
        series.at("lastObservedTime").required(faults, "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn paths(event: &Tree) -> Vec<String> {
        let mut faults = Faults::new();
        object(event, &mut faults);
        faults.into_iter().map(|fault| fault.path.to_string()).collect()
    }

    #[test]
    fn the_newer_group_wants_to_know_who_did_what() {
        let mut event = tree!({
            "apiVersion": "events.k8s.io/v1", "metadata": {"namespace": "a"}, "eventTime": "2026-01-02T03:04:05Z",
            "regarding": {"namespace": "a"}, "reportingController": "example.com/c", "reportingInstance": "c-1",
            "action": "Doing", "reason": "Done", "type": "Normal"
        });
        assert_eq!(paths(&event), [""; 0]);
        event.remove("reportingController");
        event.set("deprecatedCount", 1);
        let wanted = ["reportingController", "reportingController", "reportingController", "count"];
        assert_eq!(paths(&event), wanted);
    }

    #[test]
    fn an_event_lives_in_the_namespace_of_its_subject() {
        let event = |namespace: &str| tree!({"apiVersion": "v1", "metadata": {"namespace": "a"}, "involvedObject": {"namespace": namespace}});
        assert_eq!(paths(&event("a")), [""; 0]);
        assert_eq!(paths(&event("b")), ["involvedObject.namespace"]);
        assert_eq!(paths(&event("")), ["involvedObject.namespace"]);
    }
}
