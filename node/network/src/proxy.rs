//! The service proxy: Services and EndpointSlices become one nftables table in each address family. Behaviour as
//! upstream's kube-proxy in nftables mode.
//!
//! It must not know pods, nor how the machine got its addresses.

pub mod conntrack;
pub mod endpoint;
mod health;
pub mod rules;
mod run;
pub mod service;
pub mod topology;

pub use run::{COALESCE, Config, RETRY, SWEEP_AFTER, run};

use crate::cidr::Cidr;
use std::net::IpAddr;

/// The cluster's ranges and this node's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Ranges that all pods of the cluster are in, at most one of each family.
    pub pods: Vec<Cidr>,
    /// Ranges of cluster addresses, at most one of each family.
    pub services: Vec<Cidr>,
    /// This node's internal address.
    pub node: IpAddr,
}

#[cfg(test)]
mod tests {
    use super::endpoint::Backend;
    use super::service::{PortName, ServicePort};
    use crate::nft::{Front, Protocol};
    use std::net::Ipv4Addr;

    /// The backend 10.244.0.`n`, port 8080.
    pub fn backend(n: u8) -> Backend {
        Backend { address: Ipv4Addr::new(10, 244, 0, n).into(), port: 8080 }
    }

    /// `shop/web`, 10.96.0.7:80, with nothing special.
    pub fn service() -> ServicePort {
        let name = PortName {
            namespace: "shop".to_owned(),
            service: "web".to_owned(),
            port: String::new(),
            protocol: Protocol::Tcp,
        };
        let front = Front { address: Ipv4Addr::new(10, 96, 0, 7).into(), port: 80, protocol: Protocol::Tcp };
        ServicePort {
            name,
            front,
            node_port: 0,
            external: Vec::new(),
            balancers: Vec::new(),
            sources: Vec::new(),
            affinity: None,
            external_local: false,
            internal_local: false,
            health_port: 0,
        }
    }
}
