//! What the shop does not ask for, on the same machine.

use crate::harness::Machine;
use crate::runner::{Step, steps};
use crate::shop;
use std::sync::Once;
use std::time::Duration;

/// In this order; whichever runs first makes what all look at, the last takes it away.
pub const STEPS: &[Step] = steps![
    pods_that_ask_for_odd_things_run,
    a_port_of_the_machine_leads_to_its_pod,
    a_pod_runs_by_the_runtime_that_its_class_names,
    an_image_is_a_volume,
    the_api_server_passes_requests_on_to_pods_and_services,
    the_odd_things_go,
];

const MANIFEST: &str = include_str!("odd.yaml");
/// Pods of present images.
const RUN: Duration = Duration::from_secs(120);
/// The machine's own address in the cluster.
const NODE: &str = "10.250.0.1";

/// Makes the odd things, once.
fn made(machine: &Machine) {
    static MADE: Once = Once::new();
    MADE.call_once(|| {
        machine.load_images();
        machine.kubectl_given(RUN, &["apply", "-f", "-"], MANIFEST);
        machine.kubectl_within(RUN, &["wait", "-n", "odd", "pod", "--all", "--for=condition=Ready", "--timeout=110s"]);
    });
}

fn pods_that_ask_for_odd_things_run(machine: &Machine) {
    made(machine);
}

fn inside(machine: &Machine, command: &[&str]) -> String {
    machine.kubectl(&[&["exec", "-n", "odd", "runc", "--"], command].concat())
}

fn a_port_of_the_machine_leads_to_its_pod(machine: &Machine) {
    made(machine);
    let url = format!("http://{NODE}:8099/healthz");
    assert_eq!(inside(machine, &["wget", "-T", "10", "-qO-", &url]), "well\n");
}

fn a_pod_runs_by_the_runtime_that_its_class_names(machine: &Machine) {
    made(machine);
    let known = machine.kubectl(&["get", "nodes", "-o", "jsonpath={.items[0].status.runtimeHandlers[*].name}"]);
    assert_eq!(known.split_whitespace().collect::<Vec<_>>(), ["crun", "runc"]);
    let features = "jsonpath={.items[0].status.runtimeHandlers[*].features.recursiveReadOnlyMounts}";
    assert_eq!(machine.kubectl(&["get", "nodes", "-o", features]), "true true true", "the default is the third");
    // Both keep their state in one place, under names of their own.
    shop::wrench(machine);
    let state = |pod: &str| {
        let id = machine.value("odd", pod, "{.status.containerStatuses[0].containerID}");
        let folder = format!("/proc/1/root/run/containerd/runc/k8s.io/{}", id.trim_start_matches("containerd://"));
        machine.kubectl(&["exec", "-n", "kube-system", "wrench", "--", "ls", &folder])
    };
    assert!(state("pod/runc").contains("state.json"), "{}", state("pod/runc"));
    assert!(!state("pod/port").contains("state.json"), "{}", state("pod/port"));
}

fn an_image_is_a_volume(machine: &Machine) {
    made(machine);
    assert_eq!(inside(machine, &["cat", "/front/usr/share/shop/version"]), "v1\n");
}

fn the_api_server_passes_requests_on_to_pods_and_services(machine: &Machine) {
    made(machine);
    for path in ["services/http:port:http", "services/port:80", "pods/port:8080"] {
        let path = format!("/api/v1/namespaces/odd/{path}/proxy/healthz");
        assert_eq!(machine.kubectl(&["get", "--raw", &path]), "well\n", "{path}");
    }
}

fn the_odd_things_go(machine: &Machine) {
    made(machine);
    machine.kubectl_within(RUN, &["delete", "namespace", "odd", "--timeout=110s"]);
    machine.kubectl(&["delete", "runtimeclass", "runc"]);
}
