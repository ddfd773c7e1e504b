//! Nodes, pods and updates on tables, and one life against a server in memory.

use super::*;
use crate::testing::{context, until_writes_end};
use client::fake::Fake;
use serde_json::{Value, json};

fn set(more: Value) -> DaemonSet {
    let mut tree = json!({"metadata": {"name": "log", "namespace": "a", "uid": "u", "generation": 1}, "spec": {
        "selector": {"matchLabels": {"d": "log"}}, "updateStrategy": {"type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
        "template": {"metadata": {"labels": {"d": "log"}}, "spec": {"containers": [{"name": "c"}]}}}});
    for (pointer, value) in more.as_object().unwrap() {
        *tree.pointer_mut(pointer).unwrap() = value.clone();
    }
    serde_json::from_value(tree).unwrap()
}

fn node(name: &str, labels: Value, taints: Value) -> Node {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}, "spec": {"taints": taints}})).unwrap()
}

/// A pod `name` on a node; `state` is `old` or `new` and then `ready`, `unready`, `Failed`, `Succeeded` or `going`.
fn pod(name: &str, on: &str, state: &str) -> Arc<Pod> {
    let (age, state) = state.split_once(' ').unwrap();
    let mut tree = json!({"metadata": {"name": name, "namespace": "a", "uid": name,
        "labels": {"d": "log", "controller-revision-hash": age}, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"nodeName": on, "containers": []}, "status": {"phase": "Running",
        "conditions": [{"type": "Ready", "status": if state == "ready" { "True" } else { "False" }}]}});
    match state {
        "Failed" | "Succeeded" => tree["status"]["phase"] = json!(state),
        "going" => tree["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"),
        _ => {}
    }
    Arc::new(serde_json::from_value(tree).unwrap())
}

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn places(names: &[&str]) -> Vec<Place> {
    names.iter().map(|name| Place { name: (*name).to_owned(), run: true, stay: true }).collect()
}

/// What changes as `+node` and `-pod`, in order.
fn told(changes: &Changes) -> Vec<String> {
    let create = changes.create.iter().map(|node| format!("+{node}"));
    create.chain(changes.delete.iter().map(|pod| format!("-{}", pod.name()))).collect()
}

#[test]
fn a_node_takes_daemons_unless_selector_or_taints_speak_against_it() {
    let probe = tree(&pods::probe(&set(json!({}))));
    let see = |probe: &api::Tree, node: Node| {
        let place = plan::place(probe, &tree(&node));
        (place.run, place.stay)
    };
    let taint = |key: &str, effect: &str| json!([{"key": key, "effect": effect}]);
    assert_eq!(see(&probe, node("n", json!({}), json!([]))), (true, true));
    assert_eq!(see(&probe, node("n", json!({}), taint("own", "NoSchedule"))), (false, true));
    assert_eq!(see(&probe, node("n", json!({}), taint("own", "NoExecute"))), (false, false));
    assert_eq!(
        see(&probe, node("n", json!({}), taint("node.kubernetes.io/unschedulable", "NoSchedule"))),
        (true, true)
    );
    assert_eq!(see(&probe, node("n", json!({}), taint("node.kubernetes.io/not-ready", "NoExecute"))), (true, true));
    let network = taint("node.kubernetes.io/network-unavailable", "NoSchedule");
    assert_eq!(see(&probe, node("n", json!({}), network.clone())), (false, true));
    let on_host = json!({"/spec/template/spec": {"hostNetwork": true, "containers": []}});
    assert_eq!(see(&tree(&pods::probe(&set(on_host))), node("n", json!({}), network)), (true, true));
    let picky = json!({"/spec/template/spec": {"nodeSelector": {"disk": "ssd"}, "containers": []}});
    let picky = tree(&pods::probe(&set(picky)));
    assert_eq!(see(&picky, node("n", json!({}), json!([]))), (false, false));
    assert_eq!(see(&picky, node("n", json!({"disk": "ssd"}), json!([]))), (true, true));
}

#[test]
fn a_pod_names_its_node() {
    let made = pods::make(&set(json!({})), "h", "n1");
    assert_eq!(pods::node_of(&made), Some("n1"));
    assert_eq!(made.label("controller-revision-hash"), Some("h"));
    assert_eq!(made.spec.unwrap().tolerations.unwrap().len(), 6);
}

#[test]
fn every_node_has_one_pod() {
    let set = set(json!({}));
    let mut places = places(&["n1", "n2", "n3"]);
    places.push(Place { name: "shy".to_owned(), run: false, stay: true });
    places.push(Place { name: "bad".to_owned(), run: false, stay: false });
    let pods = vec![
        pod("b", "n2", "new ready"),
        pod("c", "n2", "new ready"),
        pod("d", "n3", "new Failed"),
        pod("e", "bad", "new ready"),
        pod("f", "bad", "new going"),
        pod("g", "gone", "new ready"),
    ];
    let view = View::new(&set, "new", &places, pods, now());
    assert_eq!(told(&plan::manage(&view, |_| None)), ["+n1", "-c", "-d", "-e"]);
    let held = plan::manage(&view, |_| Some(Duration::from_secs(4)));
    assert_eq!((told(&held), held.wait), (vec!["+n1".into(), "-c".into(), "-e".into()], Some(Duration::from_secs(4))));
}

