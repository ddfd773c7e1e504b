//! What changes an object into what a newer text of it wants: a merge patch (RFC 7396) with the new text, and null for
//! what the text before had and this one has not. Pure.

use serde_json::{Map, Value};

/// Where an object keeps the text that it was last given, as `kubectl apply` does, so that either goes on from the other.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Bytes of a note: an object's annotations may have 256 KiB in all.
const NOTE_BYTES_MAX: usize = 200 << 10;

/// The object with the note of its own text, unless that is too long to be kept: then nothing is known of the text
/// before, and nothing is taken away.
pub fn noted(object: &Value) -> Value {
    let note = object.to_string();
    let mut object = object.clone();
    if note.len() > NOTE_BYTES_MAX {
        return object;
    }
    let annotations = &mut object["metadata"]["annotations"];
    if !annotations.is_object() {
        *annotations = Value::Object(Map::new());
    }
    annotations[LAST_APPLIED] = Value::String(note);
    object
}

/// The patch that leads from a live object to the wanted one; none when its text is the one that it was last given.
pub fn plan(live: &Value, wanted: &Value) -> Option<Value> {
    let last = live["metadata"]["annotations"][LAST_APPLIED].as_str();
    let last: Option<Value> = last.and_then(|text| serde_json::from_str(text).ok());
    if last.as_ref() == Some(wanted) {
        return None;
    }
    let mut patch = noted(wanted);
    if let Some(last) = &last {
        take_away(last, &mut patch);
    }
    Some(patch)
}

/// Adds a null for every field of `last` that `patch` does not have.
fn take_away(last: &Value, patch: &mut Value) {
    let (Value::Object(last), Value::Object(patch)) = (last, patch) else { return };
    for (field, value) in last {
        match patch.get_mut(field) {
            None => drop(patch.insert(field.clone(), Value::Null)),
            Some(there) => take_away(value, there),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_unchanged_text_changes_nothing_whatever_the_object_has_become() {
        let wanted = json!({"kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "1"}});
        let mut live = noted(&wanted);
        live["data"]["x"] = json!("changed by a user");
        live["metadata"]["uid"] = json!("u");
        assert_eq!(plan(&live, &wanted), None);
    }

    #[test]
    fn a_changed_text_takes_away_what_it_has_no_more() {
        let before = json!({"metadata": {"name": "a", "labels": {"l": "1"}}, "data": {"x": "1", "y": "2"}});
        let wanted = json!({"metadata": {"name": "a"}, "data": {"x": "3"}});
        let patch = plan(&noted(&before), &wanted).unwrap();
        assert_eq!(patch["data"], json!({"x": "3", "y": null}));
        assert_eq!(patch["metadata"]["labels"], Value::Null);
        assert_eq!(patch["metadata"]["annotations"][LAST_APPLIED], json!(wanted.to_string()));
    }

    #[test]
    fn a_text_that_is_too_long_to_be_kept_is_given_whole() {
        let wanted = json!({"metadata": {"name": "a"}, "data": {"x": "1".repeat(NOTE_BYTES_MAX)}});
        assert_eq!(noted(&wanted), wanted);
        assert_eq!(plan(&wanted, &wanted), Some(wanted));
    }

    #[test]
    fn an_object_that_somebody_else_made_is_changed_and_loses_nothing() {
        let live = json!({"metadata": {"name": "a", "annotations": {"own": "1"}}, "data": {"y": "2"}});
        let wanted = json!({"metadata": {"name": "a"}, "data": {"x": "3"}});
        assert_eq!(plan(&live, &wanted).unwrap()["data"], json!({"x": "3"}));
    }
}
