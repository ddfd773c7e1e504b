//! Writing a status thinly: only what differs goes over the wire, and nothing when nothing differs.
//!
//! It must not know any kind.

use api::Status;
use client::{Api, Meta, Object, Patch};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// The merge patch that turns one value into another; `None` when they are equal. Lists are replaced whole.
#[must_use]
pub fn difference(old: &Value, new: &Value) -> Option<Value> {
    if old == new {
        return None;
    }
    let (Some(before), Some(after)) = (old.as_object(), new.as_object()) else { return Some(new.clone()) };
    let mut change = Map::new();
    for field in before.keys().filter(|field| !after.contains_key(*field)) {
        change.insert(field.clone(), Value::Null);
    }
    for (field, value) in after {
        let there = before.get(field).unwrap_or(&Value::Null);
        if let Some(inner) = difference(there, value) {
            change.insert(field.clone(), inner);
        }
    }
    Some(Value::Object(change))
}

/// Writes a status if it differs from the one in the cache; the object afterwards, if it was written.
///
/// # Errors
/// The server's `Status`; 409 when `locked` and the object changed since the cache saw it.
pub async fn write<T: Object, S: Serialize>(
    api: &Api<T>,
    object: &T,
    old: &S,
    new: &S,
    locked: bool,
) -> Result<Option<T>, Status> {
    let Some(change) = difference(&json!(old), &json!(new)) else { return Ok(None) };
    let mut patch = json!({"status": change});
    if locked {
        patch["metadata"] = json!({"resourceVersion": object.resource_version(), "uid": object.uid()});
    }
    api.patch(object.namespace(), object.name(), "status", &Patch::Merge(patch)).await.map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_in_the_patch() {
        let old = json!({"a": 1, "b": {"c": 2, "d": 3}, "gone": 4, "list": [1]});
        let new = json!({"a": 1, "b": {"c": 5, "d": 3}, "list": [1, 2]});
        assert_eq!(difference(&old, &new), Some(json!({"b": {"c": 5}, "gone": null, "list": [1, 2]})));
        assert_eq!(difference(&old, &old), None);
    }
}
