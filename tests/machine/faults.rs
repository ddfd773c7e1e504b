//! Parts of the machine are killed without warning; pods run on.

use crate::harness::{Load, Machine, eventually};
use crate::runner::{Step, steps};
use crate::shop;
use std::time::Duration;

/// In any order.
pub const STEPS: &[Step] = steps![killing_node_restarts_no_container, killing_containerd_restarts_no_container];

/// Until init has started it again and it serves.
const BACK: Duration = Duration::from_secs(180);

fn killing_node_restarts_no_container(machine: &Machine) {
    survives_the_death_of(machine, "node");
}

fn killing_containerd_restarts_no_container(machine: &Machine) {
    survives_the_death_of(machine, "containerd");
}

/// Kills a program of the machine while visitors look, and sees that it comes back and nothing else has changed.
fn survives_the_death_of(machine: &Machine, program: &str) {
    let door = shop::open(machine);
    shop::wrench(machine);
    let (before, old) = (containers(machine), pid_of(machine, program).expect("it runs"));
    let visitors = Load::on(door, "/healthz");
    // Its own way to us may go with it, so that nothing is made of how the command ends.
    machine.try_kubectl(&["exec", "-n", "kube-system", "wrench", "--", "kill", "-9", &old]);
    eventually("it is started again", BACK, || match pid_of(machine, program) {
        Ok(new) if new != old => Ok(()),
        other => Err(format!("{other:?}, was {old}")),
    });
    machine.kubectl_within(BACK, &["wait", "--for=condition=Ready", "node", "--all", "--timeout=170s"]);
    shop::settled(machine);
    assert_eq!(containers(machine), before);
    visitors.saw_only(&["200 well"]);
    assert_eq!(shop::ask(door, "/goods/apple"), "12");
}

/// Every container of the shop: pod, identity, restarts, time of start.
fn containers(machine: &Machine) -> String {
    let one =
        "{.metadata.name}{range .status.containerStatuses[*]} {.containerID} {.restartCount} {.state}{end}{\"\\n\"}";
    let path = format!("jsonpath={{range .items[*]}}{one}{{end}}");
    machine.kubectl(&["get", "pods", "-n", "shop", "-o", &path])
}

/// The process of a program of the machine.
fn pid_of(machine: &Machine, program: &str) -> Result<String, String> {
    let outcome = machine.try_kubectl(&["exec", "-n", "kube-system", "wrench", "--", "pidof", program]);
    match outcome.out.split_whitespace().next() {
        Some(pid) if outcome.is_good() => Ok(pid.to_owned()),
        _ => Err(outcome.err),
    }
}
