//! Ownership on a graph, and collection against a server in memory.

use super::*;
use crate::testing::{context, serves, until_writes_end};
use client::fake::Fake;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use serde_json::Value;

fn meta(name: &str, owner: &str, deleting: &str) -> Value {
    let mut tree = json!({"name": name, "namespace": "a", "uid": name});
    if !owner.is_empty() {
        tree["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": owner,
            "blockOwnerDeletion": true}]);
    }
    if !deleting.is_empty() {
        tree["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        tree["finalizers"] = json!([deleting]);
    }
    tree
}

fn node(name: &str, owner: &str, deleting: &str) -> Node {
    let object: Partial = serde_json::from_value(json!({"metadata": meta(name, owner, deleting)})).unwrap();
    Node::of(&ResourceRef::of::<ConfigMap>(), &object)
}

#[test]
fn a_foreground_deletion_waits_for_what_blocks_it() {
    let mut graph = Graph::default();
    assert!(graph.observe(node("owner", "", "")).is_empty());
    assert!(graph.observe(node("child", "owner", "")).is_empty());
    let owner = node("owner", "", FOREGROUND);
    assert_eq!(graph.observe(owner.clone()), ["owner", "child"]);
    assert!(matches!(graph.step(&owner), Step::Look(children) if children == ["child"]));
    assert!(matches!(graph.step(&node("child", "owner", "")), Step::Weigh(o) if o.waiting.len() == 1));
    assert_eq!(graph.remove("child"), ["owner"]);
    assert!(matches!(graph.step(&owner), Step::Finish));
}

#[test]
fn an_owner_that_was_never_seen_has_to_be_asked_for() {
    let mut graph = Graph::default();
    assert_eq!(graph.observe(node("child", "gone", "")), ["child"]);
    assert!(matches!(graph.step(&node("child", "gone", "")), Step::Weigh(o) if o.unknown.len() == 1));
}

fn serve(server: &Fake) {
    serves(server, &[("configmaps", "ConfigMap"), ("secrets", "Secret")]);
}

fn map(name: &str, owner: &str, deleting: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": meta(name, owner, deleting)})).unwrap()
}

fn secret(name: &str, owner: &str) -> Secret {
    serde_json::from_value(json!({"metadata": meta(name, owner, "")})).unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_nobody_owns_any_more_is_collected_and_the_rest_stays() {
    let server = Fake::new();
    serve(&server);
    server.put(&map("lives", "", ""));
    server.put(&secret("kept", "lives"));
    server.put(&secret("lost", "never-was"));
    server.put(&secret("free", ""));
    let (context, stop) = context(&server);
    let life = tokio::spawn(start(context));
    until_writes_end(&server).await;
    let names = |server: &Fake| server.all::<Secret>().iter().map(|s| s.name().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&server), ["free", "kept"]);
    server.client().of::<ConfigMap>().delete("a", "lives", &DeleteOptions::default()).await.unwrap();
    until_writes_end(&server).await;
    assert_eq!(names(&server), ["free"]);
    stop.cancel();
    life.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_orphaning_deletion_leaves_the_dependents_without_owner() {
    let server = Fake::new();
    serve(&server);
    server.put(&secret("child", "owner"));
    server.put(&map("owner", "", ORPHAN));
    let (context, stop) = context(&server);
    let life = tokio::spawn(start(context));
    until_writes_end(&server).await;
    assert!(server.all::<ConfigMap>().is_empty());
    let child = server.all::<Secret>().remove(0);
    assert!(child.metadata.owner_references.unwrap_or_default().is_empty());
    stop.cancel();
    life.await.unwrap();
}
