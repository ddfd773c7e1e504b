//! One table of questions per form of record.

use super::*;
use crate::dns::records::Records;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};
use std::str::FromStr;
use std::sync::Arc;

fn service(records: &mut Records, name: &str, spec: Value, slices: &[Value]) {
    let service: Service =
        serde_json::from_value(json!({"metadata": {"name": name, "namespace": "a"}, "spec": spec})).unwrap();
    let slices: Vec<Arc<EndpointSlice>> =
        slices.iter().map(|slice| Arc::new(serde_json::from_value(slice.clone()).unwrap())).collect();
    records.set_service("a", name, ServiceRecords::of(&service, &slices));
}

fn slice(family: &str, endpoints: Value) -> Value {
    json!({"addressType": family, "metadata": {"name": "s"}, "endpoints": endpoints,
        "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]})
}

fn cluster() -> Records {
    let mut records = Records::new(Name::from_str("cluster.local.").unwrap(), vec![IpAddr::from([10, 96, 0, 10])]);
    records.own_networks = vec![(IpAddr::from([10, 244, 0, 0]), 16), (IpAddr::from([10, 96, 0, 0]), 16)];
    records.serial = 7;
    records.set_namespace("a", true);
    let http = json!([{"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}]);
    let pods = slice("IPv4", json!([{"addresses": ["10.244.0.5"]}]));
    service(
        &mut records,
        "web",
        json!({"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "ports": http}),
        &[pods],
    );
    let dual = json!({"clusterIP": "10.96.0.2", "clusterIPs": ["10.96.0.2", "fd00::2"], "ports": [{"port": 1}]});
    service(&mut records, "dual", dual, &[]);
    let four = slice(
        "IPv4",
        json!([
            {"addresses": ["10.244.0.6"], "hostname": "db-0", "conditions": {"ready": true}},
            {"addresses": ["10.244.0.7"]},
            {"addresses": ["10.244.0.8"], "conditions": {"ready": false}},
            {"addresses": ["10.244.0.9"], "hostname": "db-0"}
        ]),
    );
    let six = slice("IPv6", json!([{"addresses": ["fd00:1::"]}]));
    service(&mut records, "db", json!({"clusterIP": "None", "ports": [{"name": "http", "port": 80}]}), &[four, six]);
    let mut portless = slice("IPv4", json!([{"addresses": ["10.244.0.20"]}]));
    portless["ports"] = json!([]);
    service(&mut records, "bare", json!({"clusterIP": "None"}), &[portless]);
    service(&mut records, "none", json!({"clusterIP": "None"}), &[]);
    let external = |to: &str| json!({"type": "ExternalName", "externalName": to});
    service(&mut records, "out", external("www.example.com"), &[]);
    service(&mut records, "in", external("web.a.svc.cluster.local"), &[]);
    service(&mut records, "hop", external("in.a.svc.cluster.local."), &[]);
    service(&mut records, "gone", external("nobody.a.svc.cluster.local"), &[]);
    service(&mut records, "loop", external("loop.a.svc.cluster.local"), &[]);
    service(&mut records, "number", external("1.2.3.4"), &[]);
    records
}

/// The answer as text: code, answers, then `+` additionals, then `-` authorities.
fn ask(records: &Records, name: &str, asked: RecordType) -> String {
    let mut name = Name::from_ascii(name).unwrap();
    name.set_fqdn(true);
    let text = |records: &[Record], mark: &str| -> Vec<String> {
        let each = records.iter().map(|r| format!("{mark}{} {} {} {}", r.name, r.ttl, r.record_type(), r.data));
        each.collect()
    };
    let lines = match answer(records, &Query::query(name, asked)) {
        Answer::Forward => vec!["forward".to_owned()],
        Answer::Refuse => vec!["refuse".to_owned()],
        Answer::Chain { answers, target } => [text(&answers, ""), vec![format!("forward {target}")]].concat(),
        Answer::Reply(reply) => {
            let code = if reply.code == ResponseCode::NXDomain { "unknown" } else { "ok" };
            assert_eq!(reply.authorities.len(), usize::from(reply.answers.is_empty()), "SOA with nothing else");
            [vec![code.to_owned()], text(&reply.answers, ""), text(&reply.additionals, "+")].concat()
        }
    };
    lines.join("\n")
}

#[track_caller]
fn check(name: &str, asked: RecordType, expected: &[&str]) {
    assert_eq!(ask(&cluster(), name, asked), expected.join("\n"), "{name} {asked}");
}

const A4: RecordType = RecordType::A;
const A6: RecordType = RecordType::AAAA;

#[test]
fn a_service_has_its_cluster_addresses() {
    check("web.a.svc.cluster.local", A4, &["ok", "web.a.svc.cluster.local. 30 A 10.96.0.1"]);
    check("web.a.svc.cluster.local", A6, &["ok"]);
    check("dual.a.svc.cluster.local", A6, &["ok", "dual.a.svc.cluster.local. 30 AAAA fd00::2"]);
    check("_http._tcp.web.a.svc.cluster.local", A4, &["ok", "_http._tcp.web.a.svc.cluster.local. 30 A 10.96.0.1"]);
    check("web.a.svc.cluster.local", RecordType::TXT, &["ok"]);
    check("web.a.svc.cluster.local", RecordType::HTTPS, &["ok"]);
    check("nobody.a.svc.cluster.local", A4, &["unknown"]);
    check("nobody.a.svc.cluster.local", RecordType::MX, &["unknown"]);
    check("web.b.svc.cluster.local", A4, &["unknown"]);
    check("x.y.z.web.a.svc.cluster.local", A4, &["unknown"]);
}

#[test]
fn case_does_not_matter_and_is_kept() {
    check("WEB.a.SVC.Cluster.Local", A4, &["ok", "WEB.a.SVC.Cluster.Local. 30 A 10.96.0.1"]);
}

#[test]
fn a_port_has_a_srv_record_with_its_address() {
    let extra = "+web.a.svc.cluster.local. 30 A 10.96.0.1";
    let one = "_http._tcp.web.a.svc.cluster.local. 30 SRV 0 100 80 web.a.svc.cluster.local.";
    check("_http._tcp.web.a.svc.cluster.local", RecordType::SRV, &["ok", one, extra]);
    check("_http._udp.web.a.svc.cluster.local", RecordType::SRV, &["unknown"]);
    check("_nope._tcp.web.a.svc.cluster.local", RecordType::SRV, &["unknown"]);
    let all = [
        "ok",
        "web.a.svc.cluster.local. 30 SRV 0 50 80 web.a.svc.cluster.local.",
        "web.a.svc.cluster.local. 30 SRV 0 50 53 web.a.svc.cluster.local.",
        extra,
    ];
    check("web.a.svc.cluster.local", RecordType::SRV, &all);
}

#[test]
fn a_headless_service_has_its_ready_endpoints() {
    let name = "db.a.svc.cluster.local";
    let all = [
        "ok",
        "db.a.svc.cluster.local. 30 A 10.244.0.6",
        "db.a.svc.cluster.local. 30 A 10.244.0.7",
        "db.a.svc.cluster.local. 30 A 10.244.0.9",
    ];
    check(name, A4, &all);
    check(name, A6, &["ok", "db.a.svc.cluster.local. 30 AAAA fd00:1::"]);
    let host = "db-0.db.a.svc.cluster.local";
    check(
        host,
        A4,
        &["ok", "db-0.db.a.svc.cluster.local. 30 A 10.244.0.6", "db-0.db.a.svc.cluster.local. 30 A 10.244.0.9"],
    );
    check("10-244-0-7.db.a.svc.cluster.local", A4, &["ok", "10-244-0-7.db.a.svc.cluster.local. 30 A 10.244.0.7"]);
    check("10-244-0-8.db.a.svc.cluster.local", A4, &["unknown"]);
    check("fd00-1--0.db.a.svc.cluster.local", A6, &["ok", "fd00-1--0.db.a.svc.cluster.local. 30 AAAA fd00:1::"]);
    check("bare.a.svc.cluster.local", A4, &["ok", "bare.a.svc.cluster.local. 30 A 10.244.0.20"]);
    check("bare.a.svc.cluster.local", RecordType::SRV, &["ok"]);
    check("none.a.svc.cluster.local", A4, &["unknown"]);
    check("10-244-0-5.web.a.svc.cluster.local", A4, &["ok", "10-244-0-5.web.a.svc.cluster.local. 30 A 10.244.0.5"]);
}

#[test]
fn a_headless_port_has_a_srv_record_for_each_name() {
    let srv =
        |target: &str| format!("_http._tcp.db.a.svc.cluster.local. 30 SRV 0 25 80 {target}.db.a.svc.cluster.local.");
    let (named, dashed, six) = (srv("db-0"), srv("10-244-0-7"), srv("fd00-1--0"));
    let expected = [
        "ok",
        &named,
        &dashed,
        &six,
        "+db-0.db.a.svc.cluster.local. 30 A 10.244.0.6",
        "+10-244-0-7.db.a.svc.cluster.local. 30 A 10.244.0.7",
        "+db-0.db.a.svc.cluster.local. 30 A 10.244.0.9",
        "+fd00-1--0.db.a.svc.cluster.local. 30 AAAA fd00:1::",
    ];
    check("_http._tcp.db.a.svc.cluster.local", RecordType::SRV, &expected);
}

#[test]
fn an_external_name_is_another_name() {
    let out = "out.a.svc.cluster.local. 30 CNAME www.example.com.";
    check("out.a.svc.cluster.local", RecordType::CNAME, &["ok", out]);
    check("out.a.svc.cluster.local", A4, &[out, "forward www.example.com."]);
    check("out.a.svc.cluster.local", RecordType::SRV, &["ok"]);
    check("x.out.a.svc.cluster.local", A4, &["unknown"]);
    let inside = "in.a.svc.cluster.local. 30 CNAME web.a.svc.cluster.local.";
    let end = "web.a.svc.cluster.local. 30 A 10.96.0.1";
    check("in.a.svc.cluster.local", A4, &["ok", inside, end]);
    check(
        "hop.a.svc.cluster.local",
        A4,
        &["ok", "hop.a.svc.cluster.local. 30 CNAME in.a.svc.cluster.local.", inside, end],
    );
    check("in.a.svc.cluster.local", A6, &["ok"]);
    check("gone.a.svc.cluster.local", A4, &["ok"]);
    check("loop.a.svc.cluster.local", A4, &["ok"]);
    check("number.a.svc.cluster.local", A4, &["unknown"]);
}

#[test]
fn an_address_leads_back_to_its_name() {
    let ptr = |name: &str, to: &str| format!("{name}. 30 PTR {to}.");
    for (name, to) in [
        ("1.0.96.10.in-addr.arpa", "web.a.svc.cluster.local"),
        ("6.0.244.10.in-addr.arpa", "db-0.db.a.svc.cluster.local"),
        ("7.0.244.10.in-addr.arpa", "10-244-0-7.db.a.svc.cluster.local"),
        ("2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", "dual.a.svc.cluster.local"),
    ] {
        check(name, RecordType::PTR, &["ok", &ptr(name, to)]);
    }
    check("1.0.96.10.in-addr.arpa", A4, &["ok"]);
    check("99.9.244.10.in-addr.arpa", RecordType::PTR, &["unknown"]);
    check("8.8.8.8.in-addr.arpa", RecordType::PTR, &["forward"]);
    check("96.10.in-addr.arpa", RecordType::PTR, &["forward"]);
}

#[test]
fn a_pods_address_is_a_name_in_a_namespace_that_exists() {
    check("10-244-0-77.a.pod.cluster.local", A4, &["ok", "10-244-0-77.a.pod.cluster.local. 30 A 10.244.0.77"]);
    check("10-244-0-77.a.pod.cluster.local", A6, &["ok"]);
    check("fd00--7.a.pod.cluster.local", A6, &["ok", "fd00--7.a.pod.cluster.local. 30 AAAA fd00::7"]);
    check("10-244-0-77.b.pod.cluster.local", A4, &["unknown"]);
    check("some-pod.a.pod.cluster.local", A4, &["unknown"]);
}

#[test]
fn the_zone_speaks_of_itself() {
    check("dns-version.cluster.local", RecordType::TXT, &["ok", "dns-version.cluster.local. 28800 TXT 1.1.0"]);
    let soa = "cluster.local. 30 SOA ns.dns.cluster.local. hostmaster.cluster.local. 7 7200 1800 86400 30";
    check("cluster.local", RecordType::SOA, &["ok", soa]);
    let ns = "cluster.local. 30 NS kube-dns.kube-system.svc.cluster.local.";
    let server = "+kube-dns.kube-system.svc.cluster.local. 30 A 10.96.0.10";
    check("cluster.local", RecordType::NS, &["ok", ns, server]);
    check("ns.dns.cluster.local", A4, &["ok", "ns.dns.cluster.local. 30 A 10.96.0.10"]);
    for name in
        ["cluster.local", "svc.cluster.local", "pod.cluster.local", "a.svc.cluster.local", "a.pod.cluster.local"]
    {
        check(name, A4, &["ok"]);
    }
    check("b.svc.cluster.local", A4, &["unknown"]);
    check("foo.cluster.local", RecordType::NS, &["unknown"]);
    check("www.example.com.cluster.local", A4, &["unknown"]);
    check("www.example.com.svc.cluster.local", A4, &["unknown"]);
}

#[test]
fn other_names_are_for_others_and_transfers_for_nobody() {
    check("www.example.com", A4, &["forward"]);
    check("local", A4, &["forward"]);
    check("cluster.local", RecordType::AXFR, &["refuse"]);
    check("www.example.com", RecordType::IXFR, &["refuse"]);
}

#[test]
fn a_service_that_changes_leaves_nothing_of_its_old_self() {
    let mut records = cluster();
    service(&mut records, "web", json!({"clusterIP": "10.96.0.77", "ports": [{"port": 1}]}), &[]);
    assert_eq!(ask(&records, "1.0.96.10.in-addr.arpa", RecordType::PTR), "unknown");
    assert!(ask(&records, "77.0.96.10.in-addr.arpa", RecordType::PTR).contains("web.a"));
    let snapshot = records.clone();
    records.set_service("a", "web", None);
    records.set_namespace("a", false);
    assert_eq!(ask(&records, "web.a.svc.cluster.local", A4), "unknown");
    assert_eq!(ask(&records, "db.a.svc.cluster.local", A4), "unknown", "its namespace is gone");
    assert!(ask(&snapshot, "web.a.svc.cluster.local", A4).contains("10.96.0.77"), "a snapshot stays");
}

#[test]
fn a_known_name_outside_of_the_domain_is_answered_here_and_its_neighbours_are_not() {
    let mut records = cluster();
    records.known = vec![(Name::from_ascii("host.skerry.internal.").unwrap(), IpAddr::from([10, 0, 2, 2]))];
    assert_eq!(ask(&records, "Host.skerry.internal", A4), "ok\nHost.skerry.internal. 30 A 10.0.2.2");
    assert_eq!(ask(&records, "other.skerry.internal", A4), "forward");
    let name = Name::from_ascii("host.skerry.internal.").unwrap();
    let Answer::Reply(reply) = answer(&records, &Query::query(name, A6)) else { panic!("not forwarded") };
    assert_eq!((reply.code, reply.answers.len()), (ResponseCode::NoError, 0));
}
