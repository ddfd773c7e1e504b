//! What a Service asks of the proxy, one value for each of its ports, as upstream's `pkg/proxy/serviceport.go` reads it.
//!
//! It must not know endpoints or rules.

use crate::cidr::Cidr;
use crate::nft::{Family, Front, Protocol};
use client::Meta;
use k8s_openapi::api::core::v1::{Service, ServiceSpec};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// Says that somebody else serves this Service.
const OTHER_PROXY: &str = "service.kubernetes.io/service-proxy-name";
/// Three hours, the API's default of a client's affinity.
const AFFINITY_DEFAULT: Duration = Duration::from_secs(10_800);

/// Names a port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortName {
    /// The Service's namespace.
    pub namespace: String,
    /// The Service's name.
    pub service: String,
    /// The port's name; empty when it has none.
    pub port: String,
    /// The port's protocol.
    pub protocol: Protocol,
}

impl fmt::Display for PortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.namespace, self.service, self.protocol, self.port)
    }
}

/// One port of a Service, for one address family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// Its name.
    pub name: PortName,
    /// The cluster address and port.
    pub front: Front,
    /// The port on every address of the machine; 0 for none.
    pub node_port: u16,
    /// Addresses that users route here.
    pub external: Vec<IpAddr>,
    /// Addresses of load balancers that hand packets on unchanged.
    pub balancers: Vec<IpAddr>,
    /// Who may use the balancers' addresses; everyone when empty.
    pub sources: Vec<Cidr>,
    /// How long a client keeps its backend; nothing when it need not.
    pub affinity: Option<Duration>,
    /// From outside only to backends of this node.
    pub external_local: bool,
    /// From inside only to backends of this node.
    pub internal_local: bool,
    /// Where a balancer asks whether this node has backends; 0 for nowhere.
    pub health_port: u16,
}

impl ServicePort {
    /// Whether it can be reached otherwise than by its cluster address.
    #[must_use]
    pub fn is_external(&self) -> bool {
        self.node_port != 0 || !self.external.is_empty() || !self.balancers.is_empty()
    }

    /// Whether traffic ever goes to backends anywhere. With external traffic kept local, what comes from this node
    /// still may.
    #[must_use]
    pub fn uses_cluster(&self) -> bool {
        !self.internal_local || self.is_external()
    }

    /// Whether traffic ever goes to backends of this node only.
    #[must_use]
    pub fn uses_local(&self) -> bool {
        self.internal_local || self.external_local && self.is_external()
    }
}

fn addresses<'a>(of: Family, texts: impl Iterator<Item = &'a String>) -> Vec<IpAddr> {
    texts.filter_map(|text| text.parse().ok()).filter(|address| Family::of(*address) == of).collect()
}

/// The cluster address of one family; nothing for headless Services and for names of something outside.
fn cluster_address(of: Family, spec: &ServiceSpec) -> Option<IpAddr> {
    if spec.type_.as_deref() == Some("ExternalName") {
        return None;
    }
    let all = spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip);
    addresses(of, all).first().copied()
}

/// Ranges of one family. A range of everything is the same as no ranges.
fn sources(of: Family, spec: &ServiceSpec) -> Vec<Cidr> {
    let texts = spec.load_balancer_source_ranges.iter().flatten();
    let all: Vec<Cidr> = texts.filter_map(|text| text.parse().ok()).collect();
    let ours: Vec<Cidr> = all.into_iter().filter(|cidr: &Cidr| Family::of(cidr.address) == of).collect();
    if ours.iter().any(|cidr| cidr.prefix == 0) { Vec::new() } else { ours }
}

