//! The shortest way through: boot, run one pod, power off.

use crate::harness::{Machine, eventually};
use crate::runner::{Step, steps};
use std::time::Duration;

/// In this order.
pub const STEPS: &[Step] = steps![
    the_node_is_ready,
    every_milestone_was_said_on_the_serial_line,
    a_pod_runs_to_its_end,
    the_machine_powers_off_cleanly,
];

/// One pod's whole life, emulated.
const POD: Duration = Duration::from_secs(180);

fn the_node_is_ready(machine: &Machine) {
    assert_eq!(machine.status()["state"], "ready");
    let nodes = machine.kubectl(&["get", "nodes", "--no-headers"]);
    let words: Vec<&str> = nodes.split_whitespace().collect();
    assert_eq!((nodes.lines().count(), words[1]), (1, "Ready"), "{nodes}");
    assert!(words[4].starts_with("v1.36."), "{nodes}");
}

fn every_milestone_was_said_on_the_serial_line(machine: &Machine) {
    let console = machine.console();
    for milestone in ["init", "disk", "network", "containerd", "api", "node", "ready"] {
        assert!(console.contains(&format!("{{\"skerry\":\"{milestone}\",\"t_ms\":")), "no {milestone} in:\n{console}");
    }
}

fn a_pod_runs_to_its_end(machine: &Machine) {
    machine.load_images();
    let command = ["--", "sh", "-c", "echo on the rock"];
    let run = ["run", "once", "--image=shop.local/tools:v1", "--image-pull-policy=IfNotPresent", "--restart=Never"];
    machine.kubectl(&[&run[..], &command[..]].concat());
    eventually("the pod succeeds", POD, || {
        let phase = machine.value("default", "pod/once", "{.status.phase}");
        if phase == "Succeeded" { Ok(()) } else { Err(phase) }
    });
    assert_eq!(machine.kubectl(&["logs", "once"]), "on the rock\n");
}

fn the_machine_powers_off_cleanly(machine: &Machine) {
    let end = machine.stop();
    assert!(end.ends_with("the machine was powered off"), "{end}");
    assert!(machine.console().contains("{\"skerry\":\"shutdown\""), "{}", machine.console());
}
