//! The whole table that the proxy wants, from what is known of Services and backends. The layout follows upstream's
//! nftables mode (`pkg/proxy/nftables/proxier.go`): verdict maps lead from an address and port to the chain of a
//! service port. Backends are elements of one map instead of anonymous ones in rules, and the memory of session
//! affinity is one map instead of a set and a chain for each backend.
//!
//! Known limit: nft 1.0.6 aborts when it prints the rules of a Service with session affinity, because its printer does
//! not know a value that is looked up in one map and stored in another; the kernel does.
//!
//! It must not know what is in the kernel.

use super::Network;
use super::endpoint::{Backend, Endpoints};
use super::service::ServicePort;
use super::topology::{Place, Usable, usable};
use crate::nft::encode::{backend_key, pick_key};
use crate::nft::{Data, Family, Field, Hook, Key, Op, Part, Pick, Protocol, Rule, Ruleset, Set, Sticky, Type, Value};
use std::net::IpAddr;

/// The proxy's table, one in each family.
pub const TABLE: &str = "skerry-proxy";
/// Clients that session affinity remembers, in one map for all Services.
pub const REMEMBERED_MAX: u32 = 65_535;

const SERVICES: &str = "service-ips";
const NODE_PORTS: &str = "service-nodeports";
const EMPTY_SERVICES: &str = "no-endpoint-services";
const EMPTY_NODE_PORTS: &str = "no-endpoint-nodeports";
const FIREWALL: &str = "firewall-ips";
const CLUSTER_IPS: &str = "cluster-ips";
const HAIRPIN: &str = "hairpin";
const BACKENDS: &str = "backends";
const ALIVE: &str = "affinity-backends";
/// The memory of session affinity.
pub const MEMORY: &str = "affinity";
const REJECT: &str = "reject";

const CLUSTER_POLICY: u32 = 1;
const LOCAL_POLICY: u32 = 2;

const FRONT: [Field; 3] = [Field::Destination, Field::Protocol, Field::Port];
const NODE_PORT: [Field; 2] = [Field::Protocol, Field::Port];

/// Everything the proxy knows of one family.
pub struct Known<'a> {
    /// The ports it serves.
    pub services: &'a [ServicePort],
    /// Their backends.
    pub endpoints: &'a Endpoints,
    /// This node.
    pub place: &'a Place,
    /// The cluster's ranges.
    pub network: &'a Network,
}

/// The table for one family.
#[must_use]
pub fn desired(of: Family, known: &Known<'_>) -> Ruleset {
    let mut rules = frame(of, known.network);
    let none = std::collections::BTreeMap::new();
    for service in known.services {
        let backends = known.endpoints.get(&service.name).unwrap_or(&none);
        let found = usable(service, backends, known.place);
        let mut port = Port { rules: &mut rules, network: known.network, service, found: &found };
        port.write(of);
    }
    rules
}

/// The backends that must be forgotten after these operations: no rule asks the set of backends that may be remembered,
/// it is there so that the difference names those that may be no longer.
#[must_use]
pub fn forgotten(ops: &[Op]) -> Vec<Key> {
    let gone = ops.iter().filter_map(|op| match op {
        Op::DeleteElements(set, keys) if set == ALIVE => Some(keys),
        _ => None,
    });
    gone.flatten().cloned().collect()
}

/// What is there before the first Service.
fn frame(of: Family, network: &Network) -> Ruleset {
    let mut rules = Ruleset::new(of, TABLE);
    let front = [Type::Address, Type::Protocol, Type::Port];
    let backend = [Type::Address, Type::Port];
    rules.set(SERVICES, &front, Some(&[]));
    rules.set(EMPTY_SERVICES, &front, Some(&[]));
    rules.set(FIREWALL, &front, Some(&[]));
    rules.set(NODE_PORTS, &front[1..], Some(&[]));
    rules.set(EMPTY_NODE_PORTS, &front[1..], Some(&[]));
    rules.set(CLUSTER_IPS, &[Type::Address], None);
    rules.set(HAIRPIN, &[Type::Address, Type::Address, Type::Protocol, Type::Port], None);
    rules.set(BACKENDS, &[Type::Address, Type::Port, Type::Mark, Type::Mark], Some(&backend));
    rules.set(ALIVE, &[Type::Address, Type::Port, Type::Mark, Type::Address, Type::Port], None);
    let memory = Set {
        key: vec![Type::Address, Type::Port, Type::Mark, Type::Address],
        data: Some(backend.to_vec()),
        dynamic_max: Some(REMEMBERED_MAX),
    };
    rules.sets.insert(MEMORY.to_owned(), memory);
    filters(of, network, &mut rules);
    translations(of, network, &mut rules);
    rules
}

fn to_map(fields: &[Field], map: &str) -> Part {
    Part::Dispatch(fields.to_vec(), map.to_owned())
}

