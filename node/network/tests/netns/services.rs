//! Services of every kind, through the proxy and an API server in memory.

use super::machine::*;
use client::fake::Fake;
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use network::proxy::{Config, Network, run};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::TcpStream;
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// The API server and the proxy that follows it.
struct Cluster {
    api: Fake,
    stop: CancellationToken,
    running: Option<std::thread::JoinHandle<()>>,
    machine: String,
}

impl Cluster {
    fn new(machine: &Machine) -> Cluster {
        let api = Fake::new();
        let node: Node = serde_json::from_value(json!({"metadata": {"name": "n1"}})).unwrap();
        api.put(&node);
        let mut cluster = Cluster { api, stop: CancellationToken::new(), running: None, machine: machine.name.clone() };
        cluster.start();
        cluster
    }

    fn start(&mut self) {
        self.stop = CancellationToken::new();
        let (client, stop) = (self.api.client(), self.stop.clone());
        let network = Network {
            pods: vec![cidr("10.244.0.0/16"), cidr("fd00:10:244::/56")],
            services: vec![cidr("10.96.0.0/16"), cidr("fd00:10:96::/112")],
            node: "10.250.0.1".parse().unwrap(),
        };
        let config =
            Config { node: "n1".to_owned(), network, metrics: std::sync::Arc::new(network::metrics::values()) };
        self.running = Some(beside(&self.machine, move || runtime().block_on(run(config, client, stop)).unwrap()));
    }

    fn stop(&mut self) {
        self.stop.cancel();
        self.running.take().unwrap().join().unwrap();
    }

    /// A Service with one port, 80 to 8080, and its backends.
    fn service(&self, name: &str, mut spec: Value, backends: &[&str]) {
        spec["clusterIPs"] = json!([spec["clusterIP"]]);
        if spec["ports"].is_null() {
            spec["ports"] = json!([{"port": 80, "protocol": "TCP"}]);
        }
        let protocol = spec["ports"][0]["protocol"].clone();
        let service = json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec});
        let service: Service = serde_json::from_value(service).unwrap();
        self.api.put(&service);
        self.backends(name, protocol.as_str().unwrap(), backends);
    }

    fn backends(&self, service: &str, protocol: &str, backends: &[&str]) {
        let endpoint =
            |address: &&str| json!({"addresses": [address], "nodeName": "n1", "conditions": {"ready": true}});
        let endpoints: Vec<Value> = backends.iter().map(endpoint).collect();
        let slice = json!({
            "metadata": {"name": service, "namespace": "shop", "labels": {"kubernetes.io/service-name": service}},
            "addressType": "IPv4", "ports": [{"port": 8080, "protocol": protocol}], "endpoints": endpoints,
        });
        let slice: EndpointSlice = serde_json::from_value(slice).unwrap();
        self.api.put(&slice);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(running) = self.running.take() {
            let _ = running.join();
        }
    }
}

/// Waits until a client gets this answer.
fn becomes(namespace: &str, to: &str, wanted: &str) {
    until(to, || name(namespace, to), |answer| answer == wanted);
}