/// The ports of a Service that the proxy serves in one address family.
#[must_use]
pub fn ports(of: Family, service: &Service) -> Vec<ServicePort> {
    let Some(spec) = &service.spec else { return Vec::new() };
    let Some(address) = cluster_address(of, spec) else { return Vec::new() };
    if service.label(OTHER_PROXY).is_some() {
        return Vec::new();
    }
    let kind = spec.type_.as_deref().unwrap_or("ClusterIP");
    let is_local = |policy: &Option<String>| policy.as_deref() == Some("Local");
    let may_be_external = matches!(kind, "NodePort" | "LoadBalancer") || spec.external_ips.iter().flatten().count() > 0;
    let external_local = may_be_external && is_local(&spec.external_traffic_policy);
    let ingress = service.status.iter().filter_map(|s| s.load_balancer.as_ref()?.ingress.as_ref()).flatten();
    let vips = ingress.filter(|one| one.ip_mode.as_deref().is_none_or(|mode| mode == "VIP"));
    let balancers = addresses(of, vips.filter_map(|one| one.ip.as_ref()));
    let affinity = (spec.session_affinity.as_deref() == Some("ClientIP")).then(|| {
        let config = spec.session_affinity_config.as_ref().and_then(|c| c.client_ip.as_ref()?.timeout_seconds);
        config.and_then(|s| u64::try_from(s).ok()).map_or(AFFINITY_DEFAULT, Duration::from_secs)
    });
    let number = |value: Option<i32>| u16::try_from(value.unwrap_or(0)).unwrap_or(0);
    let health_port = if kind == "LoadBalancer" && external_local { number(spec.health_check_node_port) } else { 0 };
    let port = |port: &k8s_openapi::api::core::v1::ServicePort| {
        let protocol = Protocol::named(port.protocol.as_deref().unwrap_or_default())?;
        let front = Front { address, port: u16::try_from(port.port).ok()?, protocol };
        let name = PortName {
            namespace: service.namespace().to_owned(),
            service: service.name().to_owned(),
            port: port.name.clone().unwrap_or_default(),
            protocol,
        };
        Some(ServicePort {
            name,
            front,
            node_port: number(port.node_port),
            external: addresses(of, spec.external_ips.iter().flatten()),
            balancers: balancers.clone(),
            sources: sources(of, spec),
            affinity,
            external_local,
            internal_local: is_local(&spec.internal_traffic_policy),
            health_port,
        })
    };
    spec.ports.iter().flatten().filter_map(port).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(spec: Value) -> Vec<ServicePort> {
        let status = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}, {"ip": "192.0.2.2", "ipMode": "Proxy"},
            {"ip": "2001:db8::1"}, {"hostname": "lb.example"}]}});
        let service = json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": spec, "status": status});
        ports(Family::V4, &serde_json::from_value(service).unwrap())
    }

    #[test]
    fn headless_and_external_name_services_and_those_of_another_family_are_not_served() {
        let ports = json!([{"port": 80}]);
        for spec in [
            json!({"clusterIP": "None", "clusterIPs": ["None"], "ports": ports}),
            json!({"type": "ExternalName", "externalName": "example.org", "ports": ports}),
            json!({"clusterIP": "fd00:10:96::1", "clusterIPs": ["fd00:10:96::1"], "ports": ports}),
            json!({"ports": ports}),
        ] {
            assert_eq!(read(spec), []);
        }
    }

    #[test]
    fn every_port_has_the_services_settings() {
        let read = read(json!({
            "type": "LoadBalancer", "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"],
            "ports": [{"name": "dns", "port": 53, "protocol": "UDP", "nodePort": 30053}, {"name": "web", "port": 80}],
            "externalIPs": ["203.0.113.1"], "externalTrafficPolicy": "Local", "healthCheckNodePort": 31000,
            "sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 5}},
            "loadBalancerSourceRanges": [" 10.0.0.0/8 ", "2001:db8::/32"],
        }));
        assert_eq!(read[0].name.to_string(), "shop/web/udp/dns");
        assert_eq!((read[0].node_port, read[1].node_port), (30053, 0));
        assert_eq!(read[1].balancers, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(read[1].sources, ["10.0.0.0/8".parse().unwrap()]);
        assert_eq!(read[1].affinity, Some(Duration::from_secs(5)));
        assert_eq!((read[1].external_local, read[1].internal_local, read[1].health_port), (true, false, 31000));
    }

    #[test]
    fn an_open_source_range_is_no_restriction() {
        let read = read(json!({"clusterIP": "10.96.0.7", "ports": [{"port": 1}],
            "loadBalancerSourceRanges": ["10.0.0.0/8", "0.0.0.0/0"]}));
        assert_eq!(read[0].sources, []);
    }
}
