//! What the cluster's names stand for: `Records`, a snapshot that is cheap to copy and cheap to change by one Service.
//!
//! It must not know how objects get here, and nothing of messages.

use hickory_proto::rr::Name;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use rpds::HashTrieMapSync;
use std::net::IpAddr;
use std::sync::Arc;

/// A port by which SRV names find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The port's name; empty when it has none.
    pub name: String,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// Its number.
    pub number: u16,
}

/// One ready address behind a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its own label below the Service's name: the pod's hostname, or the address with dashes.
    pub label: String,
    /// Where it is.
    pub address: IpAddr,
    /// What it listens on; a headless Service may have no ports.
    pub ports: Arc<[Port]>,
}

/// How the Service's own name is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Face {
    /// With its cluster addresses.
    Cluster {
        /// At most one of each family.
        addresses: Vec<IpAddr>,
        /// The Service's ports.
        ports: Vec<Port>,
    },
    /// With the addresses of its endpoints.
    Headless,
    /// With another name.
    External(Name),
}

/// All that is known of one Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRecords {
    /// How its own name is answered.
    pub face: Face,
    /// Its ready endpoints, in the order of its slices.
    pub endpoints: Vec<Endpoint>,
}

/// Where an address leads back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The Service's namespace.
    pub namespace: String,
    /// The Service's name.
    pub service: String,
    /// The endpoint's label; `None` for the Service itself.
    pub label: Option<String>,
}

#[derive(Clone, Default)]
struct Namespace {
    exists: bool,
    services: HashTrieMapSync<String, Arc<ServiceRecords>>,
}

/// The names of the cluster at one moment.
#[derive(Clone)]
pub struct Records {
    /// The cluster's domain, `cluster.local.` by default.
    pub zone: Name,
    /// Where this server answers; they are what `ns.dns` stands for.
    pub servers: Vec<IpAddr>,
    /// The networks of pods and Services, with the bits of their prefixes.
    pub own_networks: Vec<(IpAddr, u8)>,
    /// Counts changes, in seconds since 1970: the serial number of the zone.
    pub serial: u32,
    /// Names outside of the domain that are known here, in lower case.
    pub known: Vec<(Name, IpAddr)>,
    namespaces: HashTrieMapSync<String, Namespace>,
    by_address: HashTrieMapSync<IpAddr, Vec<Owner>>,
}

impl Records {
    /// An empty cluster.
    #[must_use]
    pub fn new(zone: Name, servers: Vec<IpAddr>) -> Records {
        Records {
            zone: zone.to_lowercase(),
            servers,
            own_networks: Vec::new(),
            serial: 0,
            known: Vec::new(),
            namespaces: HashTrieMapSync::default(),
            by_address: HashTrieMapSync::default(),
        }
    }

    /// Whether the namespace exists: its name alone then is an empty answer, not an unknown name.
    #[must_use]
    pub fn has_namespace(&self, namespace: &str) -> bool {
        self.namespaces.get(namespace).is_some_and(|n| n.exists)
    }

    /// One Service of a namespace that exists.
    #[must_use]
    pub fn service(&self, namespace: &str, name: &str) -> Option<&Arc<ServiceRecords>> {
        self.namespaces.get(namespace).filter(|n| n.exists)?.services.get(name)
    }

    /// What an address belongs to: Services first, and then no endpoints, as CoreDNS's `serviceRecordForIP`.
    #[must_use]
    pub fn owners(&self, address: IpAddr) -> Vec<&Owner> {
        let all = self.by_address.get(&address).map(Vec::as_slice).unwrap_or_default();
        match all.iter().find(|owner| owner.label.is_none()) {
            Some(service) => vec![service],
            None => all.iter().collect(),
        }
    }

    /// Whether only the cluster can know whose address this is.
    #[must_use]
    pub fn is_own(&self, address: IpAddr) -> bool {
        self.own_networks.iter().any(|(network, prefix)| match (network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differs = u32::from(*network) ^ u32::from(address);
                differs.checked_shr(32u32.saturating_sub(u32::from(*prefix))).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differs = u128::from(*network) ^ u128::from(address);
                differs.checked_shr(128u32.saturating_sub(u32::from(*prefix))).unwrap_or(0) == 0
            }
            _ => false,
        })
    }

    /// Takes in that a namespace exists or is gone.
    pub fn set_namespace(&mut self, name: &str, exists: bool) {
        let mut namespace = self.namespaces.get(name).cloned().unwrap_or_default();
        namespace.exists = exists;
        self.put(name, namespace);
    }

    /// Takes in the new state of one Service.
    pub fn set_service(&mut self, namespace: &str, name: &str, records: Option<ServiceRecords>) {
        let mut holder = self.namespaces.get(namespace).cloned().unwrap_or_default();
        if let Some(old) = holder.services.get(name).cloned() {
            self.forget(namespace, name, &old);
        }
        match records {
            Some(new) => {
                self.remember(namespace, name, &new);
                holder.services.insert_mut(name.to_owned(), Arc::new(new));
            }
            None => {
                holder.services.remove_mut(name);
            }
        }
        self.put(namespace, holder);
    }

    fn put(&mut self, name: &str, namespace: Namespace) {
        if namespace.exists || !namespace.services.is_empty() {
            self.namespaces.insert_mut(name.to_owned(), namespace);
        } else {
            self.namespaces.remove_mut(name);
        }
    }

    fn forget(&mut self, namespace: &str, service: &str, old: &ServiceRecords) {
        for (address, _) in old.addresses() {
            let Some(mut owners) = self.by_address.get(&address).cloned() else { continue };
            owners.retain(|owner| owner.namespace != namespace || owner.service != service);
            if owners.is_empty() {
                self.by_address.remove_mut(&address);
            } else {
                self.by_address.insert_mut(address, owners);
            }
        }
    }

    fn remember(&mut self, namespace: &str, service: &str, new: &ServiceRecords) {
        for (address, label) in new.addresses() {
            let owner = Owner { namespace: namespace.to_owned(), service: service.to_owned(), label };
            let mut owners = self.by_address.get(&address).cloned().unwrap_or_default();
            if !owners.contains(&owner) {
                owners.push(owner);
                self.by_address.insert_mut(address, owners);
            }
        }
    }
}

