//! Which ports of Services appear on the host. Pure: Services in, ports and actions out.

use crate::cluster::ports::{Protocol, TRIES};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Forwards of one cluster at most: each is a listening socket of the emulator.
pub const FORWARDS_MAX: usize = 512;
/// Below this a user may not listen.
const UNPRIVILEGED: u16 = 1024;
/// What is added to such a port: 80 becomes 8080, 443 becomes 8443.
const RAISE: u16 = 8000;

/// A port that should be reachable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// Whose it is: `namespace/name`.
    pub service: String,
    /// Transport.
    pub protocol: Protocol,
    /// The Service's port.
    pub port: u16,
    /// The port of the machine that leads to it.
    pub guest: u16,
    /// The port of the host that it should have.
    pub preferred: u16,
}

/// A port that is reachable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Forward {
    /// Whose it is: `namespace/name`; unknown for a short time after a supervisor was replaced.
    pub service: String,
    /// Transport.
    pub protocol: Protocol,
    /// The Service's port.
    pub port: u16,
    /// The port of 127.0.0.1.
    pub host: u16,
    /// The port of the machine.
    pub guest: u16,
    /// The port of the host that it should have had.
    pub preferred: u16,
}

/// A port that a Service wants on the host and does not have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Unreachable {
    /// Whose it is: `namespace/name`.
    pub service: String,
    /// Transport, as the Service names it.
    pub protocol: String,
    /// The Service's port.
    pub port: u16,
    /// Why not, and what to do.
    pub why: String,
}

/// The name that stands for Docker among those of Services, which have a namespace.
const DOCKER: &str = "docker";
/// Docker's port for TLS, on the machine and preferably on the host. No NodePort has it: theirs begin with 30000.
pub const DOCKER_PORT: u16 = 2376;

/// The port that leads to Docker's.
pub fn docker() -> Wanted {
    Wanted {
        service: DOCKER.to_owned(),
        protocol: Protocol::Tcp,
        port: DOCKER_PORT,
        guest: DOCKER_PORT,
        preferred: DOCKER_PORT,
    }
}

impl Forward {
    /// Whether it leads to Docker.
    pub fn is_docker(&self) -> bool {
        self.service == DOCKER
    }

    /// Why it has another port than it should have; nothing when it has that.
    pub fn instead(&self) -> Option<String> {
        let why = if self.preferred < UNPRIVILEGED { "is taken or needs root" } else { "is taken" };
        (self.host != self.preferred).then(|| format!("{} {why}", self.preferred))
    }

    fn serves(&self, wanted: &Wanted) -> bool {
        (&self.service, self.protocol, self.port, self.guest, self.preferred)
            == (&wanted.service, wanted.protocol, wanted.port, wanted.guest, wanted.preferred)
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Take a forward away.
    Remove(Forward),
    /// Make one, at the first of these host ports that works.
    Add(Wanted, Vec<u16>),
}

/// The ports that Services want, by their objects.
pub fn wanted<'a>(services: impl IntoIterator<Item = &'a Value>) -> BTreeSet<Wanted> {
    let mut found = BTreeSet::new();
    for object in services {
        let spec = &object["spec"];
        let kind = spec["type"].as_str().unwrap_or_default();
        if !matches!(kind, "NodePort" | "LoadBalancer") {
            continue;
        }
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
        let service = format!("{}/{}", text("namespace"), text("name"));
        for entry in spec["ports"].as_array().into_iter().flatten() {
            let number = |field: &str| entry[field].as_u64().and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0);
            let protocol = match entry["protocol"].as_str().unwrap_or("TCP") {
                "TCP" => Protocol::Tcp,
                "UDP" => Protocol::Udp,
                // User-mode networking carries no other.
                _ => continue,
            };
            let (Some(port), Some(guest)) = (number("port"), number("nodePort")) else { continue };
            let mut add = |preferred| {
                found.insert(Wanted { service: service.clone(), protocol, port, guest, preferred });
            };
            add(guest);
            if kind == "LoadBalancer" {
                add(port);
            }
        }
    }
    found
}

