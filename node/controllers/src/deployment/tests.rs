//! Rollouts: the arithmetic on tables, and whole rollouts against a server in memory.

use super::*;
use crate::testing::{context, until_writes_end};
use client::fake::Fake;
use serde_json::Value;

fn deployment(replicas: i32, image: &str, surge: Value, missing: Value) -> Deployment {
    serde_json::from_value(json!({"metadata": {"name": "web", "namespace": "a", "uid": "u", "generation": 1},
        "spec": {"replicas": replicas, "progressDeadlineSeconds": 600, "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": missing}},
            "template": {"metadata": {"labels": {"app": "web"}},
                         "spec": {"containers": [{"name": "c", "image": image}]}}}}))
    .unwrap()
}

fn set(name: &str, image: &str, size: i32, available: i32, age: u32) -> Arc<ReplicaSet> {
    Arc::new(serde_json::from_value(json!({"metadata": {"name": name, "namespace": "a", "uid": name,
            "creationTimestamp": format!("2026-01-01T00:00:{:02}Z", 59 - age),
            "annotations": {DESIRED: "10", MAX: "13"}},
        "spec": {"replicas": size, "selector": {}, "template": {"metadata": {"labels": {"app": "web", "pod-template-hash": name}},
                 "spec": {"containers": [{"name": "c", "image": image}]}}},
        "status": {"replicas": size, "availableReplicas": available}}))
    .unwrap())
}

#[test]
fn a_rolling_update_keeps_within_surge_and_availability() {
    type Row = (i32, Value, Value, (i32, i32), (i32, i32), scale::Sizes);
    let table: &[Row] = &[
        // wanted, surge, missing, old (size, available), new (size, available), next sizes
        (10, json!(3), json!(2), (10, 10), (0, 0), vec![("new".into(), 3)]),
        (10, json!(3), json!(2), (10, 10), (3, 0), vec![("old".into(), 8)]),
        (10, json!(3), json!(2), (8, 8), (3, 3), vec![("new".into(), 5)]),
        (10, json!(0), json!(1), (9, 9), (1, 0), vec![]),
        (10, json!("30%"), json!(0), (8, 4), (5, 5), vec![("old".into(), 5)]),
        (2, json!("25%"), json!("25%"), (2, 2), (1, 1), vec![("old".into(), 1)]),
    ];
    for (wanted, surge, missing, old, new, next) in table {
        let deployment = deployment(*wanted, "v2", surge.clone(), missing.clone());
        let all = vec![set("old", "v1", old.0, old.1, 9), set("new", "v2", new.0, new.1, 1)];
        let sets = Sets::sort(&deployment, all);
        let mut sizes = scale::grow_new(&deployment, &sets);
        if sizes.is_empty() {
            sizes = scale::shrink_old(&deployment, &sets);
        }
        assert_eq!(&sizes, next, "{wanted} {surge} {missing} {old:?} {new:?}");
    }
}

#[test]
fn a_new_size_is_spread_in_proportion() {
    let deployment = deployment(30, "v2", json!(3), json!(2));
    let sets = Sets::sort(&deployment, vec![set("old", "v1", 8, 8, 9), set("new", "v2", 5, 5, 1)]);
    assert!(sets.is_scaling_event(&deployment));
    let mut sizes = scale::proportional(&deployment, &sets);
    sizes.sort();
    assert_eq!(sizes, [("new".to_owned(), 13), ("old".to_owned(), 20)]);
}

#[test]
fn a_rollout_without_movement_is_stuck_after_its_deadline() {
    let mut deployment = deployment(1, "v1", json!(1), json!(0));
    let sets = Sets::sort(&deployment, vec![set("new", "v1", 1, 0, 1)]);
    let at = |t: &str| t.parse().unwrap();
    let first = progress::status(&deployment, &sets, DeploymentStatus::default(), at("2026-01-01T00:00:00Z"));
    assert!(progress::check_in(&deployment, &first, at("2026-01-01T00:09:00Z")).is_some());
    deployment.status = Some(first.clone());
    let late = progress::status(&deployment, &sets, first, at("2026-01-01T00:10:01Z"));
    let condition = late.conditions.unwrap().into_iter().find(|c| c.type_ == "Progressing").unwrap();
    assert_eq!((condition.status.as_str(), condition.reason.as_deref()), ("False", Some("ProgressDeadlineExceeded")));
}

#[test]
fn a_template_that_comes_back_gets_the_next_revision_and_remembers_the_old() {
    let deployment = deployment(1, "v1", json!(1), json!(0));
    let revised = |name: &str, image: &str, revision: &str| {
        let mut set = (*set(name, image, 0, 0, 1)).clone();
        set.metadata.annotations.get_or_insert_default().insert(sets::REVISION.to_owned(), revision.to_owned());
        Arc::new(set)
    };
    let sets = Sets::sort(&deployment, vec![revised("a", "v1", "1"), revised("b", "v2", "2")]);
    let change = revision::annotate(&deployment, &sets).unwrap();
    assert_eq!(change["metadata"]["annotations"][sets::REVISION], "3");
    assert_eq!(change["metadata"]["annotations"][sets::HISTORY], "1");
}

#[tokio::test(start_paused = true)]
async fn a_deployment_makes_a_set_that_makes_pods_and_rolls_over_to_the_next() {
    let server = Fake::new();
    server.put(&deployment(3, "v1", json!(1), json!(1)));
    let (context, stop) = context(&server);
    let lives = [tokio::spawn(start(context.clone())), tokio::spawn(crate::replicaset::start(context))];
    until_writes_end(&server).await;
    assert_eq!((server.all::<ReplicaSet>().len(), server.all::<Pod>().len()), (1, 3));
    let status = server.all::<Deployment>().remove(0).status.unwrap();
    assert_eq!((status.replicas, status.unavailable_replicas), (Some(3), Some(3)));

    server.put(&deployment(3, "v2", json!(1), json!(1)));
    until_writes_end(&server).await;
    let sizes: Vec<i32> = server.all::<ReplicaSet>().iter().map(size).collect();
    assert_eq!(sizes, [2, 2], "pods that never get ready stop the rollout at surge and availability");
    let deployment = server.all::<Deployment>().remove(0);
    assert_eq!(deployment.annotation(sets::REVISION), Some("2"));
    stop.cancel();
    for life in lives {
        life.await.unwrap();
    }
}
