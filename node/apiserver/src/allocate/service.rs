//! What a Service has and needs: cluster address and node ports, by its type.

use super::Given;
use super::pool::{Port, Refusal};
use crate::call::Call;
use crate::server::Server;
use api::{FieldError, FieldPath, Status, Tree, meta};
use std::net::Ipv4Addr;

/// The cluster addresses of a Service.
pub fn addresses(service: &Tree) -> Vec<Ipv4Addr> {
    let mut found: Vec<Ipv4Addr> = service
        .list_at(&["spec", "clusterIPs"])
        .iter()
        .chain(service.at(&["spec", "clusterIP"]))
        .filter_map(|ip| ip.as_str()?.parse().ok())
        .collect();
    found.dedup();
    found
}

/// The node ports of a Service, with the one for health checks.
pub fn ports(service: &Tree) -> Vec<Port> {
    let of = |port: &Tree| {
        let number = u16::try_from(port.int_at(&["nodePort"])?).ok().filter(|n| *n > 0)?;
        Some((number, port.str_at(&["protocol"]).unwrap_or("TCP").to_owned()))
    };
    let health =
        service.int_at(&["spec", "healthCheckNodePort"]).and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0);
    service.list_at(&["spec", "ports"]).iter().filter_map(of).chain(health.map(|n| (n, "TCP".to_owned()))).collect()
}

fn kind(service: &Tree) -> &str {
    service.str_at(&["spec", "type"]).unwrap_or("ClusterIP")
}

fn has_node_ports(service: &Tree) -> bool {
    match kind(service) {
        "NodePort" => true,
        "LoadBalancer" => service.bool_at(&["spec", "allocateLoadBalancerNodePorts"]) != Some(false),
        _ => false,
    }
}

/// Gives a Service what it needs; what it had before is kept.
pub fn give(
    given: &mut Given,
    server: &Server,
    call: &Call,
    service: &mut Tree,
    old: Option<&Tree>,
) -> Result<(), Status> {
    if let Some(old) = old {
        keep(service, old);
    }
    let (had, had_ports) = (old.map(addresses).unwrap_or_default(), old.map(ports).unwrap_or_default());
    let mut undo: (Vec<Ipv4Addr>, Vec<Port>) = Default::default();
    let done = give_address(given, server, call, service, &had, &mut undo.0)
        .and_then(|()| give_ports(given, server, call, service, &had_ports, &mut undo.1));
    if done.is_err() || call.dry_run().unwrap_or(false) {
        given.addresses.release(undo.0);
        given.ports.release(undo.1);
    }
    done
}

/// An update that leaves address and ports out keeps them, as long as the type still has them.
fn keep(service: &mut Tree, old: &Tree) {
    if kind(service) != "ExternalName" && kind(old) != "ExternalName" {
        for field in ["clusterIP", "clusterIPs"] {
            if service.at(&["spec", field]).is_none_or(Tree::is_empty)
                && let Some(value) = old.at(&["spec", field])
            {
                service.set_at(&["spec", field], value.clone());
            }
        }
    }
    let wanted = has_node_ports(service);
    let before = old.list_at(&["spec", "ports"]).to_vec();
    let Some(ports) = service.at_mut(&["spec", "ports"]).and_then(Tree::as_list_mut) else { return };
    for port in ports.iter_mut() {
        if !wanted {
            continue;
        }
        let same = |other: &&Tree| {
            other.get("port") == port.get("port") && other.str_at(&["protocol"]) == port.str_at(&["protocol"])
        };
        let had = before.iter().find(same).and_then(|other| other.int_at(&["nodePort"]));
        if let (None | Some(0), Some(number)) = (port.int_at(&["nodePort"]), had) {
            port.set("nodePort", number);
        }
    }
}

fn chance(server: &Server) -> u32 {
    let mut b = [0u8; 4];
    server.world.random.fill(&mut b);
    u32::from_le_bytes(b)
}

fn refuse(call: &Call, service: &Tree, fault: FieldError) -> Status {
    Status::invalid(&call.resource.group_kind(), meta::name(service), &[fault])
}

