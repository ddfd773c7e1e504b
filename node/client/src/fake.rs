//! An API server in memory, for tests of what speaks to one: objects by path, revisions, watches, merge patches,
//! finalizers and graceful deletion of pods; no schema, no authorization.
//!
//! It must not be used outside tests.

use crate::Client;
use crate::resource::{Object, ResourceRef};
use crate::transport::{Answer, Body, BoxError, Transport, whole};
use bytes::Bytes;
use http::{Method, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// The server. Clones share their state.
#[derive(Clone, Default)]
pub struct Fake {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    revision: u64,
    /// By collection path without namespace, then by namespace and name.
    objects: BTreeMap<String, BTreeMap<(String, String), Value>>,
    watches: Vec<(String, mpsc::UnboundedSender<String>)>,
    log: Vec<String>,
    discovery: BTreeMap<String, Value>,
}

struct Target {
    collection: String,
    namespace: String,
    name: String,
    sub: String,
}

/// Splits `/api/v1/namespaces/a/pods/p/status` and its like.
fn target(path: &str) -> Target {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let root = if parts[0] == "api" { 2 } else { 3 };
    let (prefix, rest) = parts.split_at(root.min(parts.len()));
    let (namespace, rest) = match rest {
        ["namespaces", namespace, plural, more @ ..] if !matches!(*plural, "status" | "finalize") => {
            ((*namespace).to_owned(), [&[*plural], more].concat())
        }
        other => (String::new(), other.to_vec()),
    };
    let part = |n: usize| rest.get(n).map(|s| (*s).to_owned()).unwrap_or_default();
    Target { collection: format!("/{}/{}", prefix.join("/"), part(0)), namespace, name: part(1), sub: part(2) }
}

fn merge(into: &mut Value, change: &Value) {
    let (Some(_), Some(change)) = (into.as_object(), change.as_object()) else {
        into.clone_from(change);
        return;
    };
    for (field, value) in change {
        if let Some(list) = field.strip_prefix("$deleteFromPrimitiveList/") {
            if let (Some(there), Some(gone)) = (into[list].as_array_mut(), value.as_array()) {
                there.retain(|item| !gone.contains(item));
            }
        } else if value.is_null() {
            into.as_object_mut().expect("checked above").remove(field);
        } else if value.is_object() {
            let slot = into.as_object_mut().expect("checked above").entry(field.clone()).or_insert(json!({}));
            if !slot.is_object() {
                *slot = json!({});
            }
            merge(slot, value);
        } else {
            into[field.as_str()] = value.clone();
        }
    }
}

type Outcome = Result<Value, (u16, &'static str)>;

impl Fake {
    /// An empty server.
    #[must_use]
    pub fn new() -> Fake {
        Fake::default()
    }

    /// A client of it.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(Arc::new(self.clone()), "fake")
    }

    /// Puts an object in, as another user would.
    pub fn put<T: Object>(&self, object: &T) {
        let mut value = serde_json::to_value(object).expect("a typed object encodes");
        let resource = ResourceRef::of::<T>();
        let namespace = object.metadata().namespace.clone().unwrap_or_default();
        let mut state = self.lock();
        let name = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if value["metadata"]["uid"].is_null() {
            value["metadata"]["uid"] = json!(format!("uid-{name}"));
        }
        let key = (namespace, name);
        let event = if state.collection(&resource.path("")).contains_key(&key) { "MODIFIED" } else { "ADDED" };
        state.write(&resource.path(""), key, value, event);
    }

    /// All objects of a kind.
    #[must_use]
    pub fn all<T: Object>(&self) -> Vec<T> {
        let mut state = self.lock();
        let path = ResourceRef::of::<T>().path("");
        state.collection(&path).values().map(|v| serde_json::from_value(v.clone()).expect("a typed object")).collect()
    }

    /// The writes so far, as `METHOD path`.
    #[must_use]
    pub fn writes(&self) -> Vec<String> {
        self.lock().log.clone()
    }

    /// What a path outside the collections answers, discovery for example.
    pub fn answer(&self, path: &str, value: Value) {
        self.lock().discovery.insert(path.to_owned(), value);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self, target: &Target, query: &str) -> Response<Body> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut state = self.lock();
        if query.contains("sendInitialEvents=true") {
            for object in state.collection(&target.collection).values() {
                let _ = sender.send(frame("ADDED", object));
            }
            let mark = json!({"metadata": {"resourceVersion": state.revision.to_string(),
                "annotations": {"k8s.io/initial-events-end": "true"}}});
            let _ = sender.send(frame("BOOKMARK", &mark));
        }
        state.watches.push((target.collection.clone(), sender));
        let lines = futures_util::stream::unfold(receiver, |mut receiver| async move {
            let line = receiver.recv().await?;
            Some((Ok::<_, BoxError>(Frame::data(Bytes::from(line))), receiver))
        });
        Response::new(StreamBody::new(lines).boxed_unsync())
    }

    fn act(&self, method: &Method, target: &Target, body: &Value) -> Outcome {
        let mut state = self.lock();
        let key = (target.namespace.clone(), target.name.clone());
        let there = state.collection(&target.collection).get(&key).cloned();
        match (method.as_str(), target.name.is_empty()) {
            ("GET", true) => Ok(state.list(target)),
            ("GET", false) => there.ok_or((404, "NotFound")),
            ("POST", true) => state.create(target, body.clone()),
            ("DELETE", true) => {
                state.clear(target);
                Ok(json!({"kind": "Status", "status": "Success"}))
            }
            ("DELETE", false) => state.delete(&target.collection, key, there.ok_or((404, "NotFound"))?, body),
            ("PUT" | "PATCH", false) => {
                let old = there.ok_or((404, "NotFound"))?;
                state.change(target, key, old, method, body)
            }
            ("POST", false) => state.binding(target, key, there.ok_or((404, "NotFound"))?, body),
            _ => Err((405, "MethodNotAllowed")),
        }
    }
}

