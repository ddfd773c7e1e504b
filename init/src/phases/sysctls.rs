//! Kernel settings: one line each. A setting that this kernel does not have is left alone.

use crate::boot::{Boot, Failure, Phase};
use std::io::ErrorKind;

/// The phase.
pub const PHASE: Phase = Phase { name: "sysctls", run: |boot| Box::pin(async { run(boot) }) };

const TABLE: &[(&str, &str)] = &[
    // Pods are routed through this machine.
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv6/conf/all/forwarding", "1"),
    // Answers may come in by another link than the question went out by: bridges, dummies, forwarded ports.
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/conf/default/rp_filter", "0"),
    // Pods reach each other through their gateway, so every packet is routed; filtering it on the bridge, too, is waste.
    ("net/bridge/bridge-nf-call-iptables", "0"),
    ("net/bridge/bridge-nf-call-ip6tables", "0"),
    // What kubelets call protected kernel defaults.
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
    // An idle machine costs its host every time it wakes. The kernel would look twice a second whether memory might be put
    // together, and add up its counters once a second.
    ("vm/compaction_proactiveness", "0"),
    ("vm/stat_interval", "30"),
    // Databases that users run in pods check for these.
    ("vm/max_map_count", "262144"),
    ("fs/inotify/max_user_instances", "8192"),
    ("fs/inotify/max_user_watches", "524288"),
    ("kernel/pid_max", "4194304"),
    ("net/core/somaxconn", "4096"),
];

fn run(boot: &mut Boot) -> Result<(), Failure> {
    for (name, value) in TABLE {
        match std::fs::write(format!("/proc/sys/{name}"), value) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => boot.console.say(&format!("init: set {name} to {value}: {e}")),
        }
    }
    Ok(())
}
