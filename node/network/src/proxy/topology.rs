//! Which backends of a port this node uses, as upstream's `pkg/proxy/topology.go` decides.
//!
//! It must not know how packets get there.

use super::endpoint::{Backend, Endpoint};
use super::service::ServicePort;
use std::collections::BTreeMap;

/// This node, as far as it decides about backends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The node's name.
    pub node: String,
    /// The node's zone; empty when it has none.
    pub zone: String,
}

/// The backends that traffic may go to, by policy.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Usable {
    /// For traffic that may go anywhere.
    pub cluster: Vec<Backend>,
    /// For traffic that must stay on this node.
    pub local: Vec<Backend>,
    /// Whether there is a usable backend anywhere.
    pub any: bool,
}

fn is_last_resort(endpoint: &Endpoint) -> bool {
    endpoint.serving && endpoint.terminating
}

fn chosen(all: &BTreeMap<Backend, Endpoint>, wanted: impl Fn(&Endpoint) -> bool) -> Vec<Backend> {
    all.iter().filter(|(_, endpoint)| wanted(endpoint)).map(|(backend, _)| *backend).collect()
}

/// The ready backends that satisfy `wanted`; when there is none, those that end but still answer.
fn ready_or_last_resort(all: &BTreeMap<Backend, Endpoint>, wanted: impl Fn(&Endpoint) -> bool) -> Vec<Backend> {
    let ready = chosen(all, |endpoint| endpoint.ready && wanted(endpoint));
    if ready.is_empty() { chosen(all, |endpoint| is_last_resort(endpoint) && wanted(endpoint)) } else { ready }
}

/// Sorts the backends of a port.
#[must_use]
pub fn usable(service: &ServicePort, all: &BTreeMap<Backend, Endpoint>, place: &Place) -> Usable {
    let mut found = Usable::default();
    if service.uses_cluster() {
        let hint = hints(all, place);
        // A hint is only followed when it leaves a ready backend.
        found.cluster = match hint {
            Some(wants) => chosen(all, |endpoint| endpoint.ready && wants(endpoint, place)),
            None => ready_or_last_resort(all, |_| true),
        };
        found.any = !found.cluster.is_empty();
    }
    if service.uses_local() {
        found.any |= all.values().any(|endpoint| endpoint.ready || is_last_resort(endpoint));
        found.local = ready_or_last_resort(all, |endpoint| endpoint.node == place.node);
    }
    found
}

/// How hints narrow the ready backends down: by node, else by zone, and only when every ready backend has such a hint
/// and one of them is meant for us.
fn hints(all: &BTreeMap<Backend, Endpoint>, place: &Place) -> Option<fn(&Endpoint, &Place) -> bool> {
    let for_node = |endpoint: &Endpoint, place: &Place| endpoint.nodes.contains(&place.node);
    let for_zone = |endpoint: &Endpoint, place: &Place| endpoint.zones.contains(&place.zone);
    let ready = || all.values().filter(|endpoint| endpoint.ready);
    if ready().all(|endpoint| !endpoint.nodes.is_empty()) && ready().any(|endpoint| for_node(endpoint, place)) {
        return Some(for_node);
    }
    if ready().all(|endpoint| !endpoint.zones.is_empty()) && ready().any(|endpoint| for_zone(endpoint, place)) {
        return Some(for_zone);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::tests::{backend, service};
    use super::*;

    fn endpoint(node: &str, state: &str) -> Endpoint {
        Endpoint {
            ready: state == "ready",
            serving: state != "down",
            terminating: state == "ending",
            node: node.to_owned(),
            ..Endpoint::default()
        }
    }

    fn check(service: &ServicePort, all: &[(u8, Endpoint)], cluster: &[u8], local: &[u8], any: bool) {
        let all = all.iter().map(|(n, e)| (backend(*n), e.clone())).collect();
        let found = usable(service, &all, &Place { node: "here".to_owned(), zone: "z1".to_owned() });
        let named = |list: &[u8]| list.iter().map(|n| backend(*n)).collect::<Vec<_>>();
        assert_eq!(found, Usable { cluster: named(cluster), local: named(local), any });
    }

    #[test]
    fn ending_backends_serve_only_when_none_is_ready() {
        let service = service();
        check(&service, &[(1, endpoint("here", "ready")), (2, endpoint("here", "ending"))], &[1], &[], true);
        check(&service, &[(1, endpoint("here", "down")), (2, endpoint("here", "ending"))], &[2], &[], true);
        check(&service, &[(1, endpoint("here", "down"))], &[], &[], false);
    }

    #[test]
    fn local_policy_sees_backends_elsewhere_but_does_not_use_them() {
        let local = ServicePort { internal_local: true, ..service() };
        check(&local, &[(1, endpoint("there", "ready"))], &[], &[], true);
        check(&local, &[(1, endpoint("there", "ready")), (2, endpoint("here", "ending"))], &[], &[2], true);
        let external = ServicePort { node_port: 30000, external_local: true, ..service() };
        check(&external, &[(1, endpoint("there", "ready")), (2, endpoint("here", "ready"))], &[1, 2], &[2], true);
    }

    #[test]
    fn hints_count_only_when_all_ready_backends_have_them_and_one_is_for_us() {
        let zone = |zone: &str| Endpoint { zones: vec![zone.to_owned()], ..endpoint("there", "ready") };
        let node = |node: &str| Endpoint { nodes: vec![node.to_owned()], ..zone("z1") };
        check(&service(), &[(1, zone("z1")), (2, zone("z2"))], &[1], &[], true);
        check(&service(), &[(1, zone("z2")), (2, zone("z2"))], &[1, 2], &[], true);
        check(&service(), &[(1, zone("z1")), (2, endpoint("there", "ready"))], &[1, 2], &[], true);
        check(&service(), &[(1, node("here")), (2, node("there"))], &[1], &[], true);
        check(&service(), &[(1, node("else")), (2, node("there"))], &[1, 2], &[], true);
    }
}
