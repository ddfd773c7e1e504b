//! The link that carries the address of the cluster's DNS.
//!
//! It must not know what is served there.

use futures_util::TryStreamExt;
use rtnetlink::{Handle, LinkDummy, LinkUnspec};
use std::io;
use std::net::IpAddr;

/// The dummy link's name.
pub const LINK: &str = "dns0";

/// Gives the dummy link [`LINK`] these addresses, each alone in its network, and makes it first when it is missing. May
/// be called again at any time.
///
/// # Errors
/// What was attempted and the kernel's answer.
pub async fn bind(addresses: &[IpAddr]) -> io::Result<()> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    let serving = tokio::spawn(connection);
    let done = on(&handle, addresses).await;
    serving.abort();
    done
}

async fn on(handle: &Handle, addresses: &[IpAddr]) -> io::Result<()> {
    let index = match find(handle).await? {
        Some(index) => index,
        None => {
            let added = handle.link().add(LinkDummy::new(LINK).build()).execute().await;
            added.map_err(|e| io::Error::other(format!("add the dummy link {LINK}: {e}")))?;
            find(handle).await?.ok_or_else(|| io::Error::other(format!("the dummy link {LINK} did not appear")))?
        }
    };
    let up = LinkUnspec::new_with_index(index).up().build();
    handle.link().set(up).execute().await.map_err(|e| io::Error::other(format!("set {LINK} up: {e}")))?;
    for address in addresses {
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        let added = handle.address().add(index, *address, prefix).replace().execute().await;
        added.map_err(|e| io::Error::other(format!("add {address}/{prefix} to {LINK}: {e}")))?;
    }
    Ok(())
}

async fn find(handle: &Handle) -> io::Result<Option<u32>> {
    match handle.link().get().match_name(LINK.to_owned()).execute().try_next().await {
        Ok(link) => Ok(link.map(|link| link.header.index)),
        Err(rtnetlink::Error::NetlinkError(said)) if said.raw_code() == -nix::libc::ENODEV => Ok(None),
        Err(error) => Err(io::Error::other(format!("look for the link {LINK}: {error}"))),
    }
}
