//! What the server keeps and drops when a Service is written: values that were allocated stay when a client leaves
//! them out, and go when the type has no use for them (`pkg/registry/core/service`).

use super::{external, kind, needs_health_check, spec, texts};
use api::Tree;

const IPS: [&str; 2] = ["spec", "clusterIPs"];

/// `clusterIPs` of an object that only has `clusterIP`.
pub fn begin(object: &mut Tree) {
    let ip = spec(object, "clusterIP").to_owned();
    if !ip.is_empty() && object.list_at(&IPS).is_empty() {
        object.set_at(&IPS, vec![ip]);
    }
}

/// What an update takes over from the object before, and what it drops.
pub fn keep(object: &mut Tree, old: &Tree) {
    patch(object, old);
    pair(object, old);
    drop_unused(object, old);
}

fn needs_internal_policy(object: &Tree) -> bool {
    matches!(kind(object), "ClusterIP" | "NodePort" | "LoadBalancer")
}

fn needs_ip(object: &Tree) -> bool {
    kind(object) != "ExternalName"
}

fn needs_node_port(object: &Tree) -> bool {
    matches!(kind(object), "NodePort" | "LoadBalancer")
}

fn node_ports(object: &Tree) -> Vec<i64> {
    let ports = object.list_at(&["spec", "ports"]).iter().filter_map(|p| p.int_at(&["nodePort"]));
    ports.filter(|p| *p != 0).collect()
}

fn copy(object: &mut Tree, old: &Tree, field: &str) {
    if let Some(value) = old.at(&["spec", field]) {
        object.set_at(&["spec", field], value.clone());
    }
}

fn ports_mut(object: &mut Tree) -> impl Iterator<Item = &mut Tree> {
    object.at_mut(&["spec", "ports"]).and_then(Tree::as_list_mut).into_iter().flatten()
}

/// Fills in allocated values that the client left out.
fn patch(object: &mut Tree, old: &Tree) {
    if needs_ip(old) && needs_ip(object) {
        if spec(object, "clusterIP").is_empty() {
            copy(object, old, "clusterIP");
        }
        if object.list_at(&IPS).is_empty() {
            copy(object, old, "clusterIPs");
        }
    }
    if needs_node_port(old) && needs_node_port(object) {
        let before = node_ports(old);
        let used: Vec<i64> = node_ports(object).into_iter().filter(|p| before.contains(p)).collect();
        let name = |port: &Tree| port.str_at(&["name"]).unwrap_or_default().to_owned();
        let number = |port: &Tree| port.int_at(&["nodePort"]).unwrap_or_default();
        for port in ports_mut(object) {
            let same = old.list_at(&["spec", "ports"]).iter().rfind(|p| name(p) == name(port));
            let known = same.map(number).unwrap_or_default();
            if number(port) == 0 && known != 0 && !used.contains(&known) {
                port.set("nodePort", known);
            }
        }
    }
    let health = ["spec", "healthCheckNodePort"];
    if needs_health_check(old) && needs_health_check(object) && object.int_at(&health).unwrap_or_default() == 0 {
        copy(object, old, "healthCheckNodePort");
    }
}

/// Brings `clusterIP` and `clusterIPs` together where a client changed one of them.
fn pair(object: &mut Tree, old: &Tree) {
    let (new_ip, old_ip) = (spec(object, "clusterIP").to_owned(), spec(old, "clusterIP"));
    if object.list_at(&IPS).is_empty() && new_ip == old_ip {
        copy(object, old, "clusterIPs");
    }
    if new_ip == old_ip || texts(object, &IPS) != texts(old, &IPS) {
        return;
    }
    if new_ip.is_empty() {
        object.remove_at(&IPS);
    } else {
        object.set_at(&IPS, vec![new_ip]);
    }
}

fn same(object: &Tree, old: &Tree, field: &str) -> bool {
    object.at(&["spec", field]) == old.at(&["spec", field])
}

/// Drops what the new type has no use for, unless the client changed it too.
fn drop_unused(object: &mut Tree, old: &Tree) {
    let mut gone = Vec::new();
    if needs_ip(old) && !needs_ip(object) {
        if same(object, old, "clusterIP") && same(object, old, "clusterIPs") {
            gone.extend(["clusterIP", "clusterIPs"]);
        }
        gone.extend(["ipFamilies", "ipFamilyPolicy"].into_iter().filter(|field| same(object, old, field)));
    }
    let before = node_ports(old);
    if needs_node_port(old) && !needs_node_port(object) && node_ports(object).iter().all(|p| before.contains(p)) {
        ports_mut(object).for_each(|port| _ = port.remove("nodePort"));
    }
    if needs_health_check(old) && !needs_health_check(object) && same(object, old, "healthCheckNodePort") {
        gone.push("healthCheckNodePort");
    }
    if kind(old) == "LoadBalancer" && kind(object) != "LoadBalancer" {
        let fields = ["allocateLoadBalancerNodePorts", "loadBalancerClass"];
        gone.extend(fields.into_iter().filter(|field| same(object, old, field)));
    }
    if external(old) && !external(object) && same(object, old, "externalTrafficPolicy") {
        gone.push("externalTrafficPolicy");
    }
    if !needs_internal_policy(object) {
        // Upstream does not even show the value that it once stored by mistake.
        gone.push("internalTrafficPolicy");
    }
    for field in gone {
        object.remove_at(&["spec", field]);
    }
    if kind(object) != "LoadBalancer" && object.at(&["status", "loadBalancer"]).is_some() {
        object.set_at(&["status", "loadBalancer"], Tree::map());
    }
}
