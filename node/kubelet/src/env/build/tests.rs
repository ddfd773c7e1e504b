//! Tests of the environment: what a container's variables come out as.

use super::*;
use serde_json::{Value as Json, json};
use std::sync::Arc;

fn build(env: Json, env_from: Json) -> Result<Variables, Failure> {
    let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "a"},
        "spec": {"containers": [{"name": "c", "env": env, "envFrom": env_from}]}}))
    .unwrap();
    let map = json!({"metadata": {"name": "m"}, "data": {"one": "1", "two": "$(one)"}});
    let secret = json!({"metadata": {"name": "s"}, "data": {"pass": "eHl6"}});
    let service = json!({"metadata": {"name": "kubernetes", "namespace": "default"},
        "spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 443}]}});
    let mut fetched = Fetched::default();
    fetched.config_maps.insert("m".into(), Arc::new(serde_json::from_value(map).unwrap()));
    fetched.secrets.insert("s".into(), Arc::new(serde_json::from_value(secret).unwrap()));
    fetched.services.push(Arc::new(serde_json::from_value(service).unwrap()));
    fetched.files.insert(("v".into(), "f".into()), Ok("K='file'\n".into()));
    environment(&pod, &pod.spec.as_ref().unwrap().containers[0], &fetched, &Facts::default())
}

fn check(env: Json, env_from: Json, wanted: &[(&str, &str)]) {
    let got = build(env, env_from).unwrap();
    let got: Vec<(&str, &str)> =
        got.iter().filter(|(k, _)| !k.starts_with("KUBERNETES")).map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(got, wanted);
}

#[test]
fn a_variable_may_use_those_before_it_and_those_of_services() {
    let env = json!([{"name": "A", "value": "a"}, {"name": "B", "value": "$(A)-$(KUBERNETES_SERVICE_HOST)-$(C)"},
        {"name": "C", "value": "c"}]);
    check(env, json!([]), &[("A", "a"), ("B", "a-10.0.0.1-$(C)"), ("C", "c")]);
}

#[test]
fn env_wins_over_env_from_whose_values_stay_as_they_are() {
    let from = json!([{"prefix": "p_", "configMapRef": {"name": "m"}}, {"secretRef": {"name": "s"}}]);
    let env = json!([{"name": "pass", "value": "own"}]);
    check(env, from, &[("p_one", "1"), ("p_two", "$(one)"), ("pass", "own")]);
}

#[test]
fn every_source_gives_its_value() {
    let env = json!([
        {"name": "F", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "K", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "one"}}},
        {"name": "L", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "f", "key": "K"}}},
        {"name": "R", "valueFrom": {"resourceFieldRef": {"resource": "requests.cpu"}}},
        {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "pass"}}}]);
    check(env, json!([]), &[("F", "p"), ("K", "1"), ("L", "file"), ("R", "0"), ("S", "xyz")]);
}

#[test]
fn what_is_optional_may_be_absent() {
    let from = json!([{"configMapRef": {"name": "none", "optional": true}}]);
    let env = json!([
        {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "k", "optional": true}}},
        {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "none", "optional": true}}}]);
    check(env, from, &[]);
}

#[test]
fn what_is_missing_is_told_in_upstreams_words() {
    let one = |source: Json| build(json!([{"name": "A", "valueFrom": source}]), json!([])).unwrap_err().0;
    assert_eq!(one(json!({"configMapKeyRef": {"name": "x", "key": "k"}})), "configmap \"x\" not found");
    assert_eq!(one(json!({"configMapKeyRef": {"name": "m", "key": "k"}})), "couldn't find key k in ConfigMap a/m");
    assert_eq!(one(json!({"secretKeyRef": {"name": "s", "key": "k"}})), "couldn't find key k in Secret a/s");
    let from = build(json!([]), json!([{"secretRef": {"name": "x"}}])).unwrap_err().0;
    assert_eq!(from, "secret \"x\" not found");
}
