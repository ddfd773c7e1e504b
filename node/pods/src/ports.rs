//! Ports of the node that pods take for themselves, and their conflicts.

use api::Tree;
use std::collections::BTreeMap;

/// The address that stands for all.
const EVERY_ADDRESS: &str = "0.0.0.0";

/// One port on the node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// The port, 1 to 65535.
    pub port: i64,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// The address on the node; `0.0.0.0` for all.
    pub address: String,
}

impl HostPort {
    /// Whether both cannot be held at once: same port and protocol, and either is on all addresses or both on one.
    #[must_use]
    pub fn conflicts(&self, other: &Self) -> bool {
        let meets =
            self.address == other.address || [&self.address, &other.address].iter().any(|a| *a == EVERY_ADDRESS);
        self.port == other.port && self.protocol == other.protocol && meets
    }
}

/// The host ports of a pod: those of its containers and sidecars.
#[must_use]
pub fn host_ports(pod: &Tree) -> Vec<HostPort> {
    let sidecars = pod.list_at(&["spec", "initContainers"]).iter().filter(|c| crate::requests::is_sidecar(c));
    let containers = pod.list_at(&["spec", "containers"]).iter().chain(sidecars);
    let text = |port: &Tree, field: &str, missing: &str| {
        port.str_at(&[field]).filter(|text| !text.is_empty()).unwrap_or(missing).to_owned()
    };
    let read = |port: &Tree| {
        let number = port.int_at(&["hostPort"]).filter(|number| *number > 0)?;
        Some(HostPort {
            port: number,
            protocol: text(port, "protocol", "TCP"),
            address: text(port, "hostIP", EVERY_ADDRESS),
        })
    };
    containers.flat_map(|container| container.list_at(&["ports"])).filter_map(read).collect()
}

/// The ports that the pods of a node hold. A port may be held more than once, by pods that were bound without asking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostPorts(BTreeMap<HostPort, usize>);

impl HostPorts {
    /// Counts the ports of a pod.
    pub fn add(&mut self, ports: &[HostPort]) {
        for port in ports {
            *self.0.entry(port.clone()).or_default() += 1;
        }
    }

    /// Takes them away again.
    pub fn remove(&mut self, ports: &[HostPort]) {
        for port in ports {
            if let Some(count) = self.0.get_mut(port) {
                *count -= 1;
                if *count == 0 {
                    self.0.remove(port);
                }
            }
        }
    }

    /// The first of `ports` that cannot be had.
    #[must_use]
    pub fn conflict<'a>(&self, ports: &'a [HostPort]) -> Option<&'a HostPort> {
        ports.iter().find(|port| self.0.keys().any(|held| held.conflicts(port)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;
    use serde_json::json;

    fn port(port: i64, protocol: &str, address: &str) -> HostPort {
        HostPort { port, protocol: protocol.to_owned(), address: address.to_owned() }
    }

    #[test]
    fn all_addresses_meet_every_one() {
        let cases = [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("0.0.0.0", "127.0.0.2", true),
            ("127.0.0.1", "0.0.0.0", true),
            ("0.0.0.0", "0.0.0.0", true),
        ];
        for (held, wanted, conflict) in cases {
            let mut ports = HostPorts::default();
            ports.add(&[port(80, "TCP", held)]);
            assert_eq!(ports.conflict(&[port(80, "TCP", wanted)]).is_some(), conflict, "{held} {wanted}");
            assert_eq!(ports.conflict(&[port(80, "UDP", wanted)]), None);
            assert_eq!(ports.conflict(&[port(81, "TCP", wanted)]), None);
        }
    }

    #[test]
    fn defaults_are_tcp_on_all_addresses_and_plain_init_containers_hold_nothing() {
        let pod = tree(json!({"spec": {
            "containers": [{"ports": [{"hostPort": 80}, {"containerPort": 90}, {"hostPort": 53, "protocol": "UDP", "hostIP": "10.0.0.1"}]}],
            "initContainers": [
                {"ports": [{"hostPort": 1}]},
                {"restartPolicy": "Always", "ports": [{"hostPort": 2}]},
            ],
        }}));
        assert_eq!(
            host_ports(&pod),
            [port(80, "TCP", "0.0.0.0"), port(53, "UDP", "10.0.0.1"), port(2, "TCP", "0.0.0.0")]
        );
    }

    #[test]
    fn a_port_held_twice_is_free_after_both_are_gone() {
        let mut ports = HostPorts::default();
        let one = [port(80, "TCP", "0.0.0.0")];
        ports.add(&one);
        ports.add(&one);
        ports.remove(&one);
        assert!(ports.conflict(&one).is_some());
        ports.remove(&one);
        assert_eq!(ports, HostPorts::default());
        ports.remove(&one);
        assert_eq!(ports.conflict(&one), None);
    }
}
