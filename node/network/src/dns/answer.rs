//! What the cluster answers to a question: records in, reply out, nothing else.
//!
//! The forms, codes and times are those of CoreDNS's `kubernetes` plugin with kubeadm's settings (`pods insecure`,
//! `ttl 30`). It must not know sockets, clocks or other resolvers.

use super::question::{Part, Place, place};
use super::records::{Face, Port, Records, ServiceRecords};
use hickory_proto::op::{Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use std::net::IpAddr;

/// Seconds for which anybody may keep what we say, that there is nothing included: kubeadm's `ttl 30`.
pub const TTL: u32 = 30;
/// Seconds for the version of the schema, as CoreDNS.
pub const VERSION_TTL: u32 = 28_800;
/// The version of the schema that the names follow.
pub const VERSION: &str = "1.1.0";
/// Names that lead to names within the cluster: CoreDNS's `maxCnameChainLength`.
pub const CHAIN_MAX: usize = 10;

/// A complete reply about a name of ours.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// Whether the name exists.
    pub code: ResponseCode,
    /// What was asked for.
    pub answers: Vec<Record>,
    /// The zone's own record when there is no answer.
    pub authorities: Vec<Record>,
    /// Addresses of what the answers name.
    pub additionals: Vec<Record>,
}

/// What to do about a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Say this.
    Reply(Reply),
    /// Say these records and whatever `target` leads to outside.
    Chain {
        /// The names on the way.
        answers: Vec<Record>,
        /// The foreign name at the end of them.
        target: Name,
    },
    /// Ask others.
    Forward,
    /// Not here: zone transfers, classes other than the Internet's.
    Refuse,
}

/// Answers a question.
#[must_use]
pub fn answer(records: &Records, query: &Query) -> Answer {
    let asked = query.query_type();
    if query.query_class() != DNSClass::IN || matches!(asked, RecordType::AXFR | RecordType::IXFR) {
        return Answer::Refuse;
    }
    let zone = Zone { records, name: query.name() };
    match place(query.name(), &records.zone) {
        Place::Foreign => match known(records, query.name()) {
            addresses if addresses.is_empty() => Answer::Forward,
            addresses => zone.foreign(&addresses, asked),
        },
        Place::Reverse(address) => zone.reverse(address, asked),
        Place::Nowhere => zone.unknown(),
        Place::Branch => zone.empty(),
        Place::Apex => zone.apex(asked),
        Place::Version => match asked {
            RecordType::TXT => {
                let text = RData::TXT(TXT::new(vec![VERSION.to_owned()]));
                zone.say(vec![Record::from_rdata(query.name().clone(), VERSION_TTL, text)], Vec::new())
            }
            _ => zone.unknown(),
        },
        Place::NameServer => zone.say(zone.addresses(records.servers.iter().copied(), asked), Vec::new()),
        Place::Namespace(namespace) if records.has_namespace(&namespace) => zone.empty(),
        Place::Namespace(_) => zone.unknown(),
        Place::Pod { namespace, address } if records.has_namespace(&namespace) => {
            zone.say(zone.addresses([address].into_iter(), asked), Vec::new())
        }
        Place::Pod { .. } => zone.unknown(),
        Place::Service { namespace, name, part } => match records.service(&namespace, &name) {
            Some(service) => zone.service(service, &part, asked, &[&namespace, &name]),
            None => zone.unknown(),
        },
    }
}

/// The addresses of a name outside of the domain that is known all the same.
fn known(records: &Records, name: &Name) -> Vec<IpAddr> {
    // Names compare without regard to case.
    records.known.iter().filter(|(known, _)| known == name).map(|(_, address)| *address).collect()
}

/// One address that a name stands for, with the port by which it was found.
struct Entry<'a> {
    address: IpAddr,
    port: Option<&'a Port>,
    label: Option<&'a str>,
}

