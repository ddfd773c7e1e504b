//! Pods come, talk and go.

use super::machine::*;
use serde_json::{Value, json};
use std::io::ErrorKind;

#[test]
fn pods_reach_each_other_the_machine_and_the_outside() {
    let mut machine = Machine::new();
    let (a, b) = (machine.pod("a"), machine.pod("b"));
    assert_eq!((a.address.as_str(), b.address.as_str()), ("10.244.0.2", "10.244.0.3"));
    serve_tcp(&b.namespace, "b", 80);
    serve_tcp(&machine.name, "machine", 81);
    serve_tcp(&machine.outside(), "outside", 82);
    assert_eq!(call(&a.namespace, "10.244.0.3:80").unwrap(), "b 10.244.0.2");
    // The kernel takes up to a second until IPv6 notices that a new link is up.
    let six = || call(&a.namespace, "[fd00:10:244::3]:80");
    until("IPv6 between pods", six, |answer| answer.as_deref() == Ok("b fd00:10:244::2")).unwrap();
    assert_eq!(call(&machine.name, "10.244.0.3:80").unwrap(), "b 10.244.0.1");
    assert_eq!(call(&a.namespace, "10.250.0.1:81").unwrap(), "machine 10.244.0.2");
    // The outside has no way back to pods.
    assert_eq!(call(&a.namespace, "10.0.2.2:82").unwrap(), "outside 10.0.2.15");
}

#[test]
fn add_answers_as_the_specification_says() {
    let mut machine = Machine::new();
    let pod = machine.pod("a");
    let ips = json!([{"address": "10.244.0.2/24", "gateway": "10.244.0.1", "interface": 2},
        {"address": "fd00:10:244::2/64", "gateway": "fd00:10:244::1", "interface": 2}]);
    assert_eq!((&pod.added["cniVersion"], &pod.added["ips"]), (&json!("1.1.0"), &ips));
    let inside = &pod.added["interfaces"][2];
    assert_eq!((&inside["name"], &inside["mac"]), (&json!("eth0"), &json!("0a:58:0a:f4:00:02")));
    assert_eq!(machine.cni("CHECK", "a", json!({})), Ok(Value::Null));
    assert_eq!(machine.cni("STATUS", "a", json!({})), Ok(Value::Null));
    machine.unattached("old");
    let old = machine.cni("ADD", "old", json!({"cniVersion": "0.3.1"})).unwrap();
    assert_eq!((&old["cniVersion"], &old["ips"][0]["version"]), (&json!("0.3.1"), &json!("4")));
}

