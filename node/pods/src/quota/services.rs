//! What a Service costs: itself, its node ports, its load balancer.

use super::{number, one};
use crate::list::ResourceList;
use api::Tree;

const NAMES: &[&str] = &["count/services", "services", "services.loadbalancers", "services.nodeports"];

pub(super) fn tracks(resource: &str) -> bool {
    NAMES.contains(&resource)
}

/// Node ports are counted by what the Service wants: a new one has not got them yet.
pub(super) fn usage(service: &Tree) -> ResourceList {
    let ports = service.list_at(&["spec", "ports"]);
    let named = ports.iter().filter(|port| port.int_at(&["nodePort"]).unwrap_or(0) != 0).count();
    let given = service.bool_at(&["spec", "allocateLoadBalancerNodePorts"]) != Some(false);
    let (node_ports, balancers) = match service.str_at(&["spec", "type"]) {
        Some("NodePort") => (ports.len(), 0),
        Some("LoadBalancer") => (if given { ports.len() } else { named }, 1),
        _ => (0, 0),
    };
    let amounts = [one(), one(), number(balancers), number(node_ports)];
    NAMES.iter().map(|name| (*name).to_owned()).zip(amounts).collect()
}
