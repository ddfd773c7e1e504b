//! What the machine needs before pods can talk: the bridge, forwarding, and the mask of what pods send outside.
//!
//! Bridged packets need no filtering (br_netfilter): pods reach each other through the gateway, never directly, so
//! every packet passes the machine's own routing, and the tests turn that module's hooks off.

use crate::cidr::Cidr;
use crate::links::Links;
use crate::nft::{Family, Hook, Kernel, Part, Rule, Ruleset, Tables, plan};
use client::Boxed;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};

/// The table of the pod network, one in each family.
pub const TABLE: &str = "skerry-pods";

/// The machine's share of the pod network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// The bridge's name.
    pub bridge: String,
    /// This node's ranges, at most one of each family; the gateway is the first address.
    pub ranges: Vec<Cidr>,
    /// Ranges that know the way back to pods: the cluster's pods, and the network between the nodes. Packets to
    /// anywhere else get the machine's address.
    pub known: Vec<Cidr>,
    /// Ranges of cluster addresses. They are routed to the bridge, so that the machine reaches Services without a
    /// route to anywhere else, and as a member of the pod network.
    pub services: Vec<Cidr>,
}

/// The gateway of a range with the range's prefix: its first address.
#[must_use]
pub fn gateway(range: Cidr) -> Cidr {
    Cidr { address: range.nth(1).unwrap_or(range.address), prefix: range.prefix }
}

/// Kernel settings, by their path under `/proc/sys/net`.
fn settings(setup: &Setup) -> Vec<(String, &'static str)> {
    let bridge = &setup.bridge;
    let mut all = vec![
        ("ipv4/ip_forward".to_owned(), "1"),
        // Packets between pods go out by the link that they came in by; telling pods of a shorter way breaks Services.
        ("ipv4/conf/all/send_redirects".to_owned(), "0"),
        (format!("ipv4/conf/{bridge}/send_redirects"), "0"),
        // Lets node ports answer on 127.0.0.1. The first chain keeps that address from everyone else.
        (format!("ipv4/conf/{bridge}/route_localnet"), "1"),
    ];
    if setup.ranges.iter().any(|range| Family::of(range.address) == Family::V6) {
        all.push(("ipv6/conf/all/forwarding".to_owned(), "1"));
    }
    all
}

/// Does all of it; what is there already stays.
///
/// # Errors
/// What was attempted and what the kernel refused.
pub fn apply(setup: &Setup) -> Boxed<'_, Result<(), String>> {
    Box::pin(make(setup))
}

async fn make(setup: &Setup) -> Result<(), String> {
    let links = Links::connect()?;
    let gateways: Vec<Cidr> = setup.ranges.iter().map(|range| gateway(*range)).collect();
    let bridge = links.bridge(&setup.bridge, 0, &gateways).await?;
    // The guard of 127.0.0.0/8 stands before the door is opened.
    let mut kernel = Kernel::open()?;
    for rules in [Family::V4, Family::V6].map(|of| rules(of, setup)) {
        kernel.commit(&rules, &plan(None, &rules).ops).await?;
    }
    for (path, value) in settings(setup) {
        let path = format!("/proc/sys/net/{path}");
        fs::write(&path, value).map_err(|e| format!("set {path} to {value}: {e}"))?;
    }
    for range in &setup.services {
        let has_family = setup.ranges.iter().any(|own| own.address.is_ipv4() == range.address.is_ipv4());
        if has_family {
            links.route_link(&bridge, *range).await?;
        }
    }
    Ok(())
}

/// The table of one family.
#[must_use]
pub fn rules(of: Family, setup: &Setup) -> Ruleset {
    let mut rules = Ruleset::new(of, TABLE);
    let ours = |range: &&Cidr| Family::of(range.address) == of;
    if of == Family::V4 {
        let loopback = Cidr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8);
        let guard = vec![Part::NotIn("lo".to_owned()), Part::To(loopback), Part::Drop];
        rules.base("loopback", Hook::RawPrerouting, vec![guard]);
    }
    let group = if of == Family::V4 { "224.0.0.0/4" } else { "ff00::/8" };
    let group: Cidr = group.parse().expect("a range written above");
    let outside: Vec<Part> = setup.known.iter().filter(ours).chain([&group]).map(|range| Part::NotTo(*range)).collect();
    let mask = |range: &Cidr| -> Rule { [&[Part::From(*range)], &outside[..], &[Part::Masquerade]].concat() };
    let masks = setup.ranges.iter().filter(ours).map(mask).collect();
    rules.base("nat-postrouting", Hook::NatPostrouting, masks);
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_leaves_the_cluster_is_masked() {
        let cidr = |text: &str| text.parse::<Cidr>().unwrap();
        let setup = Setup {
            bridge: "cni0".to_owned(),
            ranges: vec![cidr("10.244.0.0/24")],
            known: vec![cidr("10.244.0.0/16"), cidr("10.250.0.0/24"), cidr("fd00:10:244::/56")],
            services: vec![cidr("10.96.0.0/16")],
        };
        let rules = rules(Family::V4, &setup);
        assert_eq!(
            rules.chains["nat-postrouting"].rules,
            [vec![
                Part::From(cidr("10.244.0.0/24")),
                Part::NotTo(cidr("10.244.0.0/16")),
                Part::NotTo(cidr("10.250.0.0/24")),
                Part::NotTo(cidr("224.0.0.0/4")),
                Part::Masquerade
            ]]
        );
        assert_eq!(gateway(setup.ranges[0]), cidr("10.244.0.1/24"));
    }
}
