//! The machine's network: fixed addresses of the cluster, the outer link, and who answers names. Pure vocabulary
//! here; `links` talks to the kernel, `dhcp` to the outer network.

pub mod dhcp;
pub mod lease;
pub mod links;
pub mod packet;
pub mod resolver;

use std::net::Ipv4Addr;

/// The link that carries the node's own address.
pub const CLUSTER_LINK: &str = "cluster0";
/// Nodes 1 to 254 share this network.
pub const CLUSTER_PREFIX: u8 = 24;

/// The fixed address of node `index`, 1 to 254.
pub fn node_address(index: u32) -> Ipv4Addr {
    let index = u8::try_from(index).expect("the key's bounds are 1 to 254");
    Ipv4Addr::new(10, 250, 0, index)
}

/// What the outer link was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outer {
    /// The machine's address there.
    pub address: Ipv4Addr,
    /// The length of the network's prefix.
    pub prefix: u8,
    /// The way to everywhere else.
    pub gateway: Option<Ipv4Addr>,
    /// Who answers names.
    pub dns: Vec<Ipv4Addr>,
    /// The domain that short names are in.
    pub domain: Option<String>,
}

/// What QEMU's user network always is (`-netdev user` without options): used when nobody answers DHCP.
pub fn fallback() -> Outer {
    Outer {
        address: Ipv4Addr::new(10, 0, 2, 15),
        prefix: 24,
        gateway: Some(Ipv4Addr::new(10, 0, 2, 2)),
        dns: vec![Ipv4Addr::new(10, 0, 2, 3)],
        domain: None,
    }
}

/// The network as far as it is up. Others may ask for it.
#[derive(Clone, Default)]
pub struct Network {
    /// The outer link's settings, once it has some.
    pub outer: std::rc::Rc<std::cell::RefCell<Option<(String, Outer)>>>,
}
