//! What controllers and server do together.

use crate::plane::Plane;
use api::{Tree, meta, tree};

fn deployment(name: &str, replicas: i64) -> Tree {
    tree!({
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "c", "image": "example.com/app:1"}]}
            }
        }
    })
}

fn items(list: &Tree) -> usize {
    list.list_at(&["items"]).len()
}

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const PODS: &str = "/api/v1/namespaces/default/pods";

#[tokio::test]
async fn a_deployment_becomes_pods_scales_and_takes_them_with_it() {
    let plane = Plane::start();
    plane.until("/api/v1/namespaces/default/serviceaccounts/default", |code, _| code == 200).await;
    plane.call("POST", DEPLOYMENTS, Some(&deployment("web", 2))).await;
    plane.until(PODS, |_, list| items(list) == 2).await;
    let scale = tree!({"spec": {"replicas": 3}});
    plane.call("PATCH", &format!("{DEPLOYMENTS}/web/scale"), Some(&scale)).await;
    plane.until(PODS, |_, list| items(list) == 3).await;
    plane.until(&format!("{DEPLOYMENTS}/web"), |_, object| object.int_at(&["status", "replicas"]) == Some(3)).await;
    plane.call("DELETE", &format!("{DEPLOYMENTS}/web"), None).await;
    plane.until(PODS, |_, list| items(list) == 0).await;
}

#[tokio::test]
async fn the_scheduler_puts_a_pod_on_the_node() {
    let plane = Plane::start();
    plane.until("/api/v1/namespaces/default/serviceaccounts/default", |code, _| code == 200).await;
    plane.call("POST", "/api/v1/nodes", Some(&tree!({"metadata": {"name": "rock"}}))).await;
    let status = tree!({"status": {
        "capacity": {"cpu": "2", "memory": "1Gi", "pods": "10"},
        "allocatable": {"cpu": "2", "memory": "1Gi", "pods": "10"},
        "conditions": [{"type": "Ready", "status": "True"}]
    }});
    plane.call("PATCH", "/api/v1/nodes/rock/status", Some(&status)).await;
    plane.call("PATCH", "/api/v1/nodes/rock", Some(&tree!({"spec": {"taints": null}}))).await;
    let pod = tree!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "example.com/app:1"}]}});
    plane.call("POST", PODS, Some(&pod)).await;
    plane.until(&format!("{PODS}/p"), |_, pod| pod.str_at(&["spec", "nodeName"]) == Some("rock")).await;
}

#[tokio::test]
async fn deleting_a_namespace_deletes_its_content() {
    let plane = Plane::start();
    plane.call("POST", "/api/v1/namespaces", Some(&tree!({"metadata": {"name": "a"}}))).await;
    let config = tree!({"metadata": {"name": "x", "finalizers": ["example.com/held"]}, "data": {"k": "v"}});
    plane.call("POST", "/api/v1/namespaces/a/configmaps", Some(&config)).await;
    let going = plane.call("DELETE", "/api/v1/namespaces/a", None).await;
    assert_eq!(going.str_at(&["status", "phase"]), Some("Terminating"));
    let (code, refused) = plane
        .call_as(plane.admin(), "POST", "/api/v1/namespaces/a/configmaps", Some(&tree!({"metadata": {"name": "late"}})))
        .await;
    assert_eq!((code, refused.str_at(&["reason"])), (403, Some("Forbidden")));
    plane.until("/api/v1/namespaces/a/configmaps/x", |_, object| meta::deletion_timestamp(object).is_some()).await;
    let free = tree!({"metadata": {"finalizers": null}});
    plane.call("PATCH", "/api/v1/namespaces/a/configmaps/x", Some(&free)).await;
    plane.until("/api/v1/namespaces/a", |code, _| code == 404).await;
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_power_cut() {
    let mut plane = Plane::start();
    let mut written = Vec::new();
    for i in 0..20 {
        let name = format!("c{i:02}");
        let object = plane
            .call(
                "POST",
                "/api/v1/namespaces/default/configmaps",
                Some(&tree!({"metadata": {"name": (name.as_str())}})),
            )
            .await;
        written.push((name, meta::resource_version(&object).to_owned()));
    }
    plane.cut_power_and_restart();
    for (name, version) in written {
        let object = plane.call("GET", &format!("/api/v1/namespaces/default/configmaps/{name}"), None).await;
        assert_eq!(meta::resource_version(&object), version);
    }
}

#[tokio::test]
async fn a_service_gets_an_address_of_its_own_and_gives_it_back() {
    let plane = Plane::start();
    let service = |name: &str, ip: &str| {
        let mut service =
            tree!({"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], "selector": {"app": "x"}}});
        if !ip.is_empty() {
            service.set_at(&["spec", "clusterIP"], ip);
        }
        service
    };
    let path = "/api/v1/namespaces/default/services";
    let first = plane.call("POST", path, Some(&service("a", ""))).await;
    let address = first.str_at(&["spec", "clusterIP"]).unwrap_or_default().to_owned();
    assert!(address.starts_with("10.96."), "{address}");
    let (code, _) = plane.call_as(plane.admin(), "POST", path, Some(&service("b", &address))).await;
    assert_eq!(code, 422);
    plane.call("DELETE", &format!("{path}/a"), None).await;
    plane.call("POST", path, Some(&service("b", &address))).await;
}
