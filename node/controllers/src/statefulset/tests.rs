//! The order of things in a StatefulSet, on tables and against a server in memory.

use super::*;
use crate::testing::{context, until_writes_end};
use client::fake::Fake;
use serde_json::{Value, json};

fn set(replicas: i32, more: Value) -> StatefulSet {
    let mut tree = json!({"metadata": {"name": "db", "namespace": "a", "uid": "u"}, "spec": {"replicas": replicas,
        "serviceName": "db", "selector": {"matchLabels": {"app": "db"}}, "template": {"metadata":
        {"labels": {"app": "db"}}, "spec": {"containers": []}}}});
    for (field, value) in more.as_object().unwrap() {
        tree["spec"][field.as_str()] = value.clone();
    }
    serde_json::from_value(tree).unwrap()
}

/// `0+new` is a healthy pod with ordinal 0 of revision `new`, `1-old` an unready one, `2x` one that is being deleted,
/// `3!` a failed one.
fn pods(text: &str) -> Vec<Arc<Pod>> {
    let one = |word: &str| {
        let at = word.find(|c: char| !c.is_ascii_digit()).unwrap();
        let (ordinal, rest) = word.split_at(at);
        let (mark, revision) = rest.split_at(1);
        let ready = if mark == "+" { "True" } else { "False" };
        let mut tree = json!({"metadata": {"name": format!("db-{ordinal}"), "namespace": "a",
                "labels": {"app": "db", "controller-revision-hash": revision}},
            "status": {"phase": if mark == "!" { "Failed" } else { "Running" },
                       "conditions": [{"type": "Ready", "status": ready}]}});
        if mark == "x" {
            tree["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        Arc::new(serde_json::from_value(tree).unwrap())
    };
    text.split_whitespace().map(one).collect()
}

fn check(set: &StatefulSet, there: &str, expected: &str) {
    let revisions = Revisions { current: "old".to_owned(), update: "new".to_owned() };
    let pods = pods(there);
    let view = View::new(set, &pods, &revisions, "2026-01-01T00:00:00Z".parse().unwrap());
    let said: Vec<String> = view
        .actions()
        .iter()
        .map(|action| match action {
            Action::Create { ordinal, updated } => format!("+{ordinal}{}", if *updated { "new" } else { "old" }),
            Action::Claims(ordinal) => format!("claims{ordinal}"),
            Action::Delete(pod) => format!("-{}", pod.name()),
            Action::Recreate(pod) => format!("!{}", pod.name()),
        })
        .collect();
    assert_eq!(said.join(" "), expected, "with {there:?}");
}

#[test]
fn pods_are_made_one_after_the_other() {
    let set = set(3, json!({}));
    check(&set, "", "+0new");
    check(&set, "0-new", "");
    check(&set, "0+new", "+1new");
    check(&set, "0+new 1xnew", "");
    check(&set, "0+new 1!new", "!db-1");
}

#[test]
fn parallel_pods_are_made_and_removed_together() {
    let policy = json!({"podManagementPolicy": "Parallel"});
    check(&set(3, policy.clone()), "1-new", "+0new +2new");
    check(&set(0, policy), "0+new 1-new", "-db-1 -db-0");
}

#[test]
fn surplus_pods_go_from_the_highest_while_the_rest_is_well() {
    check(&set(1, json!({})), "0+new 1+new 2+new", "-db-2");
    check(&set(1, json!({})), "0+new 1+new 2xnew", "");
    check(&set(1, json!({})), "0-new 1+new", "");
}

#[test]
fn an_update_goes_from_the_highest_down_to_the_partition() {
    check(&set(3, json!({})), "0+old 1+old 2+old", "-db-2");
    check(&set(3, json!({})), "0+old 1+old 2-new", "");
    check(&set(3, json!({})), "0+old 1+old 2+new", "-db-1");
    let partition = json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}});
    check(&set(3, partition.clone()), "0+old 1+old 2+new", "");
    check(&set(3, partition), "0+old", "+1old");
    check(&set(2, json!({"updateStrategy": {"type": "OnDelete"}})), "0+old 1+old", "");
}

#[tokio::test(start_paused = true)]
async fn a_set_makes_a_revision_claims_and_its_first_pod() {
    let server = Fake::new();
    server.put(&set(2, json!({"volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}]})));
    let (context, stop) = context(&server);
    let life = tokio::spawn(start(context));
    until_writes_end(&server).await;
    let pods = server.all::<Pod>();
    assert_eq!(pods.len(), 1, "the second waits for the first");
    assert_eq!(pods[0].name(), "db-0");
    let volume = pods[0].spec.as_ref().unwrap().volumes.as_ref().unwrap()[0].clone();
    assert_eq!(volume.persistent_volume_claim.unwrap().claim_name, "data-db-0");
    assert_eq!(server.all::<PersistentVolumeClaim>()[0].name(), "data-db-0");
    let revision = server.all::<ControllerRevision>()[0].name().to_owned();
    assert_eq!(pods[0].label(history::LABEL), Some(revision.as_str()));
    stop.cancel();
    life.await.unwrap();
}
