//! Metrics in Prometheus' text form: `/metrics/resource` as `k8s.io/kubernetes/pkg/kubelet/metrics/collectors` names
//! them, and a few of the kubelet's own.

use super::Usage;
use k8s_openapi::api::core::v1::Pod;
use std::fmt::Write;

/// One metric with its samples: labels, then value.
struct Metric {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    samples: Vec<(String, f64)>,
}

fn metric(name: &'static str, kind: &'static str, help: &'static str) -> Metric {
    Metric { name, kind, help, samples: Vec::new() }
}

fn text(metrics: &[Metric], stamp: &str) -> String {
    let mut out = String::new();
    for Metric { name, kind, help, samples } in metrics.iter().filter(|metric| !metric.samples.is_empty()) {
        writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("a String takes any text");
        for (labels, value) in samples {
            let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
            writeln!(out, "{name}{labels} {value}{stamp}").expect("a String takes any text");
        }
    }
    out
}

fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn pod_labels(pod: &Pod) -> String {
    let of = |text: &Option<String>| label(text.as_deref().unwrap_or_default());
    format!("namespace=\"{}\",pod=\"{}\"", of(&pod.metadata.namespace), of(&pod.metadata.name))
}

#[allow(clippy::cast_precision_loss, reason = "metrics are floating point")]
fn float(number: u64) -> f64 {
    number as f64
}

fn seconds(nanoseconds: u64) -> f64 {
    float(nanoseconds) / 1e9
}

/// `/metrics/resource`.
pub fn of(usage: &Usage) -> String {
    let mut node_cpu = metric("node_cpu_usage_seconds_total", "counter", "CPU time of the node in core-seconds");
    let mut node_memory = metric("node_memory_working_set_bytes", "gauge", "Working set of the node in bytes");
    let mut pod_cpu = metric("pod_cpu_usage_seconds_total", "counter", "CPU time of the pod in core-seconds");
    let mut pod_memory = metric("pod_memory_working_set_bytes", "gauge", "Working set of the pod in bytes");
    let mut cpu = metric("container_cpu_usage_seconds_total", "counter", "CPU time of the container in core-seconds");
    let mut memory = metric("container_memory_working_set_bytes", "gauge", "Working set of the container in bytes");
    let mut start =
        metric("container_start_time_seconds", "gauge", "Start of the container since the epoch in seconds");
    let mut error = metric("resource_scrape_error", "gauge", "1 if something could not be measured");
    node_cpu.samples.push((String::new(), seconds(usage.used.cpu_ns)));
    node_memory.samples.push((String::new(), float(usage.used.working_set)));
    error.samples.push((String::new(), 0.0));
    for pod in &usage.pods {
        let labels = pod_labels(&pod.pod);
        if let Some(used) = &pod.used {
            pod_cpu.samples.push((labels.clone(), seconds(used.cpu_ns)));
            pod_memory.samples.push((labels.clone(), float(used.working_set)));
        }
        for container in &pod.containers {
            let labels = format!("container=\"{}\",{labels}", label(&container.name));
            cpu.samples.extend(container.measured.cpu_ns.map(|ns| (labels.clone(), seconds(ns))));
            memory.samples.extend(container.measured.memory_working_set.map(|bytes| (labels.clone(), float(bytes))));
            start.samples.extend(container.started.map(|at| (labels, at.as_millisecond() as f64 / 1e3)));
        }
    }
    let stamp = format!(" {}", usage.at.as_millisecond());
    let stamped = text(&[cpu, memory, node_cpu, node_memory, pod_cpu, pod_memory], &stamp);
    stamped + &text(&[start, error], "")
}

/// `/metrics`: pods with a sandbox, and containers that are made, run, and have ended.
pub fn own(node: &str, pods: usize, containers: [usize; 3]) -> String {
    let mut running = metric("kubelet_running_pods", "gauge", "Pods that have a sandbox");
    running.samples.push((String::new(), float(pods as u64)));
    let mut states = metric("kubelet_running_containers", "gauge", "Containers by their state");
    for (state, count) in ["created", "running", "exited"].into_iter().zip(containers) {
        states.samples.push((format!("container_state=\"{state}\""), float(count as u64)));
    }
    let mut name = metric("kubelet_node_name", "gauge", "The node's name; the count is always 1");
    name.samples.push((format!("node=\"{}\"", label(node)), 1.0));
    text(&[name, states, running], "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::usage::cgroup::Used;
    use crate::server::usage::{Container, PodUsage, summary};
    use crate::server::view::Measured;
    use jiff::Timestamp;
    use std::sync::Arc;

    fn usage() -> Usage {
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p", "namespace": "ns", "uid": "u"}
        }))
        .unwrap();
        let at: Timestamp = "2026-01-02T03:04:05.5Z".parse().unwrap();
        let used = Used { cpu_ns: 1_500_000_000, working_set: 10, ..Used::default() };
        let measured = Measured {
            id: "c1".to_owned(),
            cpu_ns: Some(500_000_000),
            memory_working_set: Some(7),
            ..Measured::default()
        };
        let container = Container { name: "c".to_owned(), started: Some(at), measured, nano_cores: Some(3) };
        let pod = PodUsage { pod: Arc::new(pod), used: Some(used), nano_cores: None, containers: vec![container] };
        Usage { node: "n".to_owned(), at, used, nano_cores: Some(9), booted: Some(at), room: None, pods: vec![pod] }
    }

    #[test]
    fn usage_is_written_as_metrics() {
        let text = of(&usage());
        for line in [
            "# TYPE container_cpu_usage_seconds_total counter",
            "container_cpu_usage_seconds_total{container=\"c\",namespace=\"ns\",pod=\"p\"} 0.5 1767323045500",
            "container_memory_working_set_bytes{container=\"c\",namespace=\"ns\",pod=\"p\"} 7 1767323045500",
            "container_start_time_seconds{container=\"c\",namespace=\"ns\",pod=\"p\"} 1767323045.5",
            "node_cpu_usage_seconds_total 1.5 1767323045500",
            "pod_memory_working_set_bytes{namespace=\"ns\",pod=\"p\"} 10 1767323045500",
            "resource_scrape_error 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn usage_is_written_as_a_summary() {
        let summary = summary::of(&usage());
        assert_eq!(summary["node"]["nodeName"], "n");
        assert_eq!(summary["node"]["cpu"]["usageNanoCores"], 9);
        assert_eq!(summary["node"]["startTime"], "2026-01-02T03:04:05Z");
        let pod = &summary["pods"][0];
        assert_eq!(pod["podRef"], serde_json::json!({"name": "p", "namespace": "ns", "uid": "u"}));
        assert_eq!(pod["memory"]["workingSetBytes"], 10);
        assert_eq!(pod["containers"][0]["cpu"]["usageCoreNanoSeconds"], 500_000_000);
        assert_eq!(pod["containers"][0]["memory"]["workingSetBytes"], 7);
    }

    #[test]
    fn the_kubelets_own_metrics_count_pods_and_containers() {
        let text = own("n", 2, [0, 3, 1]);
        assert!(text.contains("kubelet_running_pods 2\n"), "{text}");
        assert!(text.contains("kubelet_running_containers{container_state=\"running\"} 3\n"), "{text}");
    }
}