fn frame(event: &str, object: &Value) -> String {
    format!("{}\n", json!({"type": event, "object": object}))
}

impl State {
    fn collection(&mut self, path: &str) -> &mut BTreeMap<(String, String), Value> {
        self.objects.entry(path.to_owned()).or_default()
    }

    fn write(&mut self, path: &str, key: (String, String), mut object: Value, event: &str) -> Value {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        if event == "DELETED" {
            self.collection(path).remove(&key);
        } else {
            self.collection(path).insert(key, object.clone());
        }
        let line = frame(event, &object);
        self.watches.retain(|(watched, sender)| watched != path || sender.send(line.clone()).is_ok());
        object
    }

    fn list(&mut self, target: &Target) -> Value {
        let revision = self.revision.to_string();
        let items: Vec<Value> = self
            .collection(&target.collection)
            .iter()
            .filter(|((namespace, _), _)| target.namespace.is_empty() || *namespace == target.namespace)
            .map(|(_, object)| object.clone())
            .collect();
        json!({"metadata": {"resourceVersion": revision}, "items": items})
    }

    fn create(&mut self, target: &Target, mut object: Value) -> Outcome {
        let number = self.revision + 1;
        if object["metadata"]["name"].as_str().unwrap_or_default().is_empty() {
            let prefix = object["metadata"]["generateName"].as_str().unwrap_or_default();
            object["metadata"]["name"] = json!(format!("{prefix}{number}"));
        }
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let key = (target.namespace.clone(), name);
        if self.collection(&target.collection).contains_key(&key) {
            return Err((409, "AlreadyExists"));
        }
        if !target.namespace.is_empty() {
            object["metadata"]["namespace"] = json!(target.namespace);
        }
        object["metadata"]["uid"] = json!(format!("uid-{number}"));
        object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
        Ok(self.write(&target.collection, key, object, "ADDED"))
    }

    fn delete(&mut self, path: &str, key: (String, String), mut object: Value, body: &Value) -> Outcome {
        let wanted = &body["preconditions"]["uid"];
        if !wanted.is_null() && *wanted != object["metadata"]["uid"] {
            return Err((409, "Conflict"));
        }
        let held = object["metadata"]["finalizers"].as_array().is_some_and(|f| !f.is_empty());
        if held {
            object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            return Ok(self.write(path, key, object, "MODIFIED"));
        }
        Ok(self.write(path, key, object, "DELETED"))
    }

    fn clear(&mut self, target: &Target) {
        let all = self.collection(&target.collection).clone();
        for (key, object) in all.into_iter().filter(|(key, _)| key.0 == target.namespace) {
            let _ = self.delete(&target.collection, key, object, &Value::Null);
        }
    }

    fn change(&mut self, target: &Target, key: (String, String), old: Value, method: &Method, body: &Value) -> Outcome {
        let expected = &body["metadata"]["resourceVersion"];
        if !expected.is_null() && *expected != old["metadata"]["resourceVersion"] {
            return Err((409, "Conflict"));
        }
        let mut new = old.clone();
        match (method.as_str(), target.sub.as_str()) {
            ("PUT", "status") => new["status"] = body["status"].clone(),
            ("PUT", _) => new = body.clone(),
            (_, "status") => {
                merge(&mut new["status"], &body["status"]);
                if let Some(finalizers) = body["metadata"].get("finalizers") {
                    new["metadata"]["finalizers"] = finalizers.clone();
                }
            }
            _ => merge(&mut new, body),
        }
        if new == old {
            return Ok(new);
        }
        let done = new["metadata"]["deletionTimestamp"].is_string()
            && new["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty)
            && new["spec"]["finalizers"].as_array().is_none_or(Vec::is_empty);
        Ok(self.write(&target.collection, key, new, if done { "DELETED" } else { "MODIFIED" }))
    }

    fn binding(&mut self, target: &Target, key: (String, String), mut pod: Value, body: &Value) -> Outcome {
        if target.sub != "binding" {
            return Err((404, "NotFound"));
        }
        pod["spec"]["nodeName"] = body["target"]["name"].clone();
        self.write(&target.collection, key, pod, "MODIFIED");
        Ok(json!({"kind": "Status", "status": "Success"}))
    }
}

impl Transport for Fake {
    fn call(&self, request: http::Request<Bytes>) -> Answer<'_> {
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let path = head.uri.path().to_owned();
            if let Some(fixed) = self.lock().discovery.get(&path) {
                return Ok(Response::new(whole(fixed.to_string())));
            }
            let target = target(&path);
            let query = head.uri.query().unwrap_or_default();
            if query.contains("watch=true") {
                return Ok(self.watch(&target, query));
            }
            if head.method != Method::GET {
                self.lock().log.push(format!("{} {path}", head.method));
            }
            let body: Value =
                if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap_or_default() };
            let (code, value) = match self.act(&head.method, &target, &body) {
                Ok(value) => (200, value),
                Err((code, reason)) => {
                    let message = format!("{} {path}: {reason}", head.method);
                    (
                        code,
                        json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}),
                    )
                }
            };
            let answer = Response::builder().status(code).body(whole(value.to_string()));
            answer.map_err(|why| crate::TransportError::new(path, why))
        })
    }
}