impl ServiceRecords {
    /// Reads a Service and its slices; nothing when it can have no name: an ExternalName that is an address.
    #[must_use]
    pub fn of(service: &Service, slices: &[Arc<EndpointSlice>]) -> Option<ServiceRecords> {
        let spec = service.spec.as_ref()?;
        let face = match (spec.type_.as_deref(), spec.cluster_ip.as_deref()) {
            (Some("ExternalName"), _) => Face::External(target(spec.external_name.as_deref()?)?),
            (_, Some("None")) => Face::Headless,
            (_, first) => {
                let listed = spec.cluster_ips.iter().flatten().map(String::as_str);
                let mut addresses: Vec<IpAddr> = listed.filter_map(|ip| ip.parse().ok()).collect();
                if addresses.is_empty() {
                    addresses.extend(first.and_then(|ip| ip.parse::<IpAddr>().ok()));
                }
                let ports = spec.ports.iter().flatten();
                let ports = ports.map(|p| port(p.name.as_deref(), p.protocol.as_deref(), p.port)).collect();
                Face::Cluster { addresses, ports }
            }
        };
        let endpoints =
            if matches!(face, Face::External(_)) { Vec::new() } else { slices.iter().flat_map(endpoints).collect() };
        Some(ServiceRecords { face, endpoints })
    }

    /// Its addresses, each with the label of the endpoint that has it.
    fn addresses(&self) -> impl Iterator<Item = (IpAddr, Option<String>)> {
        let own = match &self.face {
            Face::Cluster { addresses, .. } => addresses.as_slice(),
            _ => &[],
        };
        let below = self.endpoints.iter().map(|e| (e.address, Some(e.label.clone())));
        own.iter().map(|address| (*address, None)).chain(below)
    }
}

/// The name that an ExternalName Service stands for.
fn target(external: &str) -> Option<Name> {
    if external.parse::<IpAddr>().is_ok() {
        return None;
    }
    let mut name = Name::from_ascii(external).ok()?;
    name.set_fqdn(true);
    Some(name)
}

fn port(name: Option<&str>, protocol: Option<&str>, number: i32) -> Port {
    Port {
        name: name.unwrap_or_default().to_lowercase(),
        protocol: protocol.unwrap_or("TCP").to_lowercase(),
        // Validation keeps ports between 1 and 65535.
        number: u16::try_from(number).unwrap_or_default(),
    }
}

/// The ready endpoints of a slice. The slice's controller says "ready" for all of a Service that publishes the not
/// ready ones, so that field needs no look here; an unknown state counts as ready (`EndpointConditions`).
fn endpoints(slice: &Arc<EndpointSlice>) -> Vec<Endpoint> {
    let ports = slice.ports.iter().flatten();
    let ports: Arc<[Port]> =
        ports.filter_map(|p| Some(port(p.name.as_deref(), p.protocol.as_deref(), p.port?))).collect();
    let ready = slice.endpoints.iter().flatten();
    let ready = ready.filter(|e| e.conditions.as_ref().and_then(|c| c.ready).unwrap_or(true));
    let mut found = Vec::new();
    for endpoint in ready {
        for address in endpoint.addresses.iter().filter_map(|a| a.parse::<IpAddr>().ok()) {
            let label = match endpoint.hostname.as_deref() {
                Some(hostname) if !hostname.is_empty() => hostname.to_lowercase(),
                _ => dashed(address),
            };
            found.push(Endpoint { label, address, ports: ports.clone() });
        }
    }
    found
}

/// An address as a label. A label must not end in a dash, so `fd00::` becomes `fd00--0`.
#[must_use]
pub fn dashed(address: IpAddr) -> String {
    let mut label = address.to_string().replace(['.', ':'], "-");
    if label.ends_with('-') {
        label.push('0');
    }
    label
}
