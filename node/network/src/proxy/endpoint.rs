//! Backends of every port, from the EndpointSlices, as upstream's `pkg/proxy/endpointslicecache.go` reads them.
//!
//! It must not know what the Services want.

use super::service::PortName;
use crate::nft::{Family, Protocol};
use client::Meta;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Names the Service that a slice belongs to.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Marks slices of headless Services.
const HEADLESS: &str = "service.kubernetes.io/headless";
/// Says that somebody else serves this Service.
const OTHER_PROXY: &str = "service.kubernetes.io/service-proxy-name";

/// Where packets can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Backend {
    /// The address.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
}

/// What is known of a backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// Wants new connections.
    pub ready: bool,
    /// Would answer.
    pub serving: bool,
    /// Is going.
    pub terminating: bool,
    /// The node it runs on.
    pub node: String,
    /// Zones that are to use it.
    pub zones: Vec<String>,
    /// Nodes that are to use it.
    pub nodes: Vec<String>,
}

/// Backends by service port.
pub type Endpoints = BTreeMap<PortName, BTreeMap<Backend, Endpoint>>;

/// All backends of one address family. A backend that is in several slices counts as ready when one says so.
#[must_use]
pub fn endpoints<'a>(of: Family, slices: impl Iterator<Item = &'a EndpointSlice>) -> Endpoints {
    let mut all = Endpoints::new();
    let kind = if of == Family::V4 { "IPv4" } else { "IPv6" };
    for slice in slices.filter(|slice| slice.address_type == kind) {
        let Some(service) = slice.label(SERVICE_NAME) else { continue };
        if slice.label(HEADLESS).is_some() || slice.label(OTHER_PROXY).is_some() {
            continue;
        }
        for port in slice.ports.iter().flatten() {
            let number = port.port.and_then(|p| u16::try_from(p).ok());
            let protocol = Protocol::named(port.protocol.as_deref().unwrap_or_default());
            let (Some(number), Some(protocol)) = (number, protocol) else { continue };
            let name = PortName {
                namespace: slice.namespace().to_owned(),
                service: service.to_owned(),
                port: port.name.clone().unwrap_or_default(),
                protocol,
            };
            let backends = all.entry(name).or_default();
            for (address, endpoint) in slice.endpoints.iter().flatten().filter_map(read) {
                let there = backends.entry(Backend { address, port: number }).or_default();
                if !there.ready {
                    *there = endpoint;
                }
            }
        }
    }
    all
}

fn read(endpoint: &k8s_openapi::api::discovery::v1::Endpoint) -> Option<(IpAddr, Endpoint)> {
    let address = endpoint.addresses.first()?.parse().ok()?;
    let conditions = endpoint.conditions.clone().unwrap_or_default();
    let hints = endpoint.hints.clone().unwrap_or_default();
    let read = Endpoint {
        ready: conditions.ready != Some(false),
        serving: conditions.serving != Some(false),
        terminating: conditions.terminating == Some(true),
        node: endpoint.node_name.clone().unwrap_or_default(),
        zones: hints.for_zones.into_iter().flatten().map(|zone| zone.name).collect(),
        nodes: hints.for_nodes.into_iter().flatten().map(|node| node.name).collect(),
    };
    Some((address, read))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn slices_of_one_service_are_joined_by_port_name() {
        let slice = |address: &str, ready: bool, port: i32| -> EndpointSlice {
            serde_json::from_value(json!({
                "metadata": {"name": "s", "namespace": "shop", "labels": {SERVICE_NAME: "web"}},
                "addressType": "IPv4", "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
                "endpoints": [{"addresses": [address], "nodeName": "n1", "conditions": {"ready": ready}}],
            }))
            .unwrap()
        };
        let slices = [slice("10.244.0.2", false, 80), slice("10.244.0.2", true, 80), slice("10.244.0.3", true, 81)];
        let all = endpoints(Family::V4, slices.iter());
        assert_eq!(all.len(), 1);
        let (name, backends) = all.first_key_value().unwrap();
        assert_eq!(name.to_string(), "shop/web/tcp/http");
        let told: Vec<_> = backends.iter().map(|(b, e)| (b.address.to_string(), b.port, e.ready)).collect();
        assert_eq!(told, [("10.244.0.2".to_owned(), 80, true), ("10.244.0.3".to_owned(), 81, true)]);
        assert!(endpoints(Family::V6, slices.iter()).is_empty());
    }

    #[test]
    fn slices_of_headless_services_are_left_out() {
        let slice: EndpointSlice = serde_json::from_value(json!({
            "metadata": {"name": "s", "namespace": "shop", "labels": {SERVICE_NAME: "web", HEADLESS: ""}},
            "addressType": "IPv4", "ports": [{"port": 80}], "endpoints": [{"addresses": ["10.244.0.2"]}],
        }))
        .unwrap();
        assert!(endpoints(Family::V4, [slice].iter()).is_empty());
    }
}
