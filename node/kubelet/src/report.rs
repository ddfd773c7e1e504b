//! Writes a pod's status: a strategic merge patch of what differs, and only to the pod of this uid.
//!
//! Pure core: [`patch`]. It must not know how a status comes about.

use crate::status::OURS;
use api::Status;
use client::{Client, Meta, Patch};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use serde_json::{Map, Value, json};

/// Lists that the server merges by the key `ip`: what is gone has to be said.
const BY_IP: [&str; 2] = ["podIPs", "hostIPs"];

fn fields(status: &PodStatus) -> Map<String, Value> {
    match serde_json::to_value(status) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

/// The patch that makes `new` of `old`; `None` when they say the same.
#[must_use]
pub fn patch(uid: &str, old: &PodStatus, new: &PodStatus) -> Option<Value> {
    let (old, new) = (fields(old), fields(new));
    let mut changed = Map::new();
    for field in old.keys().filter(|field| !new.contains_key(*field)) {
        changed.insert(field.clone(), Value::Null);
    }
    for (field, value) in new.into_iter().filter(|(field, value)| old.get(field) != Some(value)) {
        let before = old.get(&field).cloned().unwrap_or_default();
        match field.as_str() {
            "conditions" => changed.extend(Some((field, conditions(&before, value)))),
            name if BY_IP.contains(&name) => {
                changed.insert(format!("$setElementOrder/{name}"), value.clone());
                changed.insert(field, addresses(&before, value));
            }
            _ => changed.extend(Some((field, value))),
        }
    }
    (!changed.is_empty()).then(|| json!({"metadata": {"uid": uid}, "status": changed}))
}

/// Our conditions that differ; those of others are theirs to write. One that loses a field has to say so.
fn conditions(before: &Value, now: Value) -> Value {
    let before = before.as_array().cloned().unwrap_or_default();
    let Value::Array(now) = now else { return now };
    let ours = |c: &Value| c["type"].as_str().is_some_and(|name| OURS.contains(&name));
    let whole = |mut condition: Value| {
        let old = before.iter().find(|old| old["type"] == condition["type"]).and_then(Value::as_object);
        for field in old.into_iter().flat_map(Map::keys) {
            if condition.get(field).is_none() {
                condition[field.as_str()] = Value::Null;
            }
        }
        condition
    };
    now.into_iter().filter(|c| ours(c) && !before.contains(c)).map(whole).collect()
}

fn addresses(before: &Value, now: Value) -> Value {
    let Value::Array(mut all) = now else { return now };
    for gone in before.as_array().into_iter().flatten() {
        if !all.iter().any(|there| there["ip"] == gone["ip"]) {
            all.push(json!({"$patch": "delete", "ip": gone["ip"]}));
        }
    }
    Value::Array(all)
}

/// Writes the status if it differs; the pod as the server has it then.
///
/// # Errors
/// The server's `Status`: 404 or 409 when the pod is gone or another one.
pub async fn write(client: &Client, pod: &Pod, old: &PodStatus, new: &PodStatus) -> Result<Option<Pod>, Status> {
    let Some(change) = patch(pod.uid(), old, new) else { return Ok(None) };
    client.of::<Pod>().patch(pod.namespace(), pod.name(), "status", &Patch::Strategic(change)).await.map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(value: Value) -> PodStatus {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn only_what_differs_is_written() {
        let old = status(json!({"phase": "Pending", "message": "m", "podIPs": [{"ip": "1"}], "conditions": [
            {"type": "Ready", "status": "False", "reason": "x"}, {"type": "PodScheduled", "status": "True"}]}));
        let new = status(json!({"phase": "Running", "podIPs": [{"ip": "2"}], "conditions": [
            {"type": "Ready", "status": "True"}, {"type": "PodScheduled", "status": "True"},
            {"type": "example.com/other", "status": "True"}]}));
        assert_eq!(patch("u", &old, &old), None);
        let wants = json!({"metadata": {"uid": "u"}, "status": {"phase": "Running", "message": null,
            "$setElementOrder/podIPs": [{"ip": "2"}], "podIPs": [{"ip": "2"}, {"$patch": "delete", "ip": "1"}],
            "conditions": [{"type": "Ready", "status": "True", "reason": null}]}});
        assert_eq!(patch("u", &old, &new), Some(wants));
    }
}