/// What a part of a Service holds; `None` when there is no such part.
fn entries<'a>(service: &'a ServiceRecords, part: &Part) -> Option<Vec<Entry<'a>>> {
    let fits = |candidate: &Port| match part {
        Part::Port { port, protocol } => {
            (port.is_empty() || *port == candidate.name) && (protocol.is_empty() || *protocol == candidate.protocol)
        }
        _ => true,
    };
    let mut found = Vec::new();
    match (&service.face, part) {
        (Face::External(_), _) => return None,
        (Face::Cluster { addresses, ports }, Part::Whole | Part::Port { .. }) => {
            let ports: Vec<&Port> = ports.iter().filter(|p| fits(p)).collect();
            if ports.is_empty() {
                return None;
            }
            for port in ports {
                found.extend(addresses.iter().map(|a| Entry { address: *a, port: Some(port), label: None }));
            }
            return Some(found);
        }
        _ => {}
    }
    for endpoint in &service.endpoints {
        if matches!(part, Part::Endpoint(label) if *label != endpoint.label) {
            continue;
        }
        let (address, label) = (endpoint.address, Some(endpoint.label.as_str()));
        found.extend(endpoint.ports.iter().filter(|p| fits(p)).map(|p| Entry { address, port: Some(p), label }));
        if endpoint.ports.is_empty() && !matches!(part, Part::Port { .. }) {
            found.push(Entry { address, port: None, label });
        }
    }
    (!found.is_empty()).then_some(found)
}

struct Zone<'a> {
    records: &'a Records,
    name: &'a Name,
}

