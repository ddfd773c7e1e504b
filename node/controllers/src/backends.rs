//! The pods behind a Service, as Endpoints and EndpointSlices show them. Behaviour as upstream's
//! `k8s.io/endpointslice` and `pkg/controller/endpoint`.
//!
//! It must not know how they are written down.

use crate::context::{Keys, Labels, selects_map};
use crate::pod::{is_finished, is_ready};
use client::{Meta, ObjectKey, Store};
use k8s_openapi::api::core::v1::{Node, ObjectReference, Pod, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::sync::Arc;

/// One port of a backend; the order of the fields is the order of the ports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// The Service port's name, maybe empty.
    pub name: String,
    /// Where the pod listens.
    pub port: i32,
    /// TCP, UDP or SCTP.
    pub protocol: String,
    /// The application protocol, if the Service names one.
    pub app_protocol: Option<String>,
}

/// One pod behind a Service.
#[derive(Clone, Debug)]
pub struct Backend {
    /// Its address of the asked family.
    pub address: String,
    /// Whether traffic should go there.
    pub ready: bool,
    /// Whether it would answer, going or not.
    pub serving: bool,
    /// Whether it is going.
    pub terminating: bool,
    /// Where it runs.
    pub node: Option<String>,
    /// The zone of that node.
    pub zone: Option<String>,
    /// Its name in DNS below the Service.
    pub hostname: Option<String>,
    /// The pod itself.
    pub target: ObjectReference,
    /// Where it listens, in order.
    pub ports: Vec<Port>,
}

/// Whether an address is of a family, `IPv4` or `IPv6`.
#[must_use]
pub fn is_family(address: &str, family: &str) -> bool {
    address.contains(':') == (family == "IPv6")
}

fn address(pod: &Pod, family: &str) -> Option<String> {
    let status = pod.status.as_ref()?;
    let all = status.pod_ips.iter().flatten().map(|p| p.ip.clone()).chain(status.pod_ip.clone());
    all.into_iter().find(|ip| !ip.is_empty() && is_family(ip, family))
}

/// Where the pod listens for a Service port; a named target must exist in it.
fn target_port(pod: &Pod, port: &ServicePort) -> Option<i32> {
    let name = match &port.target_port {
        None => return Some(port.port),
        Some(IntOrString::Int(0)) => return Some(port.port),
        Some(IntOrString::Int(number)) => return Some(*number),
        Some(IntOrString::String(name)) => name,
    };
    let spec = pod.spec.as_ref()?;
    let sidecars = spec.init_containers.iter().flatten().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let ports = spec.containers.iter().chain(sidecars).flat_map(|c| c.ports.iter().flatten());
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    let mut ports =
        ports.filter(|p| p.name.as_ref() == Some(name) && p.protocol.as_deref().unwrap_or("TCP") == protocol);
    ports.next().map(|p| p.container_port)
}

fn ports(pod: &Pod, service: &Service) -> Vec<Port> {
    let asked = service.spec.iter().flat_map(|s| s.ports.iter().flatten());
    let mut ports: Vec<Port> = asked
        .filter_map(|port| {
            Some(Port {
                name: port.name.clone().unwrap_or_default(),
                port: target_port(pod, port)?,
                protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
                app_protocol: port.app_protocol.clone(),
            })
        })
        .collect();
    ports.sort();
    ports
}

/// Whether the Service has no address of its own.
#[must_use]
pub fn is_headless(service: &Service) -> bool {
    service.spec.as_ref().and_then(|s| s.cluster_ip.as_deref()) == Some("None")
}

/// Whether pods are chosen for the Service here, rather than by its user.
#[must_use]
pub fn selector(service: &Service) -> Option<&Labels> {
    let spec = service.spec.as_ref()?;
    spec.selector.as_ref().filter(|s| !s.is_empty() && spec.type_.as_deref() != Some("ExternalName"))
}

/// The pods behind a Service in one address family, ordered by address.
#[must_use]
pub fn backends(service: &Service, pods: &[Arc<Pod>], nodes: &Store<Node>, family: &str) -> Vec<Backend> {
    let Some(selector) = selector(service) else { return Vec::new() };
    let spec = service.spec.as_ref();
    let all = spec.and_then(|s| s.publish_not_ready_addresses) == Some(true);
    let mut found: Vec<Backend> = Vec::new();
    for pod in pods.iter().filter(|p| selects_map(Some(selector), p.metadata.labels.as_ref()) && !is_finished(p)) {
        let Some(address) = address(pod, family) else { continue };
        let inside = pod.spec.as_ref();
        let node = inside.and_then(|s| s.node_name.clone()).filter(|n| !n.is_empty());
        let zone = node.as_deref().and_then(|n| nodes.find("", n));
        let zone = zone.and_then(|n| n.label("topology.kubernetes.io/zone").map(str::to_owned));
        let named = inside.filter(|s| s.subdomain.as_deref() == Some(service.name()));
        let (serving, terminating) = (is_ready(pod), pod.is_deleting());
        found.push(Backend {
            address,
            ready: all || (serving && !terminating),
            serving,
            terminating,
            node,
            zone,
            hostname: named.and_then(|s| s.hostname.clone()).filter(|h| !h.is_empty()),
            target: ObjectReference {
                kind: Some("Pod".to_owned()),
                namespace: Some(pod.namespace().to_owned()),
                name: Some(pod.name().to_owned()),
                uid: Some(pod.uid().to_owned()),
                ..ObjectReference::default()
            },
            ports: ports(pod, service),
        });
    }
    found.sort_by(|a, b| (&a.address, &a.target.uid).cmp(&(&b.address, &b.target.uid)));
    found
}

/// Wants a Service looked at when a pod that it takes, or took, changes.
pub fn feed_by_pods(pods: &Store<Pod>, services: &Arc<Store<Service>>, queue: &Keys) {
    let (services, queue) = (services.clone(), queue.clone());
    pods.on_change(move |change| {
        let (Some(one), other) = (change.sides().next(), change.sides().nth(1)) else { return };
        if other.is_some_and(|other| same_to_services(one, other)) {
            return;
        }
        for service in services.in_namespace(one.namespace()) {
            if change.sides().any(|pod| selects_map(selector(&service), pod.metadata.labels.as_ref())) {
                queue.add(ObjectKey::new(service.namespace(), service.name()));
            }
        }
    });
}

/// Whether two states of a pod look the same from a Service.
fn same_to_services(a: &Pod, b: &Pod) -> bool {
    let of = |p: &Pod| {
        let status = p.status.as_ref();
        let ips = status.map(|s| (s.pod_ip.clone(), s.pod_ips.clone()));
        let node = p.spec.as_ref().and_then(|s| s.node_name.clone());
        (ips, node, is_ready(p), is_finished(p), p.is_deleting(), p.uid().to_owned())
    };
    a.metadata.labels == b.metadata.labels && of(a) == of(b)
}