fn filters(of: Family, network: &Network, rules: &mut Ruleset) {
    let jump = |chain: &str| vec![Part::New, Part::Jump(chain.to_owned())];
    let (empty, ports, check, wall) =
        ("service-endpoints-check", "nodeport-endpoints-check", "cluster-ips-check", "firewall-check");
    // Upstream answers TCP by ICMP, too. User-mode networks such as QEMU's do not listen to it: a connection to a Service
    // whose endpoints are a moment behind it would hang until its first packet is sent again, after six seconds.
    rules.chain(REJECT, vec![vec![Part::Protocol(Protocol::Tcp), Part::Reset], vec![Part::Reject]]);
    rules.chain(empty, vec![vec![to_map(&FRONT, EMPTY_SERVICES)]]);
    rules.chain(ports, vec![vec![Part::ToLocal, to_map(&NODE_PORT, EMPTY_NODE_PORTS)]]);
    rules.chain(wall, vec![vec![to_map(&FRONT, FIREWALL)]]);
    let mut unknown: Vec<Rule> =
        vec![vec![Part::Lookup(vec![Field::Destination], CLUSTER_IPS.to_owned()), Part::Reject]];
    let ranges = network.services.iter().filter(|range| Family::of(range.address) == of);
    unknown.extend(ranges.map(|range| vec![Part::To(*range), Part::Drop]));
    rules.chain(check, unknown);
    rules.base("filter-prerouting-pre-dnat", Hook::BeforeNatPrerouting, vec![jump(wall)]);
    rules.base("filter-output-pre-dnat", Hook::BeforeNatOutput, vec![jump(wall)]);
    rules.base("filter-input", Hook::FilterInput, vec![jump(ports), jump(empty)]);
    rules.base("filter-forward", Hook::FilterForward, vec![jump(empty), jump(check)]);
    rules.base("filter-output", Hook::FilterOutput, vec![jump(empty), jump(check)]);
}

fn translations(of: Family, network: &Network, rules: &mut Ruleset) {
    let mut services: Vec<Rule> = Vec::new();
    for range in network.pods.iter().filter(|range| Family::of(range.address) == of) {
        let to_service = Part::Lookup(vec![Field::Destination], CLUSTER_IPS.to_owned());
        services.push(vec![to_service, Part::NotFrom(*range), Part::Mark]);
    }
    services.push(vec![to_map(&FRONT, SERVICES)]);
    // Node ports answer on 127.0.0.1 as well, see setup; IPv6 has no such way for ::1.
    let mut node_ports = vec![Part::ToLocal, to_map(&NODE_PORT, NODE_PORTS)];
    if of == Family::V6 {
        node_ports.insert(0, Part::NotTo(crate::cidr::Cidr::new(IpAddr::from(std::net::Ipv6Addr::LOCALHOST), 128)));
    }
    services.push(node_ports);
    rules.chain("services", services);
    let hairpin = vec![Field::Source, Field::Destination, Field::Protocol, Field::Port];
    let jump = || vec![vec![Part::Jump("services".to_owned())]];
    rules.base("nat-prerouting", Hook::NatPrerouting, jump());
    rules.base("nat-output", Hook::NatOutput, jump());
    rules.base(
        "nat-postrouting",
        Hook::NatPostrouting,
        vec![
            vec![Part::TakeMark, Part::Masquerade],
            vec![Part::Rewritten, Part::Lookup(hairpin, HAIRPIN.to_owned()), Part::Masquerade],
        ],
    );
}

/// Writes one service port into the table.
struct Port<'a> {
    rules: &'a mut Ruleset,
    network: &'a Network,
    service: &'a ServicePort,
    found: &'a Usable,
}

fn values(backend: Backend) -> [Value; 2] {
    [Value::Address(backend.address), Value::Port(backend.port)]
}

