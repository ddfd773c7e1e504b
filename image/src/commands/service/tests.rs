//! What is told of a Service's ports.

use super::*;
use crate::cluster::emulator::Accelerator;
use crate::cluster::ports::Protocol;
use crate::supervisor::forwards::Unreachable;

fn report(forwards: &[(u16, u16, u16)], unreachable: &[u16]) -> Report {
    let service = || "shop/web".to_owned();
    let forward = |(port, host, preferred): &(u16, u16, u16)| Forward {
        service: service(),
        protocol: Protocol::Tcp,
        port: *port,
        host: *host,
        guest: 30080,
        preferred: *preferred,
    };
    let lost = |port: &u16| Unreachable {
        service: service(),
        protocol: "TCP".to_owned(),
        port: *port,
        why: "all taken".to_owned(),
    };
    Report {
        pid: 1,
        supervisor: 2,
        accelerator: Accelerator::Tcg,
        started_ms: 0,
        port: 6443,
        memory_mb: 512,
        cpus: 1,
        paused: None,
        milestones: Vec::new(),
        forwards: forwards.iter().map(forward).collect(),
        unreachable: unreachable.iter().map(lost).collect(),
        end: None,
    }
}

fn told(report: &Report) -> Vec<String> {
    let service = json!({"metadata": {"namespace": "shop", "name": "web"}, "spec": {"type": "LoadBalancer",
        "ports": [{"port": 80, "targetPort": "http", "nodePort": 30080}]}});
    let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    lines(&service, report).iter().map(|line| format!("{} {}", shown(&line.url), shown(&line.note))).collect()
}

#[test]
fn a_port_is_shown_where_it_is_and_its_own_number_first() {
    let both = report(&[(80, 30080, 30080), (80, 8080, 80)], &[]);
    assert_eq!(told(&both), ["http://127.0.0.1:8080 80 is taken or needs root", "http://127.0.0.1:30080 -"]);
}

#[test]
fn a_port_that_is_still_to_come_and_one_that_never_will_are_told_apart() {
    assert_eq!(told(&report(&[], &[])), ["- -"]);
    assert_eq!(told(&report(&[], &[80])), ["- all taken"]);
    assert_eq!(told(&report(&[(80, 30080, 30080)], &[80])), ["http://127.0.0.1:30080 -", "- all taken"]);
}

#[test]
fn the_table_is_as_wide_as_its_words() {
    let service = json!({"metadata": {"namespace": "a", "name": "b"}, "spec": {"type": "NodePort",
        "ports": [{"port": 80, "name": "web"}]}});
    assert_eq!(
        list::text(&lines(&service, &report(&[], &[]))),
        "NAMESPACE  NAME  PORT    TARGET  URL  NOTE\na          b     web/80  80      -"
    );
}
