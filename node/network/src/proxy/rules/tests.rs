//! What the table holds for one Service, as text.

use super::super::endpoint::Endpoint;
use super::super::tests::{backend, service};
use super::*;
use std::time::Duration;

fn network() -> Network {
    Network {
        pods: vec!["10.244.0.0/16".parse().unwrap()],
        services: vec!["10.96.0.0/16".parse().unwrap()],
        node: "10.250.0.1".parse().unwrap(),
    }
}

/// The table for one Service with backends on these nodes, ready or not.
fn table(service: &ServicePort, backends: &[(u8, &str, bool)]) -> Ruleset {
    let endpoint = |node: &str, ready| Endpoint { ready, serving: ready, node: node.to_owned(), ..Endpoint::default() };
    let backends = backends.iter().map(|(n, node, ready)| (backend(*n), endpoint(node, *ready))).collect();
    let known = Known {
        services: std::slice::from_ref(service),
        endpoints: &[(service.name.clone(), backends)].into(),
        place: &Place { node: "here".to_owned(), zone: String::new() },
        network: &network(),
    };
    desired(Family::V4, &known)
}

/// All elements, one a line: set, key and where it leads.
fn elements(rules: &Ruleset) -> Vec<String> {
    let data = |data: &Data| match data {
        Data::Member => String::new(),
        Data::Goto(chain) => format!(" : goto {chain}"),
        Data::Drop => " : drop".to_owned(),
        Data::Values(values) => format!(" : {}", Key(values.clone())),
    };
    let sets = rules.elements.iter().filter(|(set, _)| !matches!(set.as_str(), CLUSTER_IPS | HAIRPIN | BACKENDS));
    sets.flat_map(|(set, all)| all.iter().map(move |(key, to)| format!("{set} {key}{}", data(to)))).collect()
}

#[test]
fn a_cluster_address_leads_to_a_random_backend() {
    let rules = table(&service(), &[(2, "here", true), (3, "there", true), (4, "here", false)]);
    assert_eq!(elements(&rules), ["service-ips 10.96.0.7 . tcp . 80 : goto cluster-shop/web/tcp/"]);
    let backends: Vec<String> = rules.elements[BACKENDS].keys().map(ToString::to_string).collect();
    assert_eq!(backends, ["10.96.0.7 . 80 . 0x106 . 0x0", "10.96.0.7 . 80 . 0x106 . 0x1"]);
    let chain = &rules.chains["cluster-shop/web/tcp/"].rules;
    assert!(matches!(&chain[..], [rule] if matches!(&rule[..], [Part::DnatPick(pick)] if pick.count == 2)));
    assert_eq!(rules.elements[HAIRPIN].len(), 2);
}

#[test]
fn without_backends_every_front_is_refused() {
    let port = ServicePort { node_port: 30000, external: vec!["203.0.113.1".parse().unwrap()], ..service() };
    assert_eq!(
        elements(&table(&port, &[(2, "here", false)])),
        [
            "no-endpoint-nodeports tcp . 30000 : goto reject",
            "no-endpoint-services 10.96.0.7 . tcp . 80 : goto reject",
            "no-endpoint-services 203.0.113.1 . tcp . 80 : goto reject",
        ]
    );
}

#[test]
fn tcp_is_refused_by_its_own_reset_and_anything_else_by_icmp() {
    let rules = table(&service(), &[]);
    let tcp = vec![Part::Protocol(Protocol::Tcp), Part::Reset];
    assert_eq!(rules.chains[REJECT].rules, [tcp, vec![Part::Reject]]);
}

#[test]
fn a_local_policy_without_local_backends_drops_what_comes_from_elsewhere() {
    let port = ServicePort { node_port: 30000, external_local: true, ..service() };
    let rules = table(&port, &[(2, "there", true)]);
    assert_eq!(
        elements(&rules),
        [
            "no-endpoint-nodeports tcp . 30000 : drop",
            "service-ips 10.96.0.7 . tcp . 80 : goto cluster-shop/web/tcp/",
            "service-nodeports tcp . 30000 : goto external-shop/web/tcp/",
        ]
    );
    let cluster = || Part::Goto("cluster-shop/web/tcp/".to_owned());
    let own = Part::From(network().pods[0]);
    assert_eq!(
        rules.chains["external-shop/web/tcp/"].rules,
        [vec![own, cluster()], vec![Part::FromLocal, Part::Mark], vec![Part::FromLocal, cluster()]]
    );
    let inside = ServicePort { internal_local: true, ..service() };
    assert_eq!(elements(&table(&inside, &[(2, "there", true)])), ["no-endpoint-services 10.96.0.7 . tcp . 80 : drop"]);
    assert_eq!(
        elements(&table(&inside, &[(2, "here", true)])),
        ["service-ips 10.96.0.7 . tcp . 80 : goto local-shop/web/tcp/"]
    );
}

#[test]
fn external_traffic_is_masked_when_it_may_go_to_another_node() {
    let port = ServicePort { node_port: 30000, ..service() };
    let rules = table(&port, &[(2, "there", true)]);
    assert_eq!(
        rules.chains["external-shop/web/tcp/"].rules,
        [vec![Part::Mark], vec![Part::Goto("cluster-shop/web/tcp/".to_owned())]]
    );
}

#[test]
fn source_ranges_guard_the_balancers_address_only() {
    let port = ServicePort {
        node_port: 30000,
        balancers: vec!["192.0.2.1".parse().unwrap()],
        sources: vec!["10.250.0.0/24".parse().unwrap()],
        ..service()
    };
    let rules = table(&port, &[(2, "here", true)]);
    assert_eq!(elements(&rules)[0], "firewall-ips 192.0.2.1 . tcp . 80 : goto firewall-shop/web/tcp/");
    let from = |range: &str| vec![Part::From(range.parse().unwrap()), Part::Return];
    assert_eq!(
        rules.chains["firewall-shop/web/tcp/"].rules,
        [from("10.250.0.0/24"), from("192.0.2.1/32"), vec![Part::Drop]]
    );
}

#[test]
fn affinity_remembers_and_forgets_backends_that_are_gone() {
    let port = ServicePort { affinity: Some(Duration::from_secs(5)), ..service() };
    let rules = table(&port, &[(2, "here", true)]);
    assert_eq!(elements(&rules)[0], "affinity-backends 10.96.0.7 . 80 . 0x106 . 10.244.0.2 . 8080");
    let chain = &rules.chains["cluster-shop/web/tcp/"].rules;
    assert!(matches!(&chain[0][..], [Part::Stick(..)]) && matches!(&chain[1][..], [Part::PickSticky(..)]));
}
