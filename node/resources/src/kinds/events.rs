//! Events: two faces over one storage. The core form is stored; the form of `events.k8s.io` has other names for the
//! same fields. Mapping of `k8s.io/kubernetes/pkg/apis/events/v1/conversion.go`.

mod faults;

use crate::cells::{or_none, since};
use crate::kind::Conversion;
use crate::rules::{PLAIN, Rules, SelectableField};
use api::{Tree, meta};

const fn field(label: &'static str, path: &'static [&'static str]) -> SelectableField {
    SelectableField { label, path, absent: "" }
}

/// What is special about events, in either face.
pub const RULES: Rules = Rules {
    create_on_update: true,
    validate: faults::object,
    validate_update: faults::change,
    fields: FIELDS,
    computed: source,
    cells,
    ..PLAIN
};

/// The source of an event is its component, or who reported it. `stored` is the core form.
fn source(stored: &Tree) -> Vec<(&'static str, String)> {
    let component = stored.str_at(&["source", "component"]).filter(|c| !c.is_empty());
    let reporter = stored.str_at(&["reportingComponent"]).unwrap_or_default();
    vec![("source", component.unwrap_or(reporter).to_owned())]
}

const FIELDS: &[SelectableField] = &[
    field("involvedObject.kind", &["involvedObject", "kind"]),
    field("involvedObject.namespace", &["involvedObject", "namespace"]),
    field("involvedObject.name", &["involvedObject", "name"]),
    field("involvedObject.uid", &["involvedObject", "uid"]),
    field("involvedObject.apiVersion", &["involvedObject", "apiVersion"]),
    field("involvedObject.resourceVersion", &["involvedObject", "resourceVersion"]),
    field("involvedObject.fieldPath", &["involvedObject", "fieldPath"]),
    field("reason", &["reason"]),
    field("reportingComponent", &["reportingComponent"]),
    field("source", &["source", "component"]),
    field("type", &["type"]),
];

/// The face of `events.k8s.io/v1`.
pub const SECOND_FACE: Conversion = Conversion { stored: ("", "events"), to_stored, from_stored };

/// Core name, and the name in the other face.
const NAMES: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

fn to_stored(object: &mut Tree) {
    for (core, other) in NAMES {
        if let Some(value) = object.remove(other) {
            object.set(*core, value);
        }
    }
    object.set("apiVersion", "v1");
}

fn from_stored(object: &mut Tree) {
    for (core, other) in NAMES {
        if let Some(value) = object.remove(core) {
            object.set(*other, value);
        }
    }
    // The core form always writes it, this one only when there is something.
    if object.str_at(&["reportingInstance"]) == Some("") {
        object.remove("reportingInstance");
    }
    if object.str_at(&["reportingController"]) == Some("") {
        object.remove("reportingController");
    }
    object.set("apiVersion", "events.k8s.io/v1");
}

/// One of two names, as the face has it.
fn either<'a>(object: &'a Tree, core: &[&str], other: &[&str]) -> Option<&'a Tree> {
    object.at(core).or_else(|| object.at(other)).filter(|v| !v.is_empty())
}

fn cells(object: &Tree, now: i64) -> Vec<Tree> {
    let text = |core: &[&str], other: &[&str]| either(object, core, other).and_then(Tree::as_str).map(str::to_owned);
    let event_time = object.str_at(&["eventTime"]).map(str::to_owned);
    let first = text(&["firstTimestamp"], &["deprecatedFirstTimestamp"]).or(event_time);
    let series = object.str_at(&["series", "lastObservedTime"]).map(str::to_owned);
    let last = series.or(text(&["lastTimestamp"], &["deprecatedLastTimestamp"])).or_else(|| first.clone());
    let subject = |field: &str| text(&["involvedObject", field], &["regarding", field]).unwrap_or_default();
    let component = text(&["source", "component"], &["deprecatedSource", "component"]);
    let component = component.or(text(&["reportingComponent"], &["reportingController"])).unwrap_or_default();
    let instance = object.str_at(&["reportingInstance"]).filter(|i| !i.is_empty()).map(str::to_owned);
    let host = text(&["source", "host"], &["deprecatedSource", "host"]).or(instance);
    let count = object.int_at(&["series", "count"]);
    let count = count.or(either(object, &["count"], &["deprecatedCount"]).and_then(Tree::as_int)).unwrap_or(1);
    vec![
        Tree::text(since(last.as_deref(), now)),
        Tree::text(object.str_at(&["type"]).unwrap_or_default()),
        Tree::text(object.str_at(&["reason"]).unwrap_or_default()),
        Tree::text(format!("{}/{}", subject("kind").to_lowercase(), subject("name"))),
        Tree::text(subject("fieldPath")),
        Tree::text(host.map_or(component.clone(), |host| format!("{component}, {host}"))),
        Tree::text(text(&["message"], &["note"]).unwrap_or_default().trim()),
        Tree::text(since(first.as_deref(), now)),
        Tree::Int(count),
        or_none(Some(meta::name(object))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn an_event_of_the_other_group_comes_back_as_it_was() {
        let event = tree!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "note": "n",
            "regarding": {"kind": "Pod"}, "reportingController": "c", "deprecatedCount": 2
        });
        let mut stored = event.clone();
        to_stored(&mut stored);
        assert_eq!(stored.str_at(&["message"]), Some("n"));
        assert_eq!(stored.str_at(&["involvedObject", "kind"]), Some("Pod"));
        from_stored(&mut stored);
        assert_eq!(stored, event);
    }
}
