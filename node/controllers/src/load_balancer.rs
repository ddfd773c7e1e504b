//! Gives Services of type LoadBalancer the nodes' own addresses: there is no balancer outside, so the service proxy of
//! each node serves the Service's port at the node's address. The life of finalizer and status follows upstream's
//! `cloud-provider/controllers/service`; the addresses are what a cloud would have answered.
//!
//! It must not know how packets get there, nor what the host forwards.

use crate::context::{Context, Keys, Life, feed};
use api::Status;
use client::{After, Meta, Patch, Store};
use k8s_openapi::api::core::v1::{LoadBalancerIngress, Node, Service, ServiceSpec};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

/// Keeps a Service until its address has been taken back.
const FINALIZER: &str = "service.kubernetes.io/load-balancer-cleanup";
/// The class of these addresses; a Service without a class takes them, too.
pub const CLASS: &str = "skerry.internal/node";
/// Nodes with this label take no part.
const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// Ports of a node's address that the machine itself listens at: API, kubelet, Docker. A Service there would cut the
/// cluster off from its own API.
const MACHINE_PORTS: [u16; 3] = [6443, 10250, 2376];

/// What is done about a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Plan {
    /// It is none of ours, or is as it should be.
    Leave,
    /// Finalizers and addresses are written together.
    Write { finalizers: Vec<String>, addresses: Vec<String> },
    /// It stays without an address; says why.
    Refuse(String),
}

fn spec(service: &Service) -> Option<&ServiceSpec> {
    service.spec.as_ref()
}

fn is_balanced(service: &Service) -> bool {
    spec(service).is_some_and(|spec| spec.type_.as_deref() == Some("LoadBalancer"))
}

fn wants(service: &Service) -> bool {
    let class = spec(service).and_then(|spec| spec.load_balancer_class.as_deref());
    is_balanced(service) && class.is_none_or(|class| class == CLASS) && !service.is_deleting()
}

fn needs_cleanup(service: &Service) -> bool {
    service.has_finalizer(FINALIZER) && (service.is_deleting() || !is_balanced(service))
}

fn ingress(service: &Service) -> &[LoadBalancerIngress] {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    balancer.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default()
}

/// The addresses that a Service has.
fn held(service: &Service) -> Vec<&str> {
    ingress(service).iter().filter_map(|one| one.ip.as_deref()).collect()
}

/// Protocol and number of each port at a balancer's address.
fn fronts(service: &Service) -> BTreeSet<(String, u16)> {
    ports(service, |port| port.port)
}

fn node_ports(service: &Service) -> BTreeSet<(String, u16)> {
    ports(service, |port| port.node_port.unwrap_or_default())
}

type ServicePort = k8s_openapi::api::core::v1::ServicePort;

fn ports(service: &Service, number: impl Fn(&ServicePort) -> i32) -> BTreeSet<(String, u16)> {
    let all = spec(service).into_iter().flat_map(|spec| spec.ports.iter().flatten());
    let named = |port: &ServicePort| {
        let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
        Some((protocol, u16::try_from(number(port)).ok().filter(|number| *number > 0)?))
    };
    all.filter_map(named).collect()
}

/// Who has a port first: whoever has an address, then the older one.
fn goes_before(a: &Service, b: &Service) -> bool {
    let rank = |service: &Service| {
        let age = service.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (held(service).is_empty(), age, service.namespace().to_owned(), service.name().to_owned())
    };
    rank(a) < rank(b)
}

/// Why a Service cannot have its ports at the nodes' addresses.
fn conflict(service: &Service, all: &[Arc<Service>]) -> Option<String> {
    let wanted = fronts(service);
    if let Some((_, port)) = wanted.iter().find(|(protocol, port)| protocol == "TCP" && MACHINE_PORTS.contains(port)) {
        return Some(format!("port {port}/TCP of the node is the machine's own"));
    }
    let same = |other: &Service| other.namespace() == service.namespace() && other.name() == service.name();
    all.iter().filter(|other| !same(other)).find_map(|other| {
        let mut taken = node_ports(other);
        if wants(other) && goes_before(other, service) {
            taken.extend(fronts(other));
        }
        let (protocol, port) = wanted.intersection(&taken).next()?;
        Some(format!("port {port}/{protocol} of the node is taken by service {}/{}", other.namespace(), other.name()))
    })
}

fn takes_part(node: &Node) -> bool {
    node.label(EXCLUDED).is_none() && !node.is_deleting()
}

/// The internal addresses of the nodes that take part, of the Service's families.
fn addresses(service: &Service, nodes: &[Arc<Node>]) -> Vec<String> {
    let families = spec(service).and_then(|spec| spec.ip_families.clone()).unwrap_or_else(|| vec!["IPv4".to_owned()]);
    let fits = |text: &str| {
        text.parse::<IpAddr>().is_ok_and(|ip| families.iter().any(|family| (family == "IPv4") == ip.is_ipv4()))
    };
    let mut all: Vec<String> = nodes.iter().filter(|node| takes_part(node)).flat_map(|node| own(node)).collect();
    all.retain(|text| fits(text));
    all.sort();
    all.dedup();
    all
}