/// The ports of Services that cannot appear on the host by their very nature.
pub fn impossible<'a>(services: impl IntoIterator<Item = &'a Value>) -> Vec<Unreachable> {
    let mut found = Vec::new();
    for object in services {
        let spec = &object["spec"];
        if !matches!(spec["type"].as_str(), Some("NodePort" | "LoadBalancer")) {
            continue;
        }
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
        for entry in spec["ports"].as_array().into_iter().flatten() {
            let protocol = entry["protocol"].as_str().unwrap_or("TCP");
            let why = if !matches!(protocol, "TCP" | "UDP") {
                "user-mode networking carries TCP and UDP only"
            } else if entry["nodePort"].as_u64().unwrap_or(0) == 0 {
                "it has no node port: leave allocateLoadBalancerNodePorts as it is"
            } else {
                continue;
            };
            let port = entry["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
            let service = format!("{}/{}", text("namespace"), text("name"));
            found.push(Unreachable { service, protocol: protocol.to_owned(), port, why: why.to_owned() });
        }
    }
    found
}

/// What is wanted and not there after all was tried: by no fault of the Service, so that it is tried again with the next
/// change of any.
pub fn missing(wanted: &BTreeSet<Wanted>, have: &[Forward]) -> Vec<Unreachable> {
    let lacks = |wanted: &&Wanted| !have.iter().any(|forward| forward.serves(wanted));
    let is_full = have.len() >= FORWARDS_MAX;
    wanted
        .iter()
        .filter(lacks)
        .map(|Wanted { service, protocol, port, preferred, .. }| {
            let why = if is_full {
                format!("there are {FORWARDS_MAX} ports on the host already")
            } else {
                format!("port {preferred} of 127.0.0.1 and the {TRIES} after it are taken")
            };
            Unreachable { service: service.clone(), protocol: protocol.word().to_uppercase(), port: *port, why }
        })
        .collect()
}

/// What leads from what there is to what is wanted: removals first, since they free ports.
pub fn plan(wanted: &BTreeSet<Wanted>, have: &[Forward], is_free: impl Fn(Protocol, u16) -> bool) -> Vec<Action> {
    let stays = |forward: &Forward| wanted.iter().any(|wanted| forward.serves(wanted));
    let mut actions: Vec<Action> = have.iter().filter(|forward| !stays(forward)).cloned().map(Action::Remove).collect();
    let leaving: BTreeSet<(Protocol, u16)> =
        have.iter().filter(|forward| !stays(forward)).map(|forward| (forward.protocol, forward.host)).collect();
    let mut used: BTreeSet<(Protocol, u16)> =
        have.iter().filter(|forward| stays(forward)).map(|forward| (forward.protocol, forward.host)).collect();
    let missing = wanted.iter().filter(|wanted| !have.iter().any(|forward| forward.serves(wanted)));
    // Those who want a port that is their own number first: a NodePort is promised, a replacement is not.
    for wanted in missing.take(FORWARDS_MAX.saturating_sub(used.len())) {
        let usable = |port: &u16| {
            let place = (wanted.protocol, *port);
            !used.contains(&place) && (leaving.contains(&place) || is_free(wanted.protocol, *port))
        };
        let free: Vec<u16> = candidates(wanted.preferred).filter(usable).take(3).collect();
        if let Some(first) = free.first() {
            used.insert((wanted.protocol, *first));
            actions.push(Action::Add(wanted.clone(), free));
        }
    }
    actions
}

/// The ports to try, in order.
fn candidates(preferred: u16) -> impl Iterator<Item = u16> {
    let base = if preferred < UNPRIVILEGED { preferred + RAISE } else { preferred };
    let exact = (preferred < UNPRIVILEGED).then_some(preferred);
    exact.into_iter().chain((0..=TRIES).filter_map(move |n| base.checked_add(n)))
}

/// The forwards in the monitor's `info usernet`, but for the API's: what a new supervisor finds.
pub fn found(text: &str, api_port: u16) -> BTreeMap<(Protocol, u16), u16> {
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let protocol = match words.first() {
            Some(&"TCP[HOST_FORWARD]") => Protocol::Tcp,
            Some(&"UDP[HOST_FORWARD]") => Protocol::Udp,
            _ => continue,
        };
        let number = |at: usize| words.get(at).and_then(|word| word.parse::<u16>().ok());
        if let (Some(host), Some(guest)) = (number(3), number(5))
            && (protocol, host) != (Protocol::Tcp, api_port)
        {
            found.insert((protocol, host), guest);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn service(name: &str, kind: &str, ports: &[(u16, u16, &str)]) -> Value {
        let ports: Vec<Value> = ports
            .iter()
            .map(|(port, node, protocol)| json!({"port": port, "nodePort": node, "protocol": protocol}))
            .collect();
        json!({"metadata": {"namespace": "default", "name": name}, "spec": {"type": kind, "ports": ports}})
    }

    /// `host->guest` for each addition, `-host` for each removal.
    fn actions(services: &[Value], have: &[Forward], taken: &[u16]) -> Vec<String> {
        plan(&wanted(services), have, |_, port| !taken.contains(&port))
            .iter()
            .map(|action| match action {
                Action::Add(wanted, ports) => format!("{}->{}", ports[0], wanted.guest),
                Action::Remove(forward) => format!("-{}", forward.host),
            })
            .collect()
    }

    fn forward(wanted: &Wanted, host: u16) -> Forward {
        let Wanted { service, protocol, port, guest, preferred } = wanted.clone();
        Forward { service, protocol, port, host, guest, preferred }
    }

    #[test]
    fn node_ports_keep_their_number_and_load_balancers_get_their_own_too() {
        let services = [
            service("web", "NodePort", &[(80, 30080, "TCP")]),
            service("db", "LoadBalancer", &[(5432, 31000, "TCP")]),
            service("inside", "ClusterIP", &[(80, 0, "TCP")]),
            service("odd", "NodePort", &[(80, 30081, "SCTP")]),
        ];
        assert_eq!(actions(&services, &[], &[]), ["5432->31000", "31000->31000", "30080->30080"]);
    }

    #[test]
    fn a_taken_port_gives_way_to_the_next_free_one() {
        let web = [service("web", "NodePort", &[(80, 30080, "TCP")])];
        assert_eq!(actions(&web, &[], &[30080, 30081]), ["30082->30080"]);
        let lb = [service("web", "LoadBalancer", &[(80, 30080, "TCP")])];
        assert_eq!(actions(&lb, &[], &[80, 8080]), ["8081->30080", "30080->30080"]);
    }

    #[test]
    fn two_services_never_share_a_port_of_the_host() {
        let services = [
            service("a", "LoadBalancer", &[(9000, 30001, "TCP")]),
            service("b", "LoadBalancer", &[(9000, 30002, "TCP"), (9000, 30002, "UDP")]),
        ];
        assert_eq!(
            actions(&services, &[], &[]),
            ["9000->30001", "30001->30001", "9001->30002", "30002->30002", "9000->30002", "30002->30002"]
        );
    }

    #[test]
    fn what_cannot_appear_is_named_with_the_reason() {
        let services = [
            service("web", "NodePort", &[(80, 30080, "TCP"), (81, 30081, "SCTP")]),
            service("bare", "LoadBalancer", &[(82, 0, "TCP")]),
            service("inside", "ClusterIP", &[(83, 0, "TCP")]),
        ];
        let told: Vec<String> = impossible(&services).iter().map(|u| format!("{} {}", u.service, u.port)).collect();
        assert_eq!(told, ["default/web 81", "default/bare 82"]);
        let wanted = wanted(&services);
        assert!(missing(&wanted, &[])[0].why.contains("port 30080 of 127.0.0.1"));
        let all: Vec<Forward> = wanted.iter().map(|wanted| forward(wanted, 30080)).collect();
        assert_eq!(missing(&wanted, &all), []);
    }

    #[test]
    fn what_is_there_stays_and_what_is_gone_goes() {
        let services = [service("web", "NodePort", &[(80, 30080, "TCP")])];
        let web = wanted(&services).into_iter().next().unwrap();
        let have = [forward(&web, 30085)];
        assert_eq!(actions(&services, &have, &[30085]), Vec::<String>::new());
        assert_eq!(actions(&[], &have, &[]), ["-30085"]);
        let moved = [service("web", "NodePort", &[(80, 30085, "TCP")])];
        assert_eq!(actions(&moved, &have, &[30085]), ["-30085", "30085->30085"], "its own old port is free again");
    }

    #[test]
    fn forwards_are_read_back_from_the_emulator() {
        let text = "Hub -1 (net0):\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\n  \
            TCP[ESTABLISHED]  23   127.0.0.1 6443   10.0.2.15  6443     0     0\n  \
            TCP[HOST_FORWARD]  12       127.0.0.1  6443       10.0.2.15  6443     0     0\n  \
            UDP[HOST_FORWARD]  14       127.0.0.1 30053       10.0.2.15 30053     0     0\n  \
            TCP[HOST_FORWARD]  13       127.0.0.1 30081       10.0.2.15 30080     0     0\n";
        let want = BTreeMap::from([((Protocol::Tcp, 30081), 30080), ((Protocol::Udp, 30053), 30053)]);
        assert_eq!(found(text, 6443), want);
    }
}
