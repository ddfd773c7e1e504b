//! The fast lane: the same machine without PCI, its power button, its clock; and what a machine is handed at its start: a
//! folder of manifests, a disk of another time.

use crate::harness::{Machine, eventually, run};
use crate::runner::{Step, steps};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// In this order.
pub const STEPS: &[Step] = steps![
    a_microvm_becomes_ready_and_keeps_time,
    its_power_button_works,
    manifests_are_applied_at_boot_and_changed_ones_again,
    a_manifest_that_is_refused_is_named_and_the_cluster_runs,
    a_disk_of_a_newer_image_is_refused_and_left_alone,
];

/// How far the machine's clock may be from ours: it has whole seconds, and a busy host is late.
const CLOCK: u64 = 10;
/// A tool on the state disk.
const TOOL: Duration = Duration::from_secs(30);

/// What makes it one.
pub const ARGUMENTS: &[&str] = &["--machine", "microvm"];

fn a_microvm_becomes_ready_and_keeps_time(machine: &Machine) {
    assert_eq!(machine.status()["state"], "ready");
    let console = machine.console();
    assert!(!console.contains("Unable to calibrate"), "{console}");
    // An object's birth is the machine's own time.
    machine.kubectl(&["create", "configmap", "now", "-n", "default"]);
    let born = machine.value("default", "configmap/now", "{.metadata.creationTimestamp}");
    let born: jiff::Timestamp = born.parse().expect("a time");
    let ours = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970").as_secs();
    assert!(u64::try_from(born.as_second()).expect("later than 1970").abs_diff(ours) <= CLOCK, "{born}");
}

fn its_power_button_works(machine: &Machine) {
    let end = machine.stop();
    assert!(end.ends_with("the machine was powered off"), "{end}");
    assert!(machine.console().contains("\"why\":\"power button\""), "{}", machine.console());
}

fn manifests_are_applied_at_boot_and_changed_ones_again(machine: &Machine) {
    let room = machine.room();
    let folder = room.to_str().expect("a path of letters");
    let map = |data: &str| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: handed, namespace: ours}}\ndata: {data}\n")
    };
    std::fs::write(room.join("2-map.yaml"), map("{a: one, b: two}")).expect("a file");
    // What it needs is in a later file.
    std::fs::write(room.join("3-namespace.yaml"), "apiVersion: v1\nkind: Namespace\nmetadata: {name: ours}\n")
        .expect("a file");
    machine.start_with(&["--manifests", folder]);
    assert!(machine.console().contains("\"created\":2,\"refused\":0"), "{}", machine.console());
    assert_eq!(machine.value("ours", "configmap/handed", "{.data}"), r#"{"a":"one","b":"two"}"#);
    std::fs::write(room.join("2-map.yaml"), map("{a: three}")).expect("a file");
    machine.stop();
    machine.start();
    assert!(machine.console().contains("\"changed\":1,\"created\":0"), "{}", machine.console());
    assert_eq!(machine.value("ours", "configmap/handed", "{.data}"), r#"{"a":"three"}"#);
    machine.stop();
}

fn a_manifest_that_is_refused_is_named_and_the_cluster_runs(machine: &Machine) {
    let room = machine.room();
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: good}\n---\napiVersion: v1\nkind: ConfigMap\n\
                metadata: {name: bad}\ndate: {}\n---\nkind: [\n";
    std::fs::write(room.join("app.yaml"), text).expect("a file");
    let outcome = machine.try_start(&["--manifests", room.to_str().expect("a path of letters")]);
    assert_eq!(outcome.code, Some(7), "{}{}", outcome.out, outcome.err);
    for words in ["app.yaml, document 2, line 4", "unknown field \\\"date\\\"", "app.yaml, document 3"] {
        assert!(outcome.out.contains(words), "no {words:?} in {}", outcome.out);
    }
    assert_eq!(machine.status()["state"], "ready");
    assert_eq!(machine.value("default", "configmap/good", "{.metadata.name}"), "good");
    machine.stop();
}

fn a_disk_of_a_newer_image_is_refused_and_left_alone(machine: &Machine) {
    let room = machine.room();
    set_format(machine, &room, "99\n");
    let outcome = machine.try_start(&["--manifests", ""]);
    assert_eq!(outcome.code, Some(7), "{}{}", outcome.out, outcome.err);
    assert!(
        outcome.out.contains("the state disk has format 99") && outcome.out.contains("newer image"),
        "{}",
        outcome.out
    );
    let off = machine.try_status();
    assert_eq!(off.code, Some(4), "a machine that was refused runs on: {}", off.out);
    set_format(machine, &room, "1\n");
    machine.start();
    eventually("what was there is there", TOOL, || {
        let name = machine.value("ours", "configmap/handed", "{.metadata.name}");
        if name == "handed" { Ok(()) } else { Err(name) }
    });
}

/// Writes the number of the disk's format, with the tools of its file system.
fn set_format(machine: &Machine, room: &Path, text: &str) {
    let (number, script) = (room.join("number"), room.join("script"));
    std::fs::write(&number, text).expect("a file");
    let lines = format!("rm /lib/skerry/format\nwrite {} /lib/skerry/format\n", number.display());
    std::fs::write(&script, lines).expect("a file");
    let mut tool = Command::new("/usr/sbin/debugfs");
    tool.args(["-w", "-f"]).arg(&script).arg(machine.state_disk());
    let outcome = run(&mut tool, &[], TOOL);
    assert!(outcome.is_good() && !outcome.err.contains("not"), "{outcome:?}");
}