#[test]
fn del_leaves_nothing_and_never_minds_what_is_gone() {
    let mut machine = Machine::new();
    let ports =
        json!({"runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}});
    machine.pod_with("a", ports.clone());
    for _ in 0..2 {
        assert_eq!(machine.cni("DEL", "a", ports.clone()), Ok(Value::Null));
    }
    let links = tool("ip", &["-n", &machine.name, "-o", "link", "show", "type", "veth"]);
    assert_eq!(links.lines().count(), 1, "only eth0 stays: {links}");
    assert!(machine.elements("ip", "skerry-hostports").is_empty());
    assert_eq!(machine.cni("CHECK", "a", json!({})).unwrap_err()["code"], json!(101));
    // The namespace may be gone before DEL.
    machine.pod_with("b", ports.clone());
    tool("ip", &["netns", "del", &format!("{}b", machine.name)]);
    assert_eq!(machine.cni("DEL", "b", ports), Ok(Value::Null));
    assert!(machine.elements("ip", "skerry-hostports").is_empty());
}

#[test]
fn gc_removes_what_the_runtime_does_not_know() {
    let mut machine = Machine::new();
    machine.pod("a");
    machine.pod("b");
    let known = json!({"cni.dev/valid-attachments": [{"containerID": "b", "ifname": "eth0"}]});
    assert_eq!(machine.cni("GC", "", known), Ok(Value::Null));
    assert!(machine.cni("CHECK", "a", json!({})).is_err());
    assert_eq!(machine.cni("CHECK", "b", json!({})), Ok(Value::Null));
    assert_eq!(machine.cni("GC", "", json!({})).unwrap_err()["code"], json!(7));
    // CRI-O without a pod.
    assert_eq!(machine.cni("GC", "", json!({"cni.dev/valid-attachments": null})), Ok(Value::Null));
    assert!(machine.cni("CHECK", "b", json!({})).is_err());
}

#[test]
fn a_failed_add_takes_nothing() {
    let machine = Machine::new();
    let failure = machine.cni("ADD", "ghost", json!({})).unwrap_err();
    assert_eq!(failure["code"], json!(4));
    let kept = std::fs::read_dir(machine.state.path()).unwrap();
    let kept: Vec<_> = kept.map(|entry| entry.unwrap().file_name()).filter(|name| name != "lock").collect();
    assert!(kept.is_empty(), "{kept:?}");
}

#[test]
fn host_ports_lead_to_their_pod_from_everywhere() {
    let mut machine = Machine::new();
    let ports = json!({"runtimeConfig": {"portMappings": [
        {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
        {"hostPort": 8081, "containerPort": 80, "protocol": "tcp", "hostIP": "127.0.0.1"},
        {"hostPort": 8053, "containerPort": 53, "protocol": "udp"}]}});
    let web = machine.pod_with("web", ports.clone());
    let other = machine.pod("other");
    serve_tcp(&web.namespace, "web", 80);
    serve_udp(&web.namespace, "web", 53);
    let outside = machine.outside();
    assert_eq!(call(&outside, "10.0.2.15:8080").unwrap(), "web 10.0.2.2");
    assert_eq!(name(&machine.name, "10.250.0.1:8080"), "web");
    assert_eq!(name(&machine.name, "127.0.0.1:8080"), "web");
    assert_eq!(name(&machine.name, "127.0.0.1:8081"), "web");
    assert_eq!(call(&outside, "10.0.2.15:8081"), Err(ErrorKind::ConnectionRefused));
    assert_eq!(name(&other.namespace, "10.250.0.1:8080"), "web");
    assert_eq!(name(&web.namespace, "10.250.0.1:8080"), "web", "a pod reaches itself");
    assert_eq!(ask_udp(&outside, 0, "10.0.2.15:8053").as_deref(), Some("web"));
    machine.unattached("late");
    let taken = machine.cni("ADD", "late", ports.clone()).unwrap_err();
    assert_eq!((&taken["code"], &taken["msg"]), (&json!(100), &json!("skerry-cni: open host port 8080/tcp")));
    machine.cni("DEL", "web", ports).unwrap();
    assert_eq!(call(&outside, "10.0.2.15:8080"), Err(ErrorKind::ConnectionRefused));
}

#[test]
fn nobody_outside_reaches_the_machines_own_loopback() {
    let mut machine = Machine::new();
    let pod = machine.pod("a");
    serve_tcp(&machine.name, "secret", 9000);
    tool("ip", &["-n", &pod.namespace, "route", "del", "local", "127.0.0.0/8", "dev", "lo", "table", "local"]);
    tool("ip", &["-n", &pod.namespace, "route", "del", "local", "127.0.0.1", "dev", "lo", "table", "local"]);
    tool("ip", &["-n", &pod.namespace, "route", "add", "127.0.0.1", "via", "10.244.0.1", "src", "10.244.0.2"]);
    inside(&pod.namespace, || std::fs::write("/proc/sys/net/ipv4/conf/eth0/route_localnet", "1").unwrap());
    assert_ne!(name(&pod.namespace, "127.0.0.1:9000"), "secret");
    assert_eq!(name(&machine.name, "127.0.0.1:9000"), "secret");
    assert_eq!(name(&pod.namespace, "10.244.0.1:9000"), "secret", "the pod's way to the machine works");
}
