//! The link that carries the address of the cluster's DNS.
//!
//! It must not know what is served there.

use client::Boxed;
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
pub fn bind(addresses: &[IpAddr]) -> Boxed<'_, io::Result<()>> {
    Box::pin(give(addresses))
}

async fn give(addresses: &[IpAddr]) -> io::Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn output(program: &str, arguments: &[&str]) -> String {
        let done = Command::new(program).args(arguments).output().expect("the program runs");
        let said = [done.stdout, done.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(done.status.success(), "{program} {arguments:?}: {said}");
        said
    }

    /// Runs in the network namespace that the test below makes.
    #[tokio::test]
    #[ignore = "only within its own network namespace"]
    async fn within_a_namespace() {
        // A bridge stands in for the dummy link, which not every kernel that builds this has.
        output("ip", &["link", "add", LINK, "type", "bridge"]);
        let addresses = [IpAddr::from([10, 96, 0, 10]), "fd00:10:96::a".parse().expect("an address")];
        for _ in 0..2 {
            bind(&addresses).await.expect("bind");
        }
        let there = output("ip", &["-o", "address", "show", LINK]);
        for address in ["10.96.0.10/32", "fd00:10:96::a/128"] {
            assert_eq!(there.matches(address).count(), 1, "{there}");
        }
        assert!(output("ip", &["-o", "link", "show", LINK]).contains("UP"));
    }

    #[test]
    fn a_link_that_is_there_gets_each_address_once() {
        assert!(nix::unistd::geteuid().is_root(), "this test makes a network namespace and must be run by root");
        let own = std::env::current_exe().expect("our own path");
        let inner = "dns::bind::tests::within_a_namespace";
        let said = output("unshare", &["-n", own.to_str().expect("UTF-8"), "--ignored", "--exact", inner]);
        assert!(said.contains("1 passed"), "{said}");
    }
}
