//! Docker's part of the network: its bridge and its way out, made before dockerd wakes.
//!
//! dockerd runs with `--iptables=false`, so that two programs never write one ruleset. What it would write is here: the
//! link `docker0`, which it adopts, and masquerade for what leaves the machine from `docker0` and from the networks that
//! users make (`br-*`, Docker's naming). Forwarding needs no rule: no chain of this machine refuses it by default.
//!
//! Own nftables table; it must not know Services, pods or dockerd's state.

use client::Boxed;
use futures_util::TryStreamExt;
use nlink::netlink::nftables::{BaseChain, Chain, Family, NatHook, Priority, Rule};
use nlink::netlink::{Connection, Nftables};
use rtnetlink::{Handle, LinkBridge, LinkUnspec};
use std::io;
use std::net::{IpAddr, Ipv4Addr};

/// Docker's bridge.
pub const BRIDGE: &str = "docker0";
/// How the bridges of networks that users make begin.
pub const BRIDGES: &str = "br-";
/// The address of `docker0`: Docker's own default.
pub const ADDRESS: (Ipv4Addr, u8) = (Ipv4Addr::new(172, 17, 0, 1), 16);
/// The table with Docker's rules.
pub const TABLE: &str = "skerry-docker";
const CHAIN: &str = "postrouting";

/// Makes the bridge and the table as they must be. May be called again at any time.
///
/// # Errors
/// What was attempted and the kernel's answer.
pub fn set_up() -> Boxed<'static, io::Result<()>> {
    Box::pin(make())
}

async fn make() -> io::Result<()> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    let serving = tokio::spawn(connection);
    let done = bridge(&handle).await;
    serving.abort();
    done?;
    masquerade().await
}

fn said(attempt: &str) -> impl FnOnce(rtnetlink::Error) -> io::Error {
    move |e| io::Error::other(format!("{attempt}: {e}"))
}

async fn bridge(handle: &Handle) -> io::Result<()> {
    let index = match find(handle).await? {
        Some(index) => index,
        None => {
            let added = handle.link().add(LinkBridge::new(BRIDGE).build()).execute().await;
            added.map_err(said("add the bridge docker0"))?;
            find(handle).await?.ok_or_else(|| io::Error::other("the bridge docker0 did not appear"))?
        }
    };
    let (address, prefix) = ADDRESS;
    let added = handle.address().add(index, IpAddr::V4(address), prefix).replace().execute().await;
    added.map_err(said("give docker0 its address"))?;
    let up = LinkUnspec::new_with_index(index).up().build();
    handle.link().set(up).execute().await.map_err(said("set docker0 up"))
}

async fn find(handle: &Handle) -> io::Result<Option<u32>> {
    match handle.link().get().match_name(BRIDGE.to_owned()).execute().try_next().await {
        Ok(link) => Ok(link.map(|link| link.header.index)),
        Err(rtnetlink::Error::NetlinkError(said)) if said.raw_code() == -nix::libc::ENODEV => Ok(None),
        Err(error) => Err(io::Error::other(format!("look for the link {BRIDGE}: {error}"))),
    }
}

/// What leaves a bridge for anywhere but a bridge of its kind takes the machine's address.
fn rules() -> [Rule; 4] {
    let rule = || Rule::new(TABLE, CHAIN).family(Family::Ip);
    [
        rule().match_iif(BRIDGE).match_oif(BRIDGE).accept(),
        rule().match_iif_prefix(BRIDGES).match_oif_prefix(BRIDGES).accept(),
        rule().match_iif(BRIDGE).masquerade(),
        rule().match_iif_prefix(BRIDGES).masquerade(),
    ]
}

/// One transaction takes the old table away and puts the new one there, so it is never half there and never twice.
async fn masquerade() -> io::Result<()> {
    let said = |e: nlink::Error| io::Error::other(format!("write the nftables table {TABLE}: {e}"));
    let kernel = Connection::<Nftables>::new().map_err(said)?;
    let chain = Chain::new(TABLE, CHAIN).map_err(said)?;
    let chain = chain.family(Family::Ip).base(BaseChain::nat(NatHook::Postrouting, Priority::SrcNat));
    let there = kernel.list_tables_in(Family::Ip).await.map_err(said)?;
    let mut all = kernel.transaction();
    if there.iter().any(|table| table.name == TABLE) {
        all = all.del_table(TABLE, Family::Ip);
    }
    all = all.add_table(TABLE, Family::Ip).add_chain(chain);
    for rule in rules() {
        all = all.add_rule(rule);
    }
    all.commit(&kernel).await.map_err(said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn output(program: &str, arguments: &[&str]) -> String {
        let done = Command::new(program).args(arguments).output().expect("the program runs");
        assert!(
            done.status.success(),
            "{program} {arguments:?}: {}{}",
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        );
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// Runs in the network namespace that the test below makes.
    #[tokio::test]
    #[ignore = "only within its own network namespace"]
    async fn within_a_namespace() {
        set_up().await.expect("set up");
        let first = output("nft", &["list", "ruleset"]);
        set_up().await.expect("set up again");
        assert_eq!(output("nft", &["list", "ruleset"]), first, "twice is once");
        for line in [
            "iifname \"docker0\" oifname \"docker0\" accept",
            "iifname \"br-*\" oifname \"br-*\" accept",
            "iifname \"docker0\" masquerade",
            "iifname \"br-*\" masquerade",
        ] {
            assert_eq!(first.matches(line).count(), 1, "{line} in {first}");
        }
        let addresses = output("ip", &["-4", "-o", "address", "show", "docker0"]);
        assert_eq!(addresses.matches("172.17.0.1/16").count(), 1, "{addresses}");
        assert!(output("ip", &["-o", "link", "show", "docker0"]).contains("UP"));
    }

    #[test]
    fn links_and_rules_are_made_once_however_often_they_are_asked_for() {
        assert!(nix::unistd::geteuid().is_root(), "this test makes a network namespace and must be run by root");
        let own = std::env::current_exe().expect("our own path");
        let own = own.to_str().expect("a path in UTF-8");
        let inner = "docker::tests::within_a_namespace";
        let said = output("unshare", &["-n", own, "--ignored", "--exact", inner]);
        assert!(said.contains("1 passed"), "{said}");
    }
}
