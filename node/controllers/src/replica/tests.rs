//! The number of pods: pure plans, and the whole controller against a server in memory.

use super::*;
use crate::testing::{context, until_writes_end};
use client::fake::Fake;
use k8s_openapi::api::apps::v1::ReplicaSet;

fn set(replicas: i32) -> ReplicaSet {
    serde_json::from_value(json!({"metadata": {"name": "web", "namespace": "a", "uid": "u", "generation": 3},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
                 "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}}}}))
    .unwrap()
}

fn pod(name: &str) -> Arc<Pod> {
    Arc::new(
        serde_json::from_value(json!({"metadata": {"name": name, "labels": {"app": "web"}}, "status":
        {"conditions": [{"type": "Ready", "status": "True"}]}}))
        .unwrap(),
    )
}

#[test]
fn missing_pods_are_created_and_surplus_ones_deleted() {
    assert!(matches!(plan(2, vec![], |_| 0), Step::Create(2)));
    assert!(matches!(plan(1, vec![pod("a")], |_| 0), Step::Keep));
    assert!(matches!(plan(0, vec![pod("a")], |_| 0), Step::Delete(gone) if gone.len() == 1));
    assert!(matches!(plan(9999, vec![], |_| 0), Step::Create(BURST)));
}

#[test]
fn the_status_counts_pods_and_keeps_a_failure_until_it_ends() {
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let failed = summary(&set(2), &[pod("a")], Some(("FailedCreate", "no quota".to_owned())), now);
    assert_eq!((&failed["replicas"], &failed["readyReplicas"]), (&json!(1), &json!(1)));
    assert_eq!(failed["conditions"][0]["reason"], "FailedCreate");
    let mut later = set(2);
    later.status = serde_json::from_value(failed).unwrap();
    assert!(summary(&later, &[pod("a")], None, now)["conditions"].is_null());
}

#[tokio::test(start_paused = true)]
async fn a_replica_set_makes_its_pods_and_removes_them_again() {
    let server = Fake::new();
    server.put(&set(3));
    let (context, stop) = context(&server);
    let running = tokio::spawn(crate::replicaset::start(context));
    until_writes_end(&server).await;
    assert_eq!(server.all::<Pod>().len(), 3);
    let status = server.all::<ReplicaSet>().remove(0).status.unwrap();
    assert_eq!((status.replicas, status.observed_generation), (3, Some(3)));
    server.put(&set(1));
    until_writes_end(&server).await;
    assert_eq!(server.all::<Pod>().len(), 1);
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_does_not_take_its_own_pods_makes_none() {
    let server = Fake::new();
    let mut strange = set(3);
    strange.spec.as_mut().unwrap().selector.match_labels = Some([("app".to_owned(), "other".to_owned())].into());
    server.put(&strange);
    let (context, stop) = context(&server);
    let running = tokio::spawn(crate::replicaset::start(context));
    until_writes_end(&server).await;
    assert!(server.all::<Pod>().is_empty());
    stop.cancel();
    running.await.unwrap();
}