fn own(node: &Node) -> Vec<String> {
    let all = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    all.filter(|address| address.type_ == "InternalIP").map(|address| address.address.clone()).collect()
}

fn plan(service: &Service, all: &[Arc<Service>], nodes: &[Arc<Node>]) -> Plan {
    let before = service.metadata.finalizers.clone().unwrap_or_default();
    if needs_cleanup(service) {
        let finalizers = before.into_iter().filter(|finalizer| finalizer != FINALIZER).collect();
        return Plan::Write { finalizers, addresses: Vec::new() };
    }
    if !wants(service) {
        return Plan::Leave;
    }
    let refused = conflict(service, all);
    let addresses = if refused.is_some() { Vec::new() } else { addresses(service, nodes) };
    let is_written = held(service) == addresses;
    match refused {
        Some(why) if is_written => Plan::Refuse(why),
        None if is_written && service.has_finalizer(FINALIZER) => Plan::Leave,
        _ => {
            let mut finalizers = before;
            if !service.has_finalizer(FINALIZER) {
                finalizers.push(FINALIZER.to_owned());
            }
            Plan::Write { finalizers, addresses }
        }
    }
}

fn patch(service: &Service, finalizers: &[String], addresses: &[String]) -> Value {
    // The mode is that of an address which packets reach unchanged: the proxy of the node takes them.
    let ingress: Vec<Value> = addresses.iter().map(|ip| json!({"ip": ip, "ipMode": "VIP"})).collect();
    let ingress = if ingress.is_empty() { Value::Null } else { ingress.into() };
    json!({
        "metadata": {"resourceVersion": service.resource_version(), "uid": service.uid(), "finalizers": finalizers},
        "status": {"loadBalancer": {"ingress": ingress}},
    })
}

async fn sync(context: &Context, service: &Service, plan: Plan) -> Result<After, Status> {
    let (finalizers, addresses) = match plan {
        Plan::Leave => return Ok(After::Done),
        Plan::Refuse(why) => {
            context.events.warning(service, "SyncLoadBalancerFailed", format!("Error syncing load balancer: {why}"));
            return Ok(After::Done);
        }
        Plan::Write { finalizers, addresses } => (finalizers, addresses),
    };
    let change = Patch::Merge(patch(service, &finalizers, &addresses));
    let api = context.client.of::<Service>();
    match api.patch(service.namespace(), service.name(), "status", &change).await {
        Err(status) if !status.is_not_found() => return Err(status),
        _ => {}
    }
    match (addresses.is_empty(), held(service).is_empty()) {
        (false, _) => context.events.normal(service, "EnsuredLoadBalancer", "Ensured load balancer"),
        (true, false) => context.events.normal(service, "DeletedLoadBalancer", "Deleted load balancer"),
        (true, true) => {}
    }
    Ok(After::Done)
}

/// Wants every Service looked at that has no address yet, or every one at all.
fn feed_balanced(services: &Store<Service>, keys: &Keys, pending_only: bool) {
    for service in services.all().iter().filter(|service| wants(service)) {
        if !pending_only || held(service).is_empty() {
            keys.add(service.key());
        }
    }
}

