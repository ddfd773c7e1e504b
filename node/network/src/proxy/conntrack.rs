//! UDP has no end of a connection, so a client that goes on sending stays with the backend it once got, also when that
//! backend is gone. Such entries are taken out of the kernel's table, as upstream's `pkg/proxy/conntrack` does.

use super::endpoint::{Backend, Endpoints};
use super::service::ServicePort;
use crate::nft::Protocol;
use nlink::netlink::netfilter::{ConntrackEntry, ConntrackFilter, IpProtocol};
use nlink::netlink::{Connection, Netfilter};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Where UDP packets arrive and which backends may have them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    fronts: BTreeMap<(IpAddr, u16), BTreeSet<Backend>>,
    node_ports: BTreeMap<u16, BTreeSet<Backend>>,
}

impl Expected {
    /// Adds the ports of one family. A port without backends is left alone: its packets go nowhere else.
    pub fn add(&mut self, services: &[ServicePort], endpoints: &Endpoints) {
        for service in services.iter().filter(|service| service.front.protocol == Protocol::Udp) {
            let all = endpoints.get(&service.name).into_iter().flatten();
            let serving: BTreeSet<Backend> = all.filter(|(_, e)| e.serving).map(|(backend, _)| *backend).collect();
            if serving.is_empty() {
                continue;
            }
            let addresses = service.external.iter().chain(&service.balancers).chain([&service.front.address]);
            for address in addresses {
                self.fronts.insert((*address, service.front.port), serving.clone());
            }
            if service.node_port != 0 {
                self.node_ports.insert(service.node_port, serving);
            }
        }
    }

    /// Whether a flow to `to` that is answered by `from` must go.
    #[must_use]
    pub fn is_stale(&self, to: (IpAddr, u16), from: Backend) -> bool {
        let backends = self.fronts.get(&to).or_else(|| self.node_ports.get(&to.1));
        backends.is_some_and(|backends| !backends.contains(&from))
    }
}

fn is_stale(entry: &ConntrackEntry, expected: &Expected) -> bool {
    let to = entry.orig.dst_ip.zip(entry.orig.dst_port);
    let from = entry.reply.src_ip.zip(entry.reply.src_port);
    to.zip(from).is_some_and(|(to, (address, port))| expected.is_stale(to, Backend { address, port }))
}

/// Takes the stale entries out of the kernel's table; tells how many.
///
/// # Errors
/// The kernel did not list them or did not let one go.
pub async fn clean(expected: &Expected) -> Result<usize, String> {
    let kernel = Connection::<Netfilter>::new().map_err(|e| format!("open the connection table: {e}"))?;
    let udp = ConntrackFilter::new().proto(IpProtocol::Udp);
    let entries = kernel.get_conntrack_matching(&udp).await.map_err(|e| format!("list UDP connections: {e}"))?;
    let mut gone = 0;
    for entry in entries.iter().filter(|entry| is_stale(entry, expected)) {
        match kernel.del_conntrack_entry(entry).await {
            Ok(()) => gone += 1,
            Err(e) if e.is_not_found() => (),
            Err(e) => return Err(format!("forget a UDP connection: {e}")),
        }
    }
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use super::super::endpoint::Endpoint;
    use super::super::tests::{backend, service};
    use super::*;

    #[test]
    fn a_flow_to_a_backend_that_does_not_serve_is_stale() {
        let mut udp = service();
        udp.front.protocol = Protocol::Udp;
        udp.node_port = 30053;
        let serving = Endpoint { serving: true, ..Endpoint::default() };
        let backends = [(backend(2), serving), (backend(3), Endpoint::default())].into();
        let mut expected = Expected::default();
        expected.add(&[udp.clone(), service()], &[(udp.name.clone(), backends)].into());
        let front = (udp.front.address, 80);
        let port = ("192.0.2.1".parse().unwrap(), 30053);
        let foreign = ("192.0.2.1".parse().unwrap(), 53);
        let told: Vec<bool> = [(front, 2), (front, 3), (port, 2), (port, 3), (foreign, 3)]
            .map(|(to, from)| expected.is_stale(to, backend(from)))
            .to_vec();
        assert_eq!(told, [false, true, false, true, false]);
    }

    #[test]
    fn a_port_without_backends_has_no_stale_flows() {
        let mut udp = service();
        udp.front.protocol = Protocol::Udp;
        let mut expected = Expected::default();
        expected.add(&[udp.clone()], &Endpoints::new());
        assert!(!expected.is_stale((udp.front.address, 80), backend(2)));
    }
}
