//! What is used, and how the parts are doing: `metrics.k8s.io` and `/metrics`.

use crate::kubelet::{Node, POD};
use api::{Quantity, Tree, meta, tree};
use std::process::Output;

const METRICS: &str = "/apis/metrics.k8s.io/v1beta1";

async fn kubectl(node: &Node, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = node.kubectl(true, arguments).output().await.expect("kubectl runs");
    let said = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "kubectl {arguments:?}: {said}");
    String::from_utf8_lossy(&stdout).into_owned()
}

#[tokio::test]
async fn kubectl_top_shows_what_node_pods_and_containers_use() {
    let node = Node::start().await;
    let nodes = kubectl(&node, &["top", "node", "--no-headers"]).await;
    assert!(nodes.starts_with("n1 "), "{nodes}");
    let pods = kubectl(&node, &["top", "pod", "-A", "--containers"]).await;
    let row: Vec<&str> = pods.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    assert_eq!(row, ["default", POD, "main", "0m", "0Mi"], "{pods}");
    let chosen = kubectl(&node, &["top", "pod", "-l", "app=box", "--no-headers", "--use-protocol-buffers"]).await;
    assert!(chosen.starts_with(POD), "{chosen}");
    let table = kubectl(&node, &["get", "pods.metrics.k8s.io"]).await;
    assert!(table.starts_with("NAME   CPU   MEMORY   WINDOW\nbox    0     9        "), "{table}");
    let field = kubectl(&node, &["top", "pod", "--field-selector", "metadata.name!=box"]).await;
    assert_eq!(field, "");
}

#[tokio::test]
async fn metrics_objects_are_read_only_and_say_when_they_were_measured() {
    let node = Node::start().await;
    let plane = &node.plane;
    let one = plane.call("GET", &format!("{METRICS}/namespaces/default/pods/{POD}"), None).await;
    assert_eq!((meta::kind(&one), meta::name(&one)), ("PodMetrics", POD));
    assert_eq!(one.str_at(&["metadata", "labels", "app"]), Some(POD));
    assert_eq!(one.at(&["containers"]), Some(&tree!([{"name": "main", "usage": {"cpu": "0", "memory": "9"}}])));
    let window = one.str_at(&["window"]).unwrap_or_default();
    assert!(window.ends_with('s') && one.str_at(&["timestamp"]).is_some(), "{}", one.to_json_text());
    let list = plane.call("GET", &format!("{METRICS}/nodes"), None).await;
    let usage = list.list_at(&["items"])[0].get("usage").cloned().unwrap_or_default();
    assert!(Quantity::parse(usage.str_at(&["memory"]).unwrap_or_default()).is_ok_and(|m| m.value() > 1 << 20));
    for (method, path, wants) in [
        ("GET", format!("{METRICS}/namespaces/default/pods/none"), 404),
        ("GET", format!("{METRICS}/nodes?watch=true"), 405),
        ("DELETE", format!("{METRICS}/nodes/n1"), 405),
        ("GET", format!("{METRICS}/namespaces/default/pods?fieldSelector=spec.nodeName%3Dn1"), 400),
    ] {
        let (code, _) = plane.call_as(plane.admin(), method, &path, None).await;
        assert_eq!(code, wants, "{method} {path}");
    }
    let role = plane.call("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/view", None).await;
    let group = Tree::text("metrics.k8s.io");
    assert!(role.list_at(&["rules"]).iter().any(|rule| rule.list_at(&["apiGroups"]).contains(&group)));
}
