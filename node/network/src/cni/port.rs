//! Host ports: one table of maps, so that a pod's ports come and go as elements.
//!
//! It must not know the Services' rules; where both want a port, the scheduler and the API server have erred.

use super::config::PortMapping;
use super::lease::Lease;
use crate::cidr::Cidr;
use crate::nft::{Data, Family, Field, Hook, Kernel, Key, Op, Part, Protocol, Ruleset, Tables, Type, Value, plan};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

/// The table, one in each family.
pub const TABLE: &str = "skerry-hostports";

const ANYWHERE: &str = "ports";
const SOMEWHERE: &str = "addressed-ports";
const HAIRPIN: &str = "hairpin";
const LAST_CHAIN: &str = "nat-postrouting";

/// The table without any port.
fn frame(of: Family) -> Ruleset {
    let mut rules = Ruleset::new(of, TABLE);
    let target = [Type::Address, Type::Port];
    rules.set(ANYWHERE, &[Type::Protocol, Type::Port], Some(&target));
    rules.set(SOMEWHERE, &[Type::Address, Type::Protocol, Type::Port], Some(&target));
    rules.set(HAIRPIN, &[Type::Address, Type::Address, Type::Protocol, Type::Port], None);
    let (protocol, port) = (Field::Protocol, Field::Port);
    rules.chain(
        "host-ports",
        vec![
            vec![Part::ToLocal, Part::DnatByMap(vec![Field::Destination, protocol, port], SOMEWHERE.to_owned())],
            vec![Part::ToLocal, Part::DnatByMap(vec![protocol, port], ANYWHERE.to_owned())],
        ],
    );
    let jump = || vec![vec![Part::Jump("host-ports".to_owned())]];
    rules.base("nat-prerouting", Hook::NatPrerouting, jump());
    rules.base("nat-output", Hook::NatOutput, jump());
    let hairpin = Part::Lookup(vec![Field::Source, Field::Destination, protocol, port], HAIRPIN.to_owned());
    let mut masks = vec![vec![Part::Rewritten, hairpin, Part::Masquerade]];
    if of == Family::V4 {
        // A pod could not answer 127.0.0.1.
        let loopback = Cidr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8);
        masks.push(vec![Part::Rewritten, Part::From(loopback), Part::NotOut("lo".to_owned()), Part::Masquerade]);
    }
    rules.base(LAST_CHAIN, Hook::NatPostrouting, masks);
    rules
}

/// The elements of a pod's ports in one family, by set. A port on an address of the other family is not for it.
fn elements(of: Family, lease: &Lease) -> BTreeMap<&'static str, Vec<(Key, Data)>> {
    let mut all = BTreeMap::<_, Vec<_>>::new();
    let Some(own) = lease.addresses.iter().find(|own| Family::of(own.address) == of) else { return all };
    for port in &lease.ports {
        let (Some(protocol), Ok(on)) = (Protocol::named(&port.protocol), host_address(port)) else { continue };
        let from = [Value::Protocol(protocol), Value::Port(port.host_port)];
        let (address, inside) = (Value::Address(own.address), Value::Port(port.container_port));
        let to = Data::Values(vec![address, inside]);
        match on {
            None => all.entry(ANYWHERE).or_default().push((Key(from.to_vec()), to)),
            Some(on) if Family::of(on) == of => {
                let key = [&[Value::Address(on)], &from[..]].concat();
                all.entry(SOMEWHERE).or_default().push((Key(key), to));
            }
            Some(_) => continue,
        }
        let hairpin = Key(vec![address, address, Value::Protocol(protocol), inside]);
        all.entry(HAIRPIN).or_default().push((hairpin, Data::Member));
    }
    for list in all.values_mut() {
        list.dedup();
    }
    all
}

/// The address that a port is bound to; nothing for every one.
fn host_address(port: &PortMapping) -> Result<Option<IpAddr>, ()> {
    if port.host_ip.is_empty() {
        return Ok(None);
    }
    let address: IpAddr = port.host_ip.parse().map_err(|_| ())?;
    Ok(Some(address).filter(|address| !address.is_unspecified()))
}

/// Opens the ports of a pod. The caller holds the leases' lock.
///
/// # Errors
/// A port that leads elsewhere already, or the kernel's refusal.
pub async fn open(lease: &Lease) -> Result<(), String> {
    for of in [Family::V4, Family::V6] {
        let wanted = elements(of, lease);
        if wanted.is_empty() {
            continue;
        }
        let mut kernel = Kernel::open()?;
        let rules = frame(of);
        let mut ops = Vec::new();
        if !kernel.has_chain(of, TABLE, LAST_CHAIN).await? {
            ops = plan(None, &rules).ops;
        }
        ops.extend(wanted.into_iter().map(|(set, list)| Op::AddElements(set.to_owned(), list)));
        kernel.commit(&rules, &ops).await?;
    }
    Ok(())
}

/// Closes the ports of a pod; those that are gone are fine.
///
/// # Errors
/// The kernel's refusal.
pub async fn close(lease: &Lease) -> Result<(), String> {
    for of in [Family::V4, Family::V6] {
        let there = elements(of, lease);
        if there.is_empty() {
            continue;
        }
        let mut kernel = Kernel::open()?;
        if !kernel.has_chain(of, TABLE, LAST_CHAIN).await? {
            continue;
        }
        let keys = |list: Vec<(Key, Data)>| list.into_iter().map(|(key, _)| key).collect();
        let ops: Vec<Op> =
            there.into_iter().map(|(set, list)| Op::ForgetElements(set.to_owned(), keys(list))).collect();
        kernel.commit(&frame(of), &ops).await?;
    }
    Ok(())
}

/// Ports that two pods want, by what they share: the same protocol and port on the same or on every address.
#[must_use]
pub fn taken<'a>(ports: &[PortMapping], others: &'a [Lease]) -> Option<(&'a Lease, PortMapping)> {
    let clash = |a: &PortMapping, b: &PortMapping| {
        a.host_port == b.host_port
            && Protocol::named(&a.protocol) == Protocol::named(&b.protocol)
            && match (host_address(a), host_address(b)) {
                (Ok(Some(a)), Ok(Some(b))) => a == b,
                // On every address, next to one address, is allowed: the narrower one wins.
                (Ok(None), Ok(None)) => true,
                _ => false,
            }
    };
    others.iter().find_map(|other| {
        let port = ports.iter().find(|port| other.ports.iter().any(|theirs| clash(port, theirs)))?;
        Some((other, port.clone()))
    })
}
