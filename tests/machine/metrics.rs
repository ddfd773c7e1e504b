//! What is used, and whether the parts are well: `kubectl top` and the pages of metrics. Beside them the controllers
//! that keep daemons and schedules, whose work shows there.

use crate::harness::{Machine, eventually};
use crate::runner::{Step, steps};
use std::time::Duration;

/// In this order.
pub const STEPS: &[Step] = steps![
    a_daemonset_runs_a_pod_on_the_node,
    kubectl_top_shows_the_node_and_what_a_busy_container_uses,
    the_metrics_pages_show_what_the_parts_did,
    a_cronjob_makes_a_job_within_the_minute,
];

/// One pod's whole life, emulated.
const POD: Duration = Duration::from_secs(180);
/// A minute until the schedule comes round, and a pod.
const MINUTE: Duration = Duration::from_secs(240);

fn a_daemonset_runs_a_pod_on_the_node(machine: &Machine) {
    machine.load_images();
    let set = r#"{"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "busy"}, "spec": {
        "selector": {"matchLabels": {"app": "busy"}}, "template": {"metadata": {"labels": {"app": "busy"}}, "spec": {
        "terminationGracePeriodSeconds": 1, "containers": [{"name": "loop", "image": "shop.local/tools:v1",
        "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", "while :; do :; done"],
        "resources": {"limits": {"cpu": "200m"}}}]}}}}"#;
    machine.kubectl_given(POD, &["apply", "-f", "-"], set);
    machine.kubectl_within(POD, &["rollout", "status", "daemonset/busy", "--timeout=170s"]);
    assert_eq!(machine.value("default", "daemonset/busy", "{.status.numberAvailable}"), "1");
}

/// The number before a unit.
fn number(word: &str, unit: &str) -> u64 {
    word.strip_suffix(unit).and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("{word} is not in {unit}"))
}

fn kubectl_top_shows_the_node_and_what_a_busy_container_uses(machine: &Machine) {
    // A container is left out until it has run for a moment.
    eventually("the busy container is measured", POD, || {
        let rows = machine.kubectl(&["top", "pod", "-l", "app=busy", "--containers", "--no-headers"]);
        let words: Vec<&str> = rows.split_whitespace().collect();
        match words.as_slice() {
            [_, "loop", cpu, memory] if number(cpu, "m") >= 50 => {
                number(memory, "Mi");
                Ok(())
            }
            _ => Err(rows),
        }
    });
    let node = machine.kubectl(&["top", "node", "--no-headers"]);
    let words: Vec<&str> = node.split_whitespace().collect();
    assert!(number(words[1], "m") >= 50 && number(words[3], "Mi") >= 50, "{node}");
    assert!(words[2].ends_with('%') && words[4].ends_with('%'), "{node}");
    let all = machine.kubectl(&["get", "--raw", "/apis/metrics.k8s.io/v1beta1/pods"]);
    assert!(all.contains("\"kind\":\"PodMetricsList\""), "{all}");
}

fn the_metrics_pages_show_what_the_parts_did(machine: &Machine) {
    let node = machine.kubectl(&["get", "nodes", "-o", "name"]);
    let name = node.trim().trim_start_matches("node/");
    let below = format!("/api/v1/nodes/{name}/proxy");
    let pages = [
        (
            "/metrics".to_owned(),
            vec![
                "apiserver_request_total{",
                "apiserver_storage_objects{resource=\"pods\"} ",
                "workqueue_adds_total{name=\"daemonset\"} ",
                "scheduler_schedule_attempts_total{result=\"scheduled\",profile=\"default-scheduler\"} ",
                "process_resident_memory_bytes ",
            ],
        ),
        (
            format!("{below}/metrics"),
            vec!["kubelet_running_pods ", "kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family=\"IPv4\"} "],
        ),
        (format!("{below}/metrics/resource"), vec!["container_cpu_usage_seconds_total{container=\"loop\","]),
        (
            format!("{below}/metrics/cadvisor"),
            vec![
                "container_cpu_usage_seconds_total{container=\"loop\",cpu=\"total\",id=\"/kubepods",
                "container_memory_cache{container=\"loop\",id=\"/kubepods",
                "container_network_transmit_bytes_total{container=\"\",id=\"/kubepods",
                "container_network_transmit_bytes_total{container=\"\",id=\"/\",image=\"\",interface=\"eth0\"",
                "machine_memory_bytes ",
            ],
        ),
    ];
    for (path, wants) in pages {
        let page = machine.kubectl(&["get", "--raw", &path]);
        for want in wants {
            assert!(page.lines().any(|line| line.starts_with(want)), "{want} is not in {path}:\n{page}");
        }
    }
}

fn a_cronjob_makes_a_job_within_the_minute(machine: &Machine) {
    let every_minute = "--schedule=* * * * *";
    let image = "--image=shop.local/tools:v1";
    machine.kubectl(&["create", "cronjob", "tide", image, every_minute, "--", "true"]);
    eventually("a job of the schedule succeeds", MINUTE, || {
        let last = machine.value("default", "cronjob/tide", "{.status.lastSuccessfulTime}");
        if last.is_empty() { Err(machine.kubectl(&["get", "jobs,pods"])) } else { Ok(()) }
    });
    machine.kubectl(&["delete", "cronjob", "tide"]);
}
