//! What a name asks for, by its labels alone: version 1.1.0 of the cluster's DNS schema, as CoreDNS's `parseRequest`.
//!
//! It must not know what exists.

use hickory_proto::rr::Name;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The part of a Service that a name asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    /// The Service itself.
    Whole,
    /// One endpoint, by its label.
    Endpoint(String),
    /// One port: `_port._protocol`.
    Port {
        /// Without its underscore.
        port: String,
        /// Without its underscore.
        protocol: String,
    },
}

/// Where in the cluster's tree a name is.
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    /// Not in the tree.
    Foreign,
    /// The domain itself.
    Apex,
    /// `svc` or `pod`: they exist and hold nothing.
    Branch,
    /// `dns-version`.
    Version,
    /// `ns.dns`.
    NameServer,
    /// A namespace below `svc` or `pod`.
    Namespace(String),
    /// A Service or a part of it.
    Service {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// What of it.
        part: Part,
    },
    /// The name of a pod's address.
    Pod {
        /// The namespace.
        namespace: String,
        /// What the label says.
        address: IpAddr,
    },
    /// In the tree, where nothing can be.
    Nowhere,
    /// An address that wants its name.
    Reverse(IpAddr),
}

/// Reads a name.
#[must_use]
pub fn place(name: &Name, zone: &Name) -> Place {
    if let Some(address) = reverse(name) {
        return Place::Reverse(address);
    }
    if !zone.zone_of(name) {
        return Place::Foreign;
    }
    let above = usize::from(name.num_labels() - zone.num_labels());
    let mut labels = Vec::with_capacity(above);
    for label in name.iter().take(above) {
        let Ok(text) = std::str::from_utf8(label) else { return Place::Nowhere };
        labels.push(text.to_ascii_lowercase());
    }
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    match labels.as_slice() {
        [] => Place::Apex,
        ["svc" | "pod"] => Place::Branch,
        ["dns-version"] => Place::Version,
        ["ns", "dns"] => Place::NameServer,
        [namespace, "svc" | "pod"] => Place::Namespace((*namespace).to_owned()),
        [label, namespace, "pod"] => match undashed(label) {
            Some(address) => Place::Pod { namespace: (*namespace).to_owned(), address },
            None => Place::Nowhere,
        },
        [rest @ .., name, namespace, "svc"] => match part(rest) {
            Some(part) => Place::Service { namespace: (*namespace).to_owned(), name: (*name).to_owned(), part },
            None => Place::Nowhere,
        },
        _ => Place::Nowhere,
    }
}

fn part(labels: &[&str]) -> Option<Part> {
    let bare = |label: &str| label.strip_prefix('_').unwrap_or(label).to_owned();
    match labels {
        [] => Some(Part::Whole),
        [label] => Some(Part::Endpoint((*label).to_owned())),
        [port, protocol] => Some(Part::Port { port: bare(port), protocol: bare(protocol) }),
        _ => None,
    }
}

/// The address that a pod's label says: four numbers with dashes, or an IPv6 address with dashes for colons.
fn undashed(label: &str) -> Option<IpAddr> {
    if label.matches('-').count() == 3 && !label.contains("--") {
        return label.replace('-', ".").parse::<Ipv4Addr>().ok().map(IpAddr::V4);
    }
    label.replace('-', ":").parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}

/// The address that a whole name below `in-addr.arpa` or `ip6.arpa` says.
fn reverse(name: &Name) -> Option<IpAddr> {
    let labels: Vec<&str> = name.iter().map(std::str::from_utf8).collect::<Result<_, _>>().ok()?;
    let (tree, rest) = (labels.last()?, &labels[..labels.len() - 1]);
    if !tree.eq_ignore_ascii_case("arpa") {
        return None;
    }
    let (family, digits) = rest.split_last()?;
    if family.eq_ignore_ascii_case("in-addr") && digits.len() == 4 {
        let mut bytes = [0u8; 4];
        for (byte, digit) in bytes.iter_mut().rev().zip(digits) {
            *byte = digit.parse().ok()?;
        }
        return Some(IpAddr::from(bytes));
    }
    if family.eq_ignore_ascii_case("ip6") && digits.len() == 32 {
        let mut value = 0u128;
        for digit in digits.iter().rev() {
            let nibble = u128::from_str_radix(digit, 16).ok().filter(|_| digit.len() == 1)?;
            value = value << 4 | nibble;
        }
        return Some(IpAddr::from(value.to_be_bytes()));
    }
    None
}