fn give_address(
    given: &mut Given,
    server: &Server,
    call: &Call,
    service: &mut Tree,
    had: &[Ipv4Addr],
    undo: &mut Vec<Ipv4Addr>,
) -> Result<(), Status> {
    if kind(service) == "ExternalName" {
        return Ok(());
    }
    let listed = service.list_at(&["spec", "clusterIPs"]).first().and_then(Tree::as_str);
    let wanted = service.str_at(&["spec", "clusterIP"]).filter(|ip| !ip.is_empty()).or(listed).unwrap_or_default();
    if wanted == "None" {
        service.set_at(&["spec", "clusterIP"], "None");
        service.set_at(&["spec", "clusterIPs"], vec!["None"]);
    } else if let Ok(address) = wanted.parse::<Ipv4Addr>() {
        if !had.contains(&address) {
            given.addresses.take(address).map_err(|why| address_refused(given, call, service, address, &why))?;
            undo.push(address);
        }
        service.set_at(&["spec", "clusterIP"], address.to_string());
        service.set_at(&["spec", "clusterIPs"], vec![address.to_string()]);
    } else if wanted.is_empty() {
        let address = given.addresses.draw(chance(server)).map_err(|_| {
            Status::internal(format!("failed to allocate a serviceIP: range {} is full", given.addresses.cidr()))
        })?;
        undo.push(address);
        service.set_at(&["spec", "clusterIP"], address.to_string());
        service.set_at(&["spec", "clusterIPs"], vec![address.to_string()]);
    }
    // An address that is none is for validation to refuse.
    if service.list_at(&["spec", "ipFamilies"]).is_empty() {
        service.set_at(&["spec", "ipFamilies"], vec!["IPv4"]);
    }
    if service.at(&["spec", "ipFamilyPolicy"]).is_none() {
        service.set_at(&["spec", "ipFamilyPolicy"], "SingleStack");
    }
    Ok(())
}

fn address_refused(given: &Given, call: &Call, service: &Tree, address: Ipv4Addr, why: &Refusal) -> Status {
    let why = match why {
        Refusal::Taken => "provided IP is already allocated".to_owned(),
        _ if !given.addresses.covers(address) => "the provided network does not match the current range".to_owned(),
        _ => format!(
            "the provided IP ({address}) is not in the valid range. The range of valid IPs is {}",
            given.addresses.cidr()
        ),
    };
    let path = FieldPath::of(&["spec", "clusterIPs"]);
    refuse(
        call,
        service,
        FieldError::invalid(path, vec![address.to_string()], format!("failed to allocate IP {address}: {why}")),
    )
}

fn give_ports(
    given: &mut Given,
    server: &Server,
    call: &Call,
    service: &mut Tree,
    had: &[Port],
    undo: &mut Vec<Port>,
) -> Result<(), Status> {
    let wanted = has_node_ports(service);
    let mut own = had.to_vec();
    let mut fault = None;
    let list = service.at_mut(&["spec", "ports"]).and_then(Tree::as_list_mut);
    for (i, port) in list.into_iter().flatten().enumerate() {
        let protocol = port.str_at(&["protocol"]).unwrap_or("TCP").to_owned();
        let asked = u16::try_from(port.int_at(&["nodePort"]).unwrap_or(0)).unwrap_or(0);
        let path = FieldPath::of(&["spec", "ports"]).index(i).field("nodePort");
        if asked > 0 {
            let asked = (asked, protocol);
            if had.contains(&asked) {
                continue;
            }
            if let Err(why) = given.ports.take(&asked, &own) {
                fault = Some(port_refused(path, asked.0, &why));
                break;
            }
            own.push(asked.clone());
            undo.push(asked);
        } else if wanted {
            match given.ports.draw(&protocol, chance(server)) {
                Ok(number) => {
                    port.set("nodePort", i64::from(number));
                    own.push((number, protocol.clone()));
                    undo.push((number, protocol));
                }
                Err(why) => {
                    fault = Some(port_refused(path, 0, &why));
                    break;
                }
            }
        }
    }
    match fault {
        Some(fault) => Err(refuse(call, service, fault)),
        None => give_health_port(given, server, service, undo),
    }
}

/// A load balancer with local traffic policy is asked for its health on a port of its own.
fn give_health_port(
    given: &mut Given,
    server: &Server,
    service: &mut Tree,
    undo: &mut Vec<Port>,
) -> Result<(), Status> {
    let local = service.str_at(&["spec", "externalTrafficPolicy"]) == Some("Local");
    let needs =
        kind(service) == "LoadBalancer" && local && service.int_at(&["spec", "healthCheckNodePort"]).unwrap_or(0) == 0;
    if needs {
        let number =
            given.ports.draw("TCP", chance(server)).map_err(|_| Status::internal("all node ports are in use"))?;
        undo.push((number, "TCP".to_owned()));
        service.set_at(&["spec", "healthCheckNodePort"], i64::from(number));
    }
    Ok(())
}

fn port_refused(path: FieldPath, port: u16, why: &Refusal) -> FieldError {
    let why = match why {
        Refusal::Taken => "provided port is already allocated",
        Refusal::Outside => "provided port is not in the valid range. The range of valid ports is 30000-32767",
        Refusal::Empty => "all node ports are in use",
    };
    FieldError::invalid(path, i64::from(port), why)
}
