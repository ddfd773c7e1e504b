//! Nothing listens on the machine but what the contract declares.

use crate::harness::Machine;
use crate::runner::{Step, steps};
use crate::shop;
use tests::sockets::{Listener, listeners};

/// Before the shop opens its NodePort, which needs no socket in any case.
pub const STEPS: &[Step] = steps![only_declared_sockets_listen];

/// Ports on any address: the API and the kubelet. Docker's is opened only when asked for.
const ANYWHERE: &[u16] = &[6443, 10250];
/// The address of cluster DNS, which has port 53 to itself.
const DNS: &str = "10.96.0.10";

fn only_declared_sockets_listen(machine: &Machine) {
    shop::wrench(machine);
    let mut found = Vec::new();
    for table in ["tcp", "tcp6", "udp", "udp6"] {
        let path = format!("/proc/1/net/{table}");
        let text = machine.kubectl(&["exec", "-n", "kube-system", "wrench", "--", "cat", &path]);
        found.extend(listeners(table, &text).unwrap_or_else(|error| panic!("{path}: {error}")));
    }
    let undeclared: Vec<String> = found.iter().filter(|l| !is_declared(l)).map(ToString::to_string).collect();
    assert!(undeclared.is_empty(), "undeclared: {undeclared:#?}");
    for port in ANYWHERE {
        assert!(found.iter().any(|listener| listener.port == *port), "nothing listens on {port}: {found:?}");
    }
}

/// By the contract. On the loopback address containerd serves the streams of exec on a port of its choice: the kubelet
/// is its only client, and nobody from outside gets there.
fn is_declared(listener: &Listener) -> bool {
    let is_tcp = listener.protocol.starts_with("tcp");
    let on_dns = listener.port == 53 && listener.address.to_string() == DNS;
    on_dns || is_tcp && (ANYWHERE.contains(&listener.port) || listener.address.is_loopback())
}
