//! The variables by which containers find Services (`NAME_SERVICE_HOST` and its like). Pure. Names as upstream's
//! `pkg/kubelet/envvars`.
//!
//! It must not know which container asks.

use client::Meta;
use k8s_openapi::api::core::v1::Service;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The Service that every container is told of, in [`MASTER_NAMESPACE`].
const MASTER: &str = "kubernetes";
/// Where [`MASTER`] is.
pub const MASTER_NAMESPACE: &str = "default";

/// The variables for a pod in `namespace`, from Services of that namespace and of [`MASTER_NAMESPACE`].
#[must_use]
pub fn variables(services: &[Arc<Service>], namespace: &str, links: bool) -> BTreeMap<String, String> {
    let is_master = |s: &Service| s.namespace() == MASTER_NAMESPACE && s.name() == MASTER;
    let mut chosen: BTreeMap<&str, &Service> = BTreeMap::new();
    for service in services.iter().filter(|s| address(s).is_some()) {
        if is_master(service) {
            chosen.entry(service.name()).or_insert(service);
        } else if links && service.namespace() == namespace {
            chosen.insert(service.name(), service);
        }
    }
    let mut all = BTreeMap::new();
    chosen.values().for_each(|service| add(service, &mut all));
    all
}

fn address(service: &Service) -> Option<&str> {
    let ip = service.spec.as_ref()?.cluster_ip.as_deref()?;
    (!ip.is_empty() && ip != "None").then_some(ip)
}

fn shout(name: &str) -> String {
    name.replace('-', "_").to_uppercase()
}

fn add(service: &Service, all: &mut BTreeMap<String, String>) {
    let (Some(ip), Some(spec)) = (address(service), &service.spec) else { return };
    let prefix = shout(service.name());
    let ports = spec.ports.as_deref().unwrap_or_default();
    let Some(first) = ports.first() else { return };
    all.insert(format!("{prefix}_SERVICE_HOST"), ip.to_owned());
    all.insert(format!("{prefix}_SERVICE_PORT"), first.port.to_string());
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
    for (index, port) in ports.iter().enumerate() {
        if let Some(name) = port.name.as_deref().filter(|n| !n.is_empty()) {
            all.insert(format!("{prefix}_SERVICE_PORT_{}", shout(name)), port.port.to_string());
        }
        let protocol = port.protocol.as_deref().filter(|p| !p.is_empty()).unwrap_or("TCP");
        let url = format!("{}://{host}:{}", protocol.to_lowercase(), port.port);
        if index == 0 {
            all.insert(format!("{prefix}_PORT"), url.clone());
        }
        let port_prefix = format!("{prefix}_PORT_{}_{}", port.port, protocol.to_uppercase());
        all.insert(format!("{port_prefix}_PROTO"), protocol.to_lowercase());
        all.insert(format!("{port_prefix}_PORT"), port.port.to_string());
        all.insert(format!("{port_prefix}_ADDR"), ip.to_owned());
        all.insert(port_prefix, url);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn service(namespace: &str, name: &str, ip: &str, ports: Value) -> Arc<Service> {
        Arc::new(
            serde_json::from_value(json!({"metadata": {"name": name, "namespace": namespace},
            "spec": {"clusterIP": ip, "ports": ports}}))
            .unwrap(),
        )
    }

    #[test]
    fn a_service_is_told_in_all_its_names() {
        let services = [service(
            "a",
            "my-db",
            "10.0.0.5",
            json!([{"name": "sql-x", "port": 5432}, {"port": 53,
            "name": "d", "protocol": "UDP"}]),
        )];
        let got = variables(&services, "a", true);
        let want = [
            ("MY_DB_PORT", "tcp://10.0.0.5:5432"),
            ("MY_DB_PORT_53_UDP", "udp://10.0.0.5:53"),
            ("MY_DB_PORT_53_UDP_ADDR", "10.0.0.5"),
            ("MY_DB_PORT_53_UDP_PORT", "53"),
            ("MY_DB_PORT_53_UDP_PROTO", "udp"),
            ("MY_DB_PORT_5432_TCP", "tcp://10.0.0.5:5432"),
            ("MY_DB_PORT_5432_TCP_ADDR", "10.0.0.5"),
            ("MY_DB_PORT_5432_TCP_PORT", "5432"),
            ("MY_DB_PORT_5432_TCP_PROTO", "tcp"),
            ("MY_DB_SERVICE_HOST", "10.0.0.5"),
            ("MY_DB_SERVICE_PORT", "5432"),
            ("MY_DB_SERVICE_PORT_D", "53"),
            ("MY_DB_SERVICE_PORT_SQL_X", "5432"),
        ];
        let got: Vec<(&str, &str)> = got.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn without_links_only_the_api_is_told() {
        let ports = json!([{"port": 443}]);
        let services = [
            service("default", "kubernetes", "10.0.0.1", ports.clone()),
            service("a", "x", "10.0.0.2", ports.clone()),
            service("a", "headless", "None", ports.clone()),
            service("b", "y", "10.0.0.3", ports),
        ];
        let names = |links| variables(&services, "a", links).into_keys().filter(|k| k.ends_with("_HOST")).collect();
        let (without, with): (Vec<String>, Vec<String>) = (names(false), names(true));
        assert_eq!(without, ["KUBERNETES_SERVICE_HOST"]);
        assert_eq!(with, ["KUBERNETES_SERVICE_HOST", "X_SERVICE_HOST"]);
    }
}