/// Runs the controller.
pub fn start(context: Context) -> Life {
    Box::pin(async move {
        let keys: Keys = Default::default();
        let services = context.informers.of::<Service>();
        let nodes = context.informers.of::<Node>();
        feed(&services, &keys);
        let (fed, seen) = (keys.clone(), services.clone());
        services.on_change(move |change| {
            // A port has come free when a Service went or changed its ports.
            let claims = |service: Option<&Arc<Service>>| service.map(|s| (fronts(s), node_ports(s), wants(s)));
            if change.old.is_some() && claims(change.old.as_ref()) != claims(change.new.as_ref()) {
                feed_balanced(&seen, &fed, true);
            }
        });
        let (fed, seen) = (keys.clone(), services.clone());
        nodes.on_change(move |change| {
            // Nodes report every few seconds; only what decides about addresses counts.
            let part = |node: Option<&Arc<Node>>| node.filter(|node| takes_part(node)).map(|node| own(node));
            if part(change.old.as_ref()) != part(change.new.as_ref()) {
                feed_balanced(&seen, &fed, false);
            }
        });
        services.synced().await;
        nodes.synced().await;
        let look = |key| {
            let (context, service) = (&context, services.get(&key));
            let (all, nodes) = (services.all(), nodes.all());
            async move {
                let Some(service) = service else { return Ok(After::Done) };
                let plan = plan(&service, &all, &nodes);
                sync(context, &service, plan).await
            }
        };
        context.work("load-balancer", &keys, look).await;
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{context, until_writes_end};
    use client::fake::Fake;

    fn service(name: &str, spec: Value, more: Value) -> Service {
        let mut all = json!({"metadata": {"namespace": "default", "name": name,
            "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": spec});
        for (field, value) in more.as_object().into_iter().flatten() {
            match (all[field].as_object_mut(), value.as_object()) {
                (Some(there), Some(new)) => there.extend(new.clone()),
                _ => all[field] = value.clone(),
            }
        }
        serde_json::from_value(all).unwrap()
    }

    fn balanced(name: &str, port: u16, more: Value) -> Service {
        let ports = json!([{"port": port, "protocol": "TCP", "nodePort": 30000 + port % 1000}]);
        service(name, json!({"type": "LoadBalancer", "ports": ports}), more)
    }

    fn has(ip: &str) -> Value {
        json!({"metadata": {"finalizers": [FINALIZER]}, "status": {"loadBalancer": {"ingress": [{"ip": ip}]}}})
    }

    fn node(name: &str, ip: &str, labels: Value) -> Node {
        let addresses = json!([{"type": "InternalIP", "address": ip}, {"type": "Hostname", "address": name}]);
        let node = json!({"metadata": {"name": name, "labels": labels}, "status": {"addresses": addresses}});
        serde_json::from_value(node).unwrap()
    }

    /// `finalizers addresses`, `-` for nothing to do, or why not.
    fn check(service: &Service, others: &[Service], wanted: &str) {
        let nodes = [
            node("skerry", "10.250.0.1", json!({})),
            node("away", "10.250.0.9", json!({EXCLUDED: ""})),
            node("six", "fd00::1", json!({})),
        ];
        let all: Vec<Arc<Service>> = others.iter().chain([service]).cloned().map(Arc::new).collect();
        let told = match plan(service, &all, &nodes.map(Arc::new)) {
            Plan::Leave => "-".to_owned(),
            Plan::Refuse(why) => why,
            Plan::Write { finalizers, addresses } => format!("{} {}", finalizers.len(), addresses.join(",")),
        };
        assert_eq!(told, wanted, "{}", service.name());
    }

    #[test]
    fn a_load_balancer_gets_the_address_of_the_nodes_and_keeps_it() {
        check(&balanced("web", 80, json!({})), &[], "1 10.250.0.1");
        check(&balanced("web", 80, has("10.250.0.1")), &[], "-");
        check(&balanced("web", 80, has("10.0.0.1")), &[], "1 10.250.0.1");
        check(&service("web", json!({"type": "NodePort"}), json!({})), &[], "-");
    }

    #[test]
    fn another_class_is_somebody_elses() {
        let of = |class: &str| service("web", json!({"type": "LoadBalancer", "loadBalancerClass": class}), json!({}));
        check(&of("example.com/lb"), &[], "-");
        check(&of(CLASS), &[], "1 10.250.0.1");
    }

    #[test]
    fn the_address_goes_with_the_type_and_with_the_service() {
        check(&service("web", json!({"type": "ClusterIP"}), has("10.250.0.1")), &[], "0 ");
        let mut dying = balanced("web", 80, has("10.250.0.1"));
        dying.metadata.deletion_timestamp = dying.metadata.creation_timestamp.clone();
        check(&dying, &[], "0 ");
    }

    #[test]
    fn a_port_is_given_once_and_never_the_machines_own() {
        let refused = json!({});
        check(&balanced("api", 6443, refused.clone()), &[], "port 6443/TCP of the node is the machine's own");
        check(&balanced("api", 6443, has("10.250.0.1")), &[], "1 ");
        let first = balanced("first", 80, has("10.250.0.1"));
        let taken = "port 80/TCP of the node is taken by service default/first";
        check(&balanced("a", 80, refused.clone()), std::slice::from_ref(&first), taken);
        check(&first, &[balanced("a", 80, json!({}))], "-");
        let other = service("np", json!({"type": "NodePort", "ports": [{"port": 1, "nodePort": 30080}]}), json!({}));
        let taken = "port 30080/TCP of the node is taken by service default/np";
        check(&balanced("a", 30080, refused), &[other], taken);
    }

    #[tokio::test]
    async fn a_pending_service_gets_its_address_when_the_port_comes_free() {
        let server = Fake::new();
        let (context, stop) = context(&server);
        server.put(&node("skerry", "10.250.0.1", json!({})));
        server.put(&balanced("a", 80, json!({})));
        server.put(&balanced("b", 80, json!({})));
        let running = tokio::spawn(start(context.clone()));
        until_writes_end(&server).await;
        let held_by = |name: &str| {
            let all: Vec<Service> = server.all();
            all.iter().find(|s| s.name() == name).map(|s| held(s).join(","))
        };
        assert_eq!((held_by("a").as_deref(), held_by("b").as_deref()), (Some("10.250.0.1"), Some("")));
        let api = context.client.of::<Service>();
        let change = json!({"spec": {"type": "ClusterIP"}});
        api.patch("default", "a", "", &Patch::Merge(change)).await.unwrap();
        until_writes_end(&server).await;
        assert_eq!((held_by("a").as_deref(), held_by("b").as_deref()), (Some(""), Some("10.250.0.1")));
        stop.cancel();
        running.await.unwrap();
    }
}
