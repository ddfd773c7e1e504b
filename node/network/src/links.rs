//! Links, addresses and routes, in the network namespace that the connection was opened in.
//!
//! It must not know pods.

use crate::cidr::Cidr;
use futures_util::TryStreamExt;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags};
use rtnetlink::packet_route::link::{InfoData, InfoVeth, LinkAttribute};
use rtnetlink::packet_route::route::RouteScope;
use rtnetlink::{Handle, LinkBridge, LinkUnspec, LinkVeth, RouteMessageBuilder};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

/// A link as far as we need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub index: u32,
    /// Its hardware address.
    pub mac: Vec<u8>,
    /// Bytes of its largest packet.
    pub mtu: u32,
}

/// One end of a pair of links, and the address that it gets.
pub struct End<'a> {
    /// The link's name.
    pub name: &'a str,
    /// Its hardware address.
    pub mac: [u8; 6],
}

/// The connection to the kernel. Cheap to clone.
#[derive(Clone)]
pub struct Links {
    handle: Handle,
}

const ENODEV: i32 = 19;
const ESRCH: i32 = 3;

fn code(error: &rtnetlink::Error) -> i32 {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.raw_code().abs(),
        _ => 0,
    }
}

fn said(attempt: impl std::fmt::Display) -> impl FnOnce(rtnetlink::Error) -> String {
    move |error| match &error {
        rtnetlink::Error::NetlinkError(message) => format!("{attempt}: {}", message.to_io()),
        _ => format!("{attempt}: {error}"),
    }
}

/// The hardware address that belongs to an address: stable, so that neighbours need not learn it anew when an address
/// comes back. The prefix is the one that Kubernetes' plugins use, in the range for local use.
#[must_use]
pub fn mac_of(address: IpAddr) -> [u8; 6] {
    let last: [u8; 4] = match address {
        IpAddr::V4(four) => four.octets(),
        IpAddr::V6(six) => {
            let all = six.octets();
            [all[12], all[13], all[14], all[15]]
        }
    };
    [0x0a, 0x58, last[0], last[1], last[2], last[3]]
}

