//! Budgets on tables, and one life against a server in memory.

use super::*;
use crate::testing::{context, until_writes_end};
use client::fake::Fake;
use jiff::Timestamp;
use serde_json::{Value, json};

fn budget(spec: Value, status: Value) -> PodDisruptionBudget {
    let mut tree = json!({"metadata": {"name": "b", "namespace": "a", "uid": "b", "generation": 3},
        "spec": {"selector": {"matchLabels": {"app": "x"}}}, "status": status});
    for (field, value) in spec.as_object().unwrap() {
        tree["spec"][field.as_str()] = value.clone();
    }
    serde_json::from_value(tree).unwrap()
}

fn pod(name: &str, ready: bool, owner: &str) -> Arc<Pod> {
    let mut tree = json!({"metadata": {"name": name, "namespace": "a", "uid": name, "labels": {"app": "x"}},
        "status": {"conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]}});
    if !owner.is_empty() {
        tree["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": owner, "controller": true}]);
    }
    Arc::new(serde_json::from_value(tree).unwrap())
}

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

#[test]
fn a_budget_counts_in_numbers_or_shares_of_what_its_controllers_want() {
    let pods = [pod("1", true, "s"), pod("2", true, "s"), pod("3", false, "t")];
    let scale = |pod: &Pod| match pod.controller().map(|owner| owner.name.as_str()) {
        Some("s") => Scale::Known("s".to_owned(), 5),
        Some("t") => Scale::Known("t".to_owned(), 2),
        Some(_) => Scale::Unknown,
        None => Scale::Nobody,
    };
    let sum = |spec: Value| {
        let sum = budget::expected(&budget(spec, json!({})), &pods, scale).unwrap();
        (sum.expected, sum.desired)
    };
    assert_eq!(sum(json!({"minAvailable": 2})), (3, 2));
    assert_eq!(sum(json!({"minAvailable": "50%"})), (7, 4));
    assert_eq!(sum(json!({"maxUnavailable": 1})), (7, 6));
    assert_eq!(sum(json!({"maxUnavailable": "30%"})), (7, 4));
    assert_eq!(sum(json!({"maxUnavailable": 9})), (7, 0));
    let of = |owner: &str| {
        budget::expected(&budget(json!({"maxUnavailable": 1}), json!({})), &[pod("4", true, owner)], scale)
    };
    assert_eq!(of("other"), Err("found no controllers for pod \"4\"".to_owned()));
    assert!(of("").unwrap().unmanaged);
}

#[test]
fn an_eviction_under_way_counts_until_its_time_is_up() {
    let status = json!({"disruptedPods": {"1": "2025-12-31T23:59:00Z", "2": "2025-12-31T23:50:00Z"}});
    let budget = budget(json!({"minAvailable": 1}), status);
    let pods = [pod("1", true, "s"), pod("2", true, "s"), pod("3", true, "s")];
    let (still, late, wait) = budget::disrupted(&budget, &pods, now());
    assert_eq!(still.keys().collect::<Vec<_>>(), ["1"]);
    assert_eq!(late.iter().map(|pod| pod.name()).collect::<Vec<_>>(), ["2"]);
    assert_eq!(wait.unwrap().as_secs(), 61);
    let status = budget::status(&budget, &pods, (3, 1), still, now());
    assert_eq!((status.current_healthy, status.disruptions_allowed), (Some(2), Some(1)));
    let condition = &status.conditions.unwrap()[0];
    assert_eq!((condition.status.as_str(), condition.reason.as_str()), ("True", "SufficientPods"));
    let none = budget::status(&budget, &[], (0, 0), Default::default(), now());
    assert_eq!(none.disruptions_allowed, Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_deployments_pods_may_go_one_at_a_time() {
    let server = Fake::new();
    let owner = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "uid": "d", "controller": true});
    let deployment = json!({"metadata": {"name": "d", "namespace": "a", "uid": "d"}, "spec": {"replicas": 2,
        "selector": {}, "template": {}}});
    server.put(&serde_json::from_value::<Deployment>(deployment).unwrap());
    let set = json!({"metadata": {"name": "s", "namespace": "a", "uid": "s", "ownerReferences": [owner]},
        "spec": {"replicas": 1, "selector": {}}});
    server.put(&serde_json::from_value::<ReplicaSet>(set).unwrap());
    server.put(pod("1", true, "s").as_ref());
    server.put(pod("2", true, "s").as_ref());
    server.put(&budget(json!({"maxUnavailable": 1}), json!({})));
    let (context, stop) = context(&server);
    let life = tokio::spawn(start(context));
    until_writes_end(&server).await;
    let status = server.all::<PodDisruptionBudget>().remove(0).status.unwrap();
    let numbers = (status.expected_pods, status.desired_healthy, status.disruptions_allowed);
    assert_eq!(numbers, (Some(2), Some(1), Some(1)));
    assert_eq!(status.observed_generation, Some(3));
    stop.cancel();
    life.await.unwrap();
}
