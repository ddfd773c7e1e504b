//! Links, addresses and routes by rtnetlink.

use super::Outer;
use futures_util::TryStreamExt;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::LinkAttribute;
use rtnetlink::{Handle, LinkDummy, LinkUnspec, RouteMessageBuilder};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

/// A link as far as we need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its hardware address; zeros when it has none.
    pub mac: [u8; 6],
    /// Whether a network card (real or virtual) is behind it, rather than only the kernel.
    pub is_card: bool,
}

/// A connection to the kernel's routing tables. Cheap to clone.
#[derive(Clone)]
pub struct Links {
    handle: Handle,
}

fn said(attempt: impl std::fmt::Display) -> impl FnOnce(rtnetlink::Error) -> io::Error {
    move |e| io::Error::other(format!("{attempt}: {e}"))
}

impl Links {
    /// Connects; the connection is served by a task of this thread.
    pub fn connect() -> io::Result<Links> {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        Ok(Links { handle })
    }

    /// All links, in the order in which the kernel found them.
    pub async fn list(&self) -> io::Result<Vec<Link>> {
        let messages: Vec<_> = self.handle.link().get().execute().try_collect().await.map_err(said("list links"))?;
        let mut links: Vec<Link> = messages
            .iter()
            .map(|message| {
                let mut link = Link { index: message.header.index, name: String::new(), mac: [0; 6], is_card: false };
                for attribute in &message.attributes {
                    match attribute {
                        LinkAttribute::IfName(name) => link.name.clone_from(name),
                        LinkAttribute::Address(mac) => link.mac = mac.as_slice().try_into().unwrap_or_default(),
                        _ => {}
                    }
                }
                link.is_card = Path::new("/sys/class/net").join(&link.name).join("device").exists();
                link
            })
            .collect();
        links.sort_by_key(|link| link.index);
        Ok(links)
    }

    /// The link called `name`.
    pub async fn find(&self, name: &str) -> io::Result<Option<Link>> {
        Ok(self.list().await?.into_iter().find(|link| link.name == name))
    }

    /// Makes a dummy link; one that is there already will do.
    pub async fn add_dummy(&self, name: &str) -> io::Result<Link> {
        if let Some(link) = self.find(name).await? {
            return Ok(link);
        }
        let attempt = format!("add the dummy link {name}");
        self.handle.link().add(LinkDummy::new(name).build()).execute().await.map_err(said(&attempt))?;
        self.find(name).await?.ok_or_else(|| io::Error::other(format!("{attempt}: it did not appear")))
    }

    /// Gives a link that is down another name.
    pub async fn rename(&self, link: &Link, name: &str) -> io::Result<Link> {
        let message = LinkUnspec::new_with_index(link.index).name(name.to_owned()).build();
        let attempt = format!("rename {} to {name}", link.name);
        self.handle.link().set(message).execute().await.map_err(said(attempt))?;
        Ok(Link { name: name.to_owned(), ..link.clone() })
    }

    /// Sets a link up.
    pub async fn up(&self, link: &Link) -> io::Result<()> {
        let message = LinkUnspec::new_with_index(link.index).up().build();
        self.handle.link().set(message).execute().await.map_err(said(format!("set {} up", link.name)))
    }

    /// Gives a link an address, if it does not have it.
    pub async fn add_address(&self, link: &Link, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
        let request = self.handle.address().add(link.index, IpAddr::V4(address), prefix).replace();
        request.execute().await.map_err(said(format!("add {address}/{prefix} to {}", link.name)))
    }

    /// Takes every IPv4 address but `keep` from a link.
    pub async fn drop_addresses_but(&self, link: &Link, keep: Option<Ipv4Addr>) -> io::Result<()> {
        let asked = self.handle.address().get().set_link_index_filter(link.index).execute();
        let all: Vec<_> = asked.try_collect().await.map_err(said(format!("list the addresses of {}", link.name)))?;
        for message in all {
            let own = message.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Address(IpAddr::V4(address)) => Some(*address),
                _ => None,
            });
            if message.header.family == AddressFamily::Inet && own.is_some() && own != keep {
                let attempt = format!("take an address from {}", link.name);
                self.handle.address().del(message).execute().await.map_err(said(attempt))?;
            }
        }
        Ok(())
    }

    /// Makes `gateway` the way to everywhere else.
    pub async fn set_default_route(&self, link: &Link, gateway: Ipv4Addr) -> io::Result<()> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway).output_interface(link.index).build();
        let request = self.handle.route().add(route).replace();
        request.execute().await.map_err(said(format!("route everything by {gateway} on {}", link.name)))
    }

    /// Gives the outer link exactly these settings.
    pub async fn configure(&self, link: &Link, outer: &Outer) -> io::Result<()> {
        self.add_address(link, outer.address, outer.prefix).await?;
        self.drop_addresses_but(link, Some(outer.address)).await?;
        match outer.gateway {
            Some(gateway) => self.set_default_route(link, gateway).await,
            None => Ok(()),
        }
    }
}