/// The steps of an update of these pods, each on the node of its name's first letter.
fn rolls(settings: Value, states: &[(&str, &str)]) -> Vec<String> {
    let set = set(json!({"/spec/updateStrategy": settings}));
    let places = places(&["a", "b", "c"]);
    let pods = states.iter().map(|(name, state)| pod(name, &name[..1], state)).collect();
    told(&update::roll(&View::new(&set, "new", &places, pods, now())))
}

#[test]
fn old_pods_are_replaced_while_enough_are_available() {
    let rolling = |unavailable: Value, surge: Value| json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": surge}});
    let all_old = [("a", "old ready"), ("b", "old ready"), ("c", "old ready")];
    assert_eq!(rolls(rolling(json!(1), json!(0)), &all_old), ["-a"]);
    assert_eq!(rolls(rolling(json!("50%"), json!(0)), &all_old), ["-a", "-b"]);
    assert_eq!(rolls(rolling(json!(0), json!(0)), &all_old), ["-a"]);
    let waiting = [("a", "new unready"), ("b", "old ready"), ("c", "old ready")];
    assert!(rolls(rolling(json!(1), json!(0)), &waiting).is_empty());
    let broken = [("a", "new unready"), ("b", "old unready"), ("c", "old ready")];
    assert_eq!(rolls(rolling(json!(1), json!(0)), &broken), ["-b"], "one that is of no use goes at once");
    assert!(rolls(json!({"type": "OnDelete"}), &all_old).is_empty());
}

#[test]
fn a_surge_makes_the_new_pod_first() {
    let surge = json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}});
    let all_old = [("a", "old ready"), ("b", "old ready"), ("c", "old ready")];
    assert_eq!(rolls(surge.clone(), &all_old), ["+a"]);
    let begun = [("a1", "old ready"), ("a2", "new unready"), ("b", "old ready"), ("c", "old ready")];
    assert!(rolls(surge.clone(), &begun).is_empty());
    let there = [("a1", "old ready"), ("a2", "new ready"), ("b", "old ready"), ("c", "old ready")];
    assert_eq!(rolls(surge.clone(), &there), ["+b", "-a1"]);
    let two = set(json!({"/spec/updateStrategy": surge}));
    let places = places(&["a"]);
    let pods = vec![pod("1", "a", "old unready"), pod("2", "a", "new unready")];
    let pruned = plan::manage(&View::new(&two, "new", &places, pods, now()), |_| None);
    assert_eq!(told(&pruned), ["-1"], "an old one that is not ready has no use beside the new one");
}

#[test]
fn the_status_counts_nodes() {
    let set = set(json!({}));
    let mut places = places(&["a", "b", "c"]);
    places.push(Place { name: "x".to_owned(), run: false, stay: true });
    let pods = vec![pod("a", "a", "new ready"), pod("b", "b", "old unready"), pod("x", "x", "new ready")];
    let status = View::new(&set, "new", &places, pods, now()).status(&Default::default());
    assert_eq!(
        (status.desired_number_scheduled, status.current_number_scheduled, status.number_misscheduled),
        (3, 2, 1)
    );
    assert_eq!((status.number_ready, status.number_available, status.number_unavailable), (1, Some(1), Some(2)));
    assert_eq!((status.updated_number_scheduled, status.observed_generation), (Some(1), Some(1)));
}

#[tokio::test(start_paused = true)]
async fn each_node_gets_a_pod_and_a_new_node_one_too() {
    let server = Fake::new();
    server.put(&set(json!({})));
    server.put(&node("n1", json!({}), json!([])));
    let (context, stop) = context(&server);
    let life = tokio::spawn(start(context));
    until_writes_end(&server).await;
    server.put(&node("n2", json!({}), json!([])));
    until_writes_end(&server).await;
    let pods = server.all::<Pod>();
    let mut nodes: Vec<&str> = pods.iter().filter_map(pods::node_of).collect();
    nodes.sort_unstable();
    assert_eq!(nodes, ["n1", "n2"]);
    let revision = server.all::<ControllerRevision>().remove(0);
    assert_eq!(pods[0].label(history::LABEL), revision.label(history::LABEL));
    let status = server.all::<DaemonSet>().remove(0).status.unwrap();
    assert_eq!((status.desired_number_scheduled, status.current_number_scheduled), (2, 2));
    stop.cancel();
    life.await.unwrap();
}