/// A hardware address as text.
#[must_use]
pub fn mac_text(mac: &[u8]) -> String {
    mac.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

impl Links {
    /// Connects; the connection is served by a task of this runtime.
    ///
    /// # Errors
    /// No netlink.
    pub fn connect() -> Result<Links, String> {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(|e| format!("open a netlink socket for links: {e}"))?;
        tokio::spawn(connection);
        Ok(Links { handle })
    }

    /// The link called `name`, if there is one.
    ///
    /// # Errors
    /// The kernel did not answer.
    pub async fn find(&self, name: &str) -> Result<Option<Link>, String> {
        let mut asked = std::pin::pin!(self.handle.link().get().match_name(name).execute());
        let message = match asked.try_next().await {
            Ok(Some(message)) => message,
            Ok(None) => return Ok(None),
            Err(error) if code(&error) == ENODEV => return Ok(None),
            Err(error) => return Err(said(format!("look for the link {name}"))(error)),
        };
        let mut link = Link { index: message.header.index, mac: Vec::new(), mtu: 0 };
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::Address(mac) => link.mac = mac.clone(),
                LinkAttribute::Mtu(mtu) => link.mtu = mtu,
                _ => (),
            }
        }
        Ok(Some(link))
    }

    async fn there(&self, name: &str) -> Result<Link, String> {
        self.find(name).await?.ok_or_else(|| format!("the link {name} did not appear"))
    }

    /// A bridge that is up and has these addresses. `mtu` 0 keeps the kernel's.
    ///
    /// # Errors
    /// What the kernel refused.
    pub async fn bridge(&self, name: &str, mtu: u32, addresses: &[Cidr]) -> Result<Link, String> {
        let link = match self.find(name).await? {
            Some(link) => link,
            None => {
                let mac = addresses.first().map(|own| mac_of(own.address).to_vec());
                let mut bridge = LinkBridge::new(name).up();
                if let Some(mac) = mac {
                    bridge = bridge.address(mac);
                }
                if mtu != 0 {
                    bridge = bridge.mtu(mtu);
                }
                let added = self.handle.link().add(bridge.build()).execute().await;
                added.map_err(said(format!("add the bridge {name}")))?;
                self.there(name).await?
            }
        };
        for address in addresses {
            self.address(&link, name, *address, AddressFlags::Nodad).await?;
        }
        Ok(link)
    }

    /// Gives a link an address, if it does not have it.
    async fn address(&self, link: &Link, name: &str, own: Cidr, flags: AddressFlags) -> Result<(), String> {
        let mut request = self.handle.address().add(link.index, own.address, own.prefix).replace();
        request.message_mut().attributes.push(AddressAttribute::Flags(flags));
        request.execute().await.map_err(said(format!("add {own} to {name}")))
    }

    /// A pair of links: `host` here, on a bridge; `peer` in another network namespace.
    ///
    /// # Errors
    /// What the kernel refused.
    pub async fn pair(&self, host: &End<'_>, peer: &End<'_>, netns: BorrowedFd<'_>, on: &Link) -> Result<(), String> {
        let mut other = LinkUnspec::new_with_name(peer.name).address(peer.mac.to_vec()).setns_by_fd(netns.as_raw_fd());
        let mut own = LinkVeth::new(host.name, peer.name).address(host.mac.to_vec()).controller(on.index);
        if on.mtu != 0 {
            (own, other) = (own.mtu(on.mtu), other.mtu(on.mtu));
        }
        let own = own.set_info_data(InfoData::Veth(InfoVeth::Peer(other.build()))).up();
        let added = self.handle.link().add(own.build()).execute().await;
        added.map_err(said(format!("add the pair of links {} and {}", host.name, peer.name)))
    }

    /// Sets a link up.
    ///
    /// # Errors
    /// What the kernel refused.
    pub async fn up(&self, name: &str) -> Result<Link, String> {
        let link = self.there(name).await?;
        let message = LinkUnspec::new_with_index(link.index).up().build();
        self.handle.link().set(message).execute().await.map_err(said(format!("set {name} up")))?;
        Ok(link)
    }

    /// Gives a pod's link its address and the way out. The pod has no direct way to its neighbours: everything goes
    /// through the gateway, where Services are translated in both directions. With a direct way, the answer of a
    /// neighbour would come back untranslated, unless the kernel filtered bridged packets (br_netfilter).
    ///
    /// # Errors
    /// What the kernel refused.
    pub async fn pod_address(&self, link: &Link, name: &str, own: Cidr, gateway: IpAddr) -> Result<(), String> {
        self.address(link, name, own, AddressFlags::Noprefixroute | AddressFlags::Nodad).await?;
        self.route_link(link, Cidr::new(gateway, 128)).await?;
        let attempt = format!("route everything by {gateway} on {name}");
        let route = match gateway {
            IpAddr::V4(gateway) => {
                RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway).output_interface(link.index).build()
            }
            IpAddr::V6(gateway) => {
                RouteMessageBuilder::<Ipv6Addr>::new().gateway(gateway).output_interface(link.index).build()
            }
        };
        self.handle.route().add(route).replace().execute().await.map_err(said(attempt))
    }

    /// Routes a range directly to a link.
    ///
    /// # Errors
    /// What the kernel refused.
    pub async fn route_link(&self, link: &Link, range: Cidr) -> Result<(), String> {
        let attempt = format!("route {range} to link {}", link.index);
        let route = match range.network() {
            IpAddr::V4(network) => RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(network, range.prefix)
                .output_interface(link.index)
                .scope(RouteScope::Link)
                .build(),
            IpAddr::V6(network) => RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix(network, range.prefix)
                .output_interface(link.index)
                .build(),
        };
        self.handle.route().add(route).replace().execute().await.map_err(said(attempt))
    }

    /// Removes a link; one that is gone is fine.
    ///
    /// # Errors
    /// What the kernel refused.
    pub async fn remove(&self, name: &str) -> Result<(), String> {
        let Some(link) = self.find(name).await? else { return Ok(()) };
        match self.handle.link().del(link.index).execute().await {
            Err(error) if matches!(code(&error), ENODEV | ESRCH) => Ok(()),
            other => other.map_err(said(format!("remove the link {name}"))),
        }
    }

    /// The addresses of a link.
    ///
    /// # Errors
    /// The kernel did not answer.
    pub async fn addresses(&self, link: &Link) -> Result<Vec<IpAddr>, String> {
        let asked = self.handle.address().get().set_link_index_filter(link.index).execute();
        let all: Vec<_> = asked.try_collect().await.map_err(said("list addresses"))?;
        let own = all.iter().flat_map(|message| &message.attributes).filter_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        });
        Ok(own.collect())
    }
}