impl Port<'_> {
    fn write(&mut self, of: Family) {
        let (service, found) = (self.service, self.found);
        let front = service.front;
        self.rules.element(CLUSTER_IPS, Key(vec![Value::Address(front.address)]), Data::Member);
        let cluster = self.policy("cluster", CLUSTER_POLICY, service.uses_cluster(), &found.cluster);
        let local = self.policy("local", LOCAL_POLICY, service.uses_local(), &found.local);
        // No backends anywhere are answered; no backends here, with a policy that forbids others, are silence.
        let nothing = if found.any { Data::Drop } else { Data::Goto(REJECT.to_owned()) };
        let inside = if service.internal_local { local.clone() } else { cluster.clone() };
        match inside {
            Some(chain) => self.rules.element(SERVICES, self.key(front.address), Data::Goto(chain)),
            None => self.rules.element(EMPTY_SERVICES, self.key(front.address), nothing.clone()),
        }
        if service.is_external() {
            let outside = if service.external_local { local } else { cluster.clone() };
            self.external(of, cluster, outside, nothing);
        }
        self.firewall();
    }

    fn key(&self, address: IpAddr) -> Key {
        let front = self.service.front;
        Key(vec![Value::Address(address), Value::Protocol(front.protocol), Value::Port(front.port)])
    }

    fn named(&self, kind: &str) -> String {
        format!("{kind}-{}", self.service.name)
    }

    /// The chain that picks one of these backends; nothing when there are none.
    fn policy(&mut self, kind: &str, policy: u32, used: bool, backends: &[Backend]) -> Option<String> {
        let count = u32::try_from(backends.len()).unwrap_or(u32::MAX);
        if !used || count == 0 {
            return None;
        }
        let protocol = self.service.front.protocol;
        let pick = Pick { front: self.service.front, policy, backends: BACKENDS.to_owned(), count };
        for (place, backend) in (0u32..).zip(backends) {
            let [address, port] = values(*backend);
            self.rules.element(BACKENDS, pick_key(&pick, place), Data::Values(vec![address, port]));
            self.rules.element(HAIRPIN, Key(vec![address, address, Value::Protocol(protocol), port]), Data::Member);
        }
        let chain = self.named(kind);
        let rules = match self.service.affinity {
            None => vec![vec![Part::DnatPick(pick)]],
            Some(timeout) => {
                for backend in backends {
                    self.rules.element(ALIVE, backend_key(&pick, values(*backend)), Data::Member);
                }
                let sticky = Sticky { memory: MEMORY.to_owned(), timeout };
                vec![vec![Part::Stick(pick.clone(), sticky.clone())], vec![Part::PickSticky(pick, sticky)]]
            }
        };
        self.rules.chain(&chain, rules);
        Some(chain)
    }

    /// Node port, external and balancers' addresses, which lead through a chain that knows where packets come from.
    fn external(&mut self, of: Family, cluster: Option<String>, outside: Option<String>, nothing: Data) {
        let (service, chain) = (self.service, self.named("external"));
        let addresses: Vec<IpAddr> = service.external.iter().chain(&service.balancers).copied().collect();
        let node_port = Key(vec![Value::Protocol(service.front.protocol), Value::Port(service.node_port)]);
        if self.found.any {
            self.rules.chain(&chain, external_rules(of, self.network, service, cluster, outside.clone()));
            for address in &addresses {
                self.rules.element(SERVICES, self.key(*address), Data::Goto(chain.clone()));
            }
            if service.node_port != 0 {
                self.rules.element(NODE_PORTS, node_port.clone(), Data::Goto(chain));
            }
        }
        if outside.is_none() {
            for address in &addresses {
                self.rules.element(EMPTY_SERVICES, self.key(*address), nothing.clone());
            }
            if service.node_port != 0 {
                self.rules.element(EMPTY_NODE_PORTS, node_port, nothing);
            }
        }
    }

    /// Who may use the balancers' addresses. When this node may, so may the address itself: a packet from the node to
    /// an address that is also its own comes from there.
    fn firewall(&mut self) {
        let service = self.service;
        if service.balancers.is_empty() || service.sources.is_empty() {
            return;
        }
        let mut rules: Vec<Rule> = service.sources.iter().map(|range| vec![Part::From(*range), Part::Return]).collect();
        let node = self.network.node;
        if service.sources.iter().any(|range| range.contains(node)) {
            let own = service.balancers.iter().map(|vip| crate::cidr::Cidr::new(*vip, 128));
            rules.extend(own.map(|vip| vec![Part::From(vip), Part::Return]));
        }
        rules.push(vec![Part::Drop]);
        let chain = self.named("firewall");
        self.rules.chain(&chain, rules);
        for address in &service.balancers {
            self.rules.element(FIREWALL, self.key(*address), Data::Goto(chain.clone()));
        }
    }
}

fn external_rules(
    of: Family,
    network: &Network,
    service: &ServicePort,
    cluster: Option<String>,
    outside: Option<String>,
) -> Vec<Rule> {
    if !service.external_local {
        // The backend may be on another node, which must answer through this one.
        return vec![vec![Part::Mark], vec![outside.map_or(Part::Return, Part::Goto)]];
    }
    let mut rules = Vec::new();
    if let Some(cluster) = cluster {
        // What comes from this cluster is treated as if it went out to a balancer and came back in.
        for range in network.pods.iter().filter(|range| Family::of(range.address) == of) {
            rules.push(vec![Part::From(*range), Part::Goto(cluster.clone())]);
        }
        rules.push(vec![Part::FromLocal, Part::Mark]);
        rules.push(vec![Part::FromLocal, Part::Goto(cluster)]);
    }
    rules.extend(outside.map(|chain| vec![Part::Goto(chain)]));
    rules
}

#[cfg(test)]
mod tests;
