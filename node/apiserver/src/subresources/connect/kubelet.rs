//! Where a node's kubelet is, as the Node says: `k8s.io/kubernetes/pkg/kubelet/client`.

use crate::outgoing::{Security, Target};
use crate::server::Server;
use api::status::GroupName;
use api::{Status, Tree};

/// The port of a kubelet that names none.
const PORT: u16 = 10250;
/// Kinds of addresses, the one to be taken first; kubeadm's order.
const ADDRESSES: [&str; 3] = ["InternalIP", "ExternalIP", "Hostname"];

/// The kubelet of a node.
///
/// # Errors
/// 404 without such a node, 500 when the node says no address.
pub fn of(server: &Server, node: &str) -> Result<Target, Status> {
    let nodes = server.resource("", "v1", "nodes")?;
    let found = server.object(&nodes, "", node)?;
    let found = found.ok_or_else(|| Status::not_found(&GroupName::new("", "nodes"), node))?;
    target(&found)
}

/// The kubelet that a Node tells of.
///
/// # Errors
/// 500 when it says no address.
pub fn target(node: &Tree) -> Result<Target, Status> {
    let addresses = node.list_at(&["status", "addresses"]);
    let of_kind = |kind: &&str| addresses.iter().find(|a| a.str_at(&["type"]) == Some(*kind));
    let host = ADDRESSES.iter().find_map(of_kind).and_then(|a| a.str_at(&["address"])).ok_or_else(|| {
        let known: Vec<&str> = addresses.iter().filter_map(|a| a.str_at(&["type"])).collect();
        Status::new(500, "", format!("no preferred addresses found; known addresses: [{}]", known.join(" ")))
    })?;
    let port = node.int_at(&["status", "daemonEndpoints", "kubeletEndpoint", "Port"]);
    let port = port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0).unwrap_or(PORT);
    Ok(Target { host: host.to_owned(), port, security: Security::Kubelet })
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn the_internal_address_and_the_own_port_are_taken() {
        let node = tree!({"status": {
            "addresses": [{"type": "Hostname", "address": "a"}, {"type": "InternalIP", "address": "10.250.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10999}}
        }});
        let wants = Target { host: "10.250.0.1".to_owned(), port: 10999, security: Security::Kubelet };
        assert_eq!(target(&node), Ok(wants));
        let bare = tree!({"status": {"addresses": [{"type": "Hostname", "address": "a"}]}});
        assert_eq!(target(&bare).unwrap().authority(), "a:10250");
        assert_eq!(target(&tree!({"status": {}})).unwrap_err().code, 500);
    }
}
