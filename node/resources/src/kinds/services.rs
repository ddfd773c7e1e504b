//! Services: a stable address in front of pods. Rules of `k8s.io/kubernetes/pkg/registry/core/service` and
//! `pkg/apis/core/v1/defaults.go`. Addresses and node ports are allocated by the API server, between `on_create` or
//! `on_update` and `validate`; this file must not know what is free.

mod change;
mod faults;

use super::labels_text;
use crate::cells;
use crate::rules::{PLAIN, Rules, SelectableField};
use api::{Tree, meta};

/// How long a client stays with its pod when nobody says so, seconds.
const CLIENT_IP_SECONDS: i64 = 10800;

/// What is special about Services.
pub const RULES: Rules = Rules {
    name: api::names::dns1123_label,
    create_on_update: true,
    returns_deleted: true,
    default,
    on_create: change::begin,
    on_update: change::keep,
    validate: faults::object,
    validate_update: faults::change,
    validate_status: faults::status,
    warnings: faults::warnings,
    fields: &[
        SelectableField { label: "spec.clusterIP", path: &["spec", "clusterIP"], absent: "" },
        SelectableField { label: "spec.type", path: &["spec", "type"], absent: "" },
    ],
    cells: row,
    ..PLAIN
};

fn spec<'a>(object: &'a Tree, field: &str) -> &'a str {
    object.str_at(&["spec", field]).unwrap_or_default()
}

fn kind(object: &Tree) -> &str {
    spec(object, "type")
}

/// Whether the Service is reached by something that is no pod.
fn external(object: &Tree) -> bool {
    match kind(object) {
        "LoadBalancer" | "NodePort" => true,
        "ClusterIP" => !object.list_at(&["spec", "externalIPs"]).is_empty(),
        _ => false,
    }
}

fn needs_health_check(object: &Tree) -> bool {
    kind(object) == "LoadBalancer" && spec(object, "externalTrafficPolicy") == "Local"
}

fn headless(object: &Tree) -> bool {
    matches!(object.list_at(&["spec", "clusterIPs"]), [ip] if ip.as_str() == Some("None"))
}

fn fill(object: &mut Tree, field: &str, value: impl Into<Tree>) {
    if object.at(&["spec", field]).is_none_or(|v| v.is_null() || v.as_str() == Some("")) {
        object.set_at(&["spec", field], value);
    }
}

fn default(object: &mut Tree) {
    fill(object, "sessionAffinity", "None");
    match spec(object, "sessionAffinity") {
        "None" => _ = object.remove_at(&["spec", "sessionAffinityConfig"]),
        "ClientIP" => {
            let timeout = ["spec", "sessionAffinityConfig", "clientIP", "timeoutSeconds"];
            if object.int_at(&timeout).is_none() {
                object.set_at(&timeout, CLIENT_IP_SECONDS);
            }
        }
        _ => {}
    }
    fill(object, "type", "ClusterIP");
    for port in object.at_mut(&["spec", "ports"]).and_then(Tree::as_list_mut).into_iter().flatten() {
        if port.str_at(&["protocol"]).unwrap_or_default().is_empty() {
            port.set("protocol", "TCP");
        }
        if port.get("targetPort").is_none_or(Tree::is_empty) {
            port.set("targetPort", port.int_at(&["port"]).unwrap_or_default());
        }
    }
    if external(object) {
        fill(object, "externalTrafficPolicy", "Cluster");
    }
    if matches!(kind(object), "NodePort" | "LoadBalancer" | "ClusterIP") {
        fill(object, "internalTrafficPolicy", "Cluster");
    }
    if kind(object) == "LoadBalancer" {
        fill(object, "allocateLoadBalancerNodePorts", true);
        let ingress = object.at_mut(&["status", "loadBalancer", "ingress"]).and_then(Tree::as_list_mut);
        for item in ingress.into_iter().flatten() {
            if item.get("ip").is_some_and(|ip| !ip.is_empty()) && item.get("ipMode").is_none() {
                item.set("ipMode", "VIP");
            }
        }
    }
}

fn texts<'a>(object: &'a Tree, path: &[&str]) -> Vec<&'a str> {
    object.list_at(path).iter().filter_map(Tree::as_str).collect()
}

fn external_ip(object: &Tree) -> String {
    let ips = texts(object, &["spec", "externalIPs"]);
    match kind(object) {
        "ClusterIP" | "NodePort" if ips.is_empty() => "<none>".to_owned(),
        "ClusterIP" | "NodePort" => ips.join(","),
        "LoadBalancer" => {
            let balancer = cells_of_balancer(object);
            let all: Vec<&str> = balancer.iter().map(String::as_str).chain(ips).collect();
            if all.is_empty() { "<pending>".to_owned() } else { all.join(",") }
        }
        "ExternalName" => spec(object, "externalName").to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

/// The addresses or names of a load balancer, each once, in order.
fn cells_of_balancer(object: &Tree) -> Vec<String> {
    let one = |item: &Tree| {
        let text = |field: &str| item.str_at(&[field]).filter(|t| !t.is_empty()).map(str::to_owned);
        text("ip").or_else(|| text("hostname"))
    };
    let mut all: Vec<String> = object.list_at(&["status", "loadBalancer", "ingress"]).iter().filter_map(one).collect();
    all.sort();
    all.dedup();
    all
}

fn port_text(port: &Tree) -> String {
    let number = |field: &str| port.int_at(&[field]).unwrap_or_default();
    let protocol = port.str_at(&["protocol"]).unwrap_or_default();
    match number("nodePort") {
        0 => format!("{}/{protocol}", number("port")),
        node => format!("{}:{node}/{protocol}", number("port")),
    }
}

fn row(object: &Tree, now: i64) -> Vec<Tree> {
    let ports: Vec<String> = object.list_at(&["spec", "ports"]).iter().map(port_text).collect();
    vec![
        Tree::text(meta::name(object)),
        Tree::text(kind(object)),
        cells::or_none(texts(object, &["spec", "clusterIPs"]).first().copied()),
        Tree::text(external_ip(object)),
        cells::or_none(Some(&ports.join(","))),
        cells::age(object, now),
        labels_text::labels(object.map_at(&["spec", "selector"])),
    ]
}

#[cfg(test)]
mod tests;