impl Zone<'_> {
    /// What is said of a name that is not of the domain: no record of the domain's own goes with it.
    fn foreign(&self, addresses: &[IpAddr], asked: RecordType) -> Answer {
        let answers = self.addresses(addresses.iter().copied(), asked);
        Answer::Reply(Reply { code: ResponseCode::NoError, answers, authorities: Vec::new(), additionals: Vec::new() })
    }

    fn service(&self, service: &ServiceRecords, part: &Part, asked: RecordType, path: &[&str; 2]) -> Answer {
        if let (Face::External(target), Part::Whole) = (&service.face, part) {
            return self.external(target, asked);
        }
        let Some(entries) = entries(service, part) else { return self.unknown() };
        match asked {
            RecordType::SRV => self.srv(&entries, path),
            _ => self.say(self.addresses(entries.iter().map(|e| e.address), asked), Vec::new()),
        }
    }

    /// The other name, and for addresses what it leads to.
    fn external(&self, target: &Name, asked: RecordType) -> Answer {
        if !matches!(asked, RecordType::A | RecordType::AAAA | RecordType::CNAME) {
            return self.empty();
        }
        let mut answers = vec![self.record(RData::CNAME(CNAME(target.clone())))];
        if asked == RecordType::CNAME {
            return self.say(answers, Vec::new());
        }
        let mut next = target.clone();
        for _ in 0..CHAIN_MAX {
            let here = Zone { records: self.records, name: &next };
            let Place::Service { namespace, name, part } = place(&next, &self.records.zone) else {
                return self.end_of_chain(answers, next, asked);
            };
            let Some(service) = self.records.service(&namespace, &name) else { return self.empty() };
            if let (Face::External(further), Part::Whole) = (&service.face, &part) {
                answers.push(here.record(RData::CNAME(CNAME(further.clone()))));
                next = further.clone();
                continue;
            }
            let found = entries(service, &part).unwrap_or_default();
            let found = here.addresses(found.iter().map(|e| e.address), asked);
            if found.is_empty() {
                return self.empty();
            }
            answers.extend(found);
            return self.say(answers, Vec::new());
        }
        self.empty()
    }

    /// A chain that does not end at a Service: outside, or at one of our other names.
    fn end_of_chain(&self, mut answers: Vec<Record>, target: Name, asked: RecordType) -> Answer {
        match answer(self.records, &Query::query(target.clone(), asked)) {
            Answer::Forward => Answer::Chain { answers, target },
            Answer::Reply(reply) if !reply.answers.is_empty() => {
                answers.extend(reply.answers);
                self.say(answers, Vec::new())
            }
            _ => self.empty(),
        }
    }

    fn srv(&self, entries: &[Entry<'_>], [namespace, service]: &[&str; 2]) -> Answer {
        // As CoreDNS: 100 shared among all entries, and at least 1.
        let weight = u16::try_from(100 / entries.len().max(1)).unwrap_or(1).max(1);
        let (mut answers, mut additionals): (Vec<Record>, Vec<Record>) = (Vec::new(), Vec::new());
        for entry in entries {
            let Some(port) = entry.port else { continue };
            let labels = entry.label.into_iter().chain([*service, *namespace, "svc"]);
            let Some(target) = self.below(labels) else { continue };
            let srv = self.record(RData::SRV(SRV::new(0, weight, port.number, target.clone())));
            let address = Record::from_rdata(target, TTL, data(entry.address));
            if !answers.contains(&srv) {
                answers.push(srv);
            }
            if !additionals.contains(&address) {
                additionals.push(address);
            }
        }
        self.say(answers, additionals)
    }

    fn apex(&self, asked: RecordType) -> Answer {
        match asked {
            RecordType::SOA => self.say(vec![self.soa()], Vec::new()),
            RecordType::NS => {
                let Some(server) = self.below(["kube-dns", "kube-system", "svc"].into_iter()) else {
                    return self.empty();
                };
                let servers = self.records.servers.iter();
                let additionals = servers.map(|a| Record::from_rdata(server.clone(), TTL, data(*a))).collect();
                self.say(vec![self.record(RData::NS(NS(server.clone())))], additionals)
            }
            _ => self.empty(),
        }
    }

    fn reverse(&self, address: IpAddr, asked: RecordType) -> Answer {
        let owners = self.records.owners(address);
        if owners.is_empty() {
            return if self.records.is_own(address) { self.unknown() } else { Answer::Forward };
        }
        if asked != RecordType::PTR {
            return self.empty();
        }
        let named = owners.into_iter().filter_map(|owner| {
            let labels = owner.label.as_deref().into_iter();
            self.below(labels.chain([owner.service.as_str(), owner.namespace.as_str(), "svc"]))
        });
        self.say(named.map(|name| self.record(RData::PTR(PTR(name)))).collect(), Vec::new())
    }

    /// A name below the zone; `None` when it would be too long to be a name.
    fn below<'l>(&self, labels: impl Iterator<Item = &'l str>) -> Option<Name> {
        Name::from_labels(labels.map(str::as_bytes)).ok()?.append_domain(&self.records.zone).ok()
    }

    /// The addresses of the asked family, each once.
    fn addresses(&self, all: impl Iterator<Item = IpAddr>, asked: RecordType) -> Vec<Record> {
        let mut seen = std::collections::HashSet::new();
        let fits = |a: &IpAddr| (asked == RecordType::A && a.is_ipv4()) || (asked == RecordType::AAAA && a.is_ipv6());
        all.filter(|a| fits(a) && seen.insert(*a)).map(|a| self.record(data(a))).collect()
    }

    fn record(&self, data: RData) -> Record {
        Record::from_rdata(self.name.clone(), TTL, data)
    }

    fn soa(&self) -> Record {
        let zone = &self.records.zone;
        let within = |labels: &[&str]| self.below(labels.iter().copied()).unwrap_or_else(|| zone.clone());
        let soa =
            SOA::new(within(&["ns", "dns"]), within(&["hostmaster"]), self.records.serial, 7200, 1800, 86400, TTL);
        Record::from_rdata(zone.clone(), TTL, RData::SOA(soa))
    }

    fn say(&self, answers: Vec<Record>, additionals: Vec<Record>) -> Answer {
        if answers.is_empty() {
            return self.empty();
        }
        Answer::Reply(Reply { code: ResponseCode::NoError, answers, authorities: Vec::new(), additionals })
    }

    /// The name is there, what was asked of it is not.
    fn empty(&self) -> Answer {
        self.nothing(ResponseCode::NoError)
    }

    /// There is no such name.
    fn unknown(&self) -> Answer {
        self.nothing(ResponseCode::NXDomain)
    }

    fn nothing(&self, code: ResponseCode) -> Answer {
        let authorities = vec![self.soa()];
        Answer::Reply(Reply { code, answers: Vec::new(), authorities, additionals: Vec::new() })
    }
}

fn data(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    }
}

#[cfg(test)]
mod tests;