#[test]
fn a_service_is_reached_from_pods_the_machine_and_outside() {
    let mut machine = Machine::new();
    let (a, b) = (machine.pod("a"), machine.pod("b"));
    serve_tcp(&a.namespace, "a", 8080);
    serve_tcp(&b.namespace, "b", 8080);
    serve_tcp(&machine.name, "api", 6443);
    let cluster = Cluster::new(&machine);
    let node_port = json!({"type": "NodePort", "clusterIP": "10.96.0.7",
        "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30080}]});
    cluster.service("web", node_port, &[&b.address]);
    becomes(&a.namespace, "10.96.0.7:80", "b");
    // The client's own address arrives, also from the same bridge, and the answer finds back.
    assert_eq!(call(&a.namespace, "10.96.0.7:80").unwrap(), "b 10.244.0.2");
    assert_eq!(name(&machine.name, "10.96.0.7:80"), "b");
    assert_eq!(name(&machine.outside(), "10.0.2.15:30080"), "b");
    for address in ["127.0.0.1", "10.0.2.15", "10.250.0.1", "10.244.0.1"] {
        assert_eq!(name(&machine.name, &format!("{address}:30080")), "b", "node port at {address}");
    }
    assert_eq!(name(&a.namespace, "10.250.0.1:30080"), "b");
    // A pod reaches itself; the answer must come by the machine, so the source is masked.
    assert_eq!(call(&b.namespace, "10.96.0.7:80").unwrap(), "b 10.244.0.1");
    // Nothing listens: node ports are no sockets.
    let sockets = tool("ip", &["netns", "exec", &machine.name, "ss", "-Hltn", "sport", "=", ":30080"]);
    assert_eq!(sockets, "");
    // The API server's own Service leads to an address of the machine itself.
    let slice: EndpointSlice = serde_json::from_value(json!({
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": "IPv4", "ports": [{"name": "https", "port": 6443}], "endpoints": [{"addresses": ["10.250.0.1"]}]}))
    .unwrap();
    cluster.api.put(&slice);
    let service: Service = serde_json::from_value(json!({"metadata": {"name": "kubernetes", "namespace": "default"},
        "spec": {"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "ports": [{"name": "https", "port": 443}]}}))
    .unwrap();
    cluster.api.put(&service);
    becomes(&a.namespace, "10.96.0.1:443", "api");
    assert_eq!(call(&a.namespace, "10.96.0.1:443").unwrap(), "api 10.244.0.2");
    assert_eq!(name(&machine.name, "10.96.0.1:443"), "api");
}

#[test]
fn backends_share_the_load_and_a_removed_one_gets_nothing_more() {
    let mut machine = Machine::new();
    let (a, b) = (machine.pod("a"), machine.pod("b"));
    serve_tcp(&a.namespace, "a", 8080);
    serve_tcp(&b.namespace, "b", 8080);
    let cluster = Cluster::new(&machine);
    cluster.service("web", json!({"clusterIP": "10.96.0.7"}), &[&a.address, &b.address]);
    let mut seen = BTreeSet::new();
    until(
        "both answer",
        || {
            seen.insert(name(&machine.name, "10.96.0.7:80"));
            seen.clone()
        },
        |seen| seen.contains("a") && seen.contains("b"),
    );
    cluster.backends("web", "TCP", &[&b.address]);
    until("one backend is left", || machine.elements("ip", "skerry-proxy").get("backends").copied(), |n| *n == Some(1));
    assert!((0..20).all(|_| name(&machine.name, "10.96.0.7:80") == "b"));
    // No backends: refused at once, not silence.
    cluster.backends("web", "TCP", &[]);
    becomes(&machine.name, "10.96.0.7:80", "ConnectionRefused");
    becomes(&a.namespace, "10.96.0.7:80", "ConnectionRefused");
    assert_eq!(call(&a.namespace, "10.96.0.7:81"), Err(ErrorKind::ConnectionRefused), "a port that is no Service's");
    assert_eq!(call(&a.namespace, "10.96.0.99:80"), Err(ErrorKind::TimedOut), "an address that is no Service's");
    // The emptied chain goes when the kernel has let it go.
    let chains = || machine.nft("ip", "skerry-proxy").to_string().matches("cluster-shop/web").count();
    until("the chain is swept", chains, |n| *n == 0);
}

#[test]
fn affinity_keeps_a_client_at_its_backend_until_that_is_gone() {
    let mut machine = Machine::new();
    let (a, b, c) = (machine.pod("a"), machine.pod("b"), machine.pod("c"));
    serve_tcp(&a.namespace, "a", 8080);
    serve_tcp(&b.namespace, "b", 8080);
    let cluster = Cluster::new(&machine);
    let sticky = json!({"clusterIP": "10.96.0.7", "sessionAffinity": "ClientIP",
        "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 600}}});
    cluster.service("web", sticky, &[&a.address, &b.address]);
    let first = until("an answer", || name(&c.namespace, "10.96.0.7:80"), |n| n == "a" || n == "b");
    assert!((0..30).all(|_| name(&c.namespace, "10.96.0.7:80") == first));
    let (left, other) = if first == "a" { (&b, "b") } else { (&a, "a") };
    cluster.backends("web", "TCP", &[&left.address]);
    becomes(&c.namespace, "10.96.0.7:80", other);
    cluster.backends("web", "TCP", &[&a.address, &b.address]);
    // When this later Service answers, both backends are back. (nft 1.0.6 cannot print rules that remember a value.)
    cluster.service("later", json!({"clusterIP": "10.96.0.98"}), &[&left.address]);
    becomes(&c.namespace, "10.96.0.98:80", other);
    assert!((0..30).all(|_| name(&c.namespace, "10.96.0.7:80") == other), "the client stays where it went");
}

#[test]
fn a_udp_client_moves_on_when_its_backend_is_gone() {
    let mut machine = Machine::new();
    let (a, b, c) = (machine.pod("a"), machine.pod("b"), machine.pod("c"));
    serve_udp(&a.namespace, "a", 8080);
    serve_udp(&b.namespace, "b", 8080);
    let cluster = Cluster::new(&machine);
    let udp = json!({"clusterIP": "10.96.0.7", "ports": [{"port": 53, "protocol": "UDP"}]});
    cluster.service("dns", udp, &[&a.address]);
    let ask = || ask_udp(&c.namespace, 5353, "10.96.0.7:53");
    until("the first backend", ask, |answer| answer.as_deref() == Some("a"));
    cluster.backends("dns", "UDP", &[&b.address]);
    until("the second backend", ask, |answer| answer.as_deref() == Some("b"));
}

#[test]
fn balancers_addresses_obey_their_source_ranges_and_local_policy_keeps_the_clients_address() {
    let mut machine = Machine::new();
    let a = machine.pod("a");
    serve_tcp(&a.namespace, "a", 8080);
    let cluster = Cluster::new(&machine);
    let spec = json!({"type": "LoadBalancer", "clusterIP": "10.96.0.7", "externalTrafficPolicy": "Local",
        "healthCheckNodePort": 31000, "loadBalancerSourceRanges": ["10.0.2.0/24"], "externalIPs": ["203.0.113.9"],
        "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30080}]});
    cluster.service("web", spec, &[&a.address]);
    let mut service: Service = cluster.api.all::<Service>().remove(0);
    service.status = serde_json::from_value(json!({"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}})).unwrap();
    cluster.api.put(&service);
    let outside = machine.outside();
    tool("ip", &["-n", &outside, "route", "add", "203.0.113.0/24", "via", "10.0.2.15"]);
    tool("ip", &["-n", &outside, "link", "set", "lo", "up"]);
    tool("ip", &["-n", &outside, "addr", "add", "172.31.0.1/32", "dev", "lo"]);
    tool("ip", &["-n", &machine.name, "route", "add", "172.31.0.1", "via", "10.0.2.2"]);
    becomes(&outside, "203.0.113.1:80", "a");
    assert_eq!(call(&outside, "203.0.113.1:80").unwrap(), "a 10.0.2.2");
    assert_eq!(call(&outside, "203.0.113.9:80").unwrap(), "a 10.0.2.2");
    assert_eq!(call(&outside, "10.0.2.15:30080").unwrap(), "a 10.0.2.2");
    tool("ip", &["-n", &outside, "route", "change", "203.0.113.0/24", "via", "10.0.2.15", "src", "172.31.0.1"]);
    assert_eq!(call(&outside, "203.0.113.1:80"), Err(ErrorKind::TimedOut), "outside the source ranges");
    assert_eq!(call(&outside, "203.0.113.9:80").unwrap(), "a 172.31.0.1");
    let health = |n: u16| call(&outside, &format!("10.0.2.15:{n}"));
    // The answer comes when the question is complete; the status line is all that is read here.
    let asked = inside(&outside, || {
        let mut stream = TcpStream::connect("10.0.2.15:31000").unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line
    });
    assert_eq!(asked, "HTTP/1.1 200 OK\r\n");
    assert_eq!(health(31001), Err(ErrorKind::ConnectionRefused));
}

#[test]
fn a_new_proxy_replaces_the_rules_and_connections_live_on() {
    let mut machine = Machine::new();
    let a = machine.pod("a");
    serve_tcp(&a.namespace, "a", 8080);
    let mut cluster = Cluster::new(&machine);
    cluster.service("web", json!({"clusterIP": "10.96.0.7"}), &[&a.address]);
    becomes(&machine.name, "10.96.0.7:80", "a");
    let stream = inside(&machine.name, || TcpStream::connect("10.96.0.7:80").unwrap());
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("a "));
    cluster.stop();
    assert_eq!(name(&machine.name, "10.96.0.7:80"), "a", "rules stay while no proxy runs");
    tool("ip", &["netns", "exec", &machine.name, "nft", "add", "chain", "ip", "skerry-proxy", "left-over"]);
    cluster.start();
    let listed = || machine.nft("ip", "skerry-proxy").to_string();
    until("what was left is gone", listed, |text| !text.contains("left-over"));
    (&stream).write_all(b"still there\n").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "still there");
    assert_eq!(name(&machine.name, "10.96.0.7:80"), "a");
}

#[test]
fn a_thousand_services_and_then_one_more() {
    let mut machine = Machine::new();
    let a = machine.pod("a");
    serve_tcp(&a.namespace, "a", 8080);
    let mut cluster = Cluster::new(&machine);
    cluster.service("first", json!({"clusterIP": "10.96.0.7"}), &[&a.address]);
    becomes(&machine.name, "10.96.0.7:80", "a");
    cluster.stop();
    for n in 0..1000u32 {
        let address = format!("10.96.{}.{}", 1 + n / 250, 1 + n % 250);
        cluster.service(&format!("web-{n}"), json!({"clusterIP": address}), &["10.244.0.2", "10.244.0.200"]);
    }
    let began = Instant::now();
    cluster.start();
    let counts = || machine.elements("ip", "skerry-proxy");
    let full = until("all Services", counts, |sets| sets.get("service-ips") == Some(&1001));
    println!("1,000 Services with two backends each, from start to listed by nft: {:?}", began.elapsed());
    assert_eq!((full["backends"], full["cluster-ips"]), (2001, 1001));
    let began = Instant::now();
    cluster.service("last", json!({"clusterIP": "10.96.0.8"}), &[&a.address]);
    becomes(&machine.name, "10.96.0.8:80", "a");
    println!("one more Service, from the API to an answer: {:?}", began.elapsed());
}
