//! Usage as metrics: `/metrics/resource` as `k8s.io/kubernetes/pkg/kubelet/metrics/collectors` names it, and the
//! kubelet's own `/metrics`.

use super::{Container, PodUsage, Usage};
use k8s_openapi::api::core::v1::Pod;
use metrics::{Metric, Text};

const OF_POD: &[&str] = &["namespace", "pod"];
const OF_CONTAINER: &[&str] = &["container", "namespace", "pod"];

static NODE_CPU: Metric =
    Metric::counter("node_cpu_usage_seconds_total", &[], "CPU time that the node used, in seconds of one core.");
static NODE_MEMORY: Metric =
    Metric::gauge("node_memory_working_set_bytes", &[], "Bytes of memory that the node cannot give back easily.");
static POD_CPU: Metric =
    Metric::counter("pod_cpu_usage_seconds_total", OF_POD, "CPU time that the pod used, in seconds of one core.");
static POD_MEMORY: Metric =
    Metric::gauge("pod_memory_working_set_bytes", OF_POD, "Bytes of memory that the pod cannot give back easily.");
static CPU: Metric = Metric::counter(
    "container_cpu_usage_seconds_total",
    OF_CONTAINER,
    "CPU time that the container used, in seconds of one core.",
);
static MEMORY: Metric = Metric::gauge(
    "container_memory_working_set_bytes",
    OF_CONTAINER,
    "Bytes of memory that the container cannot give back easily.",
);
static START: Metric =
    Metric::gauge("container_start_time_seconds", OF_CONTAINER, "When the container was started, since 1970.");
static ERROR: Metric = Metric::gauge("resource_scrape_error", &[], "1 when something could not be measured.");

/// What `/metrics/resource` shows.
pub static RESOURCE: metrics::Table = &[&CPU, &MEMORY, &START, &NODE_CPU, &NODE_MEMORY, &POD_CPU, &POD_MEMORY, &ERROR];

static PODS: Metric = Metric::gauge("kubelet_running_pods", &[], "Pods that have a sandbox.");
static CONTAINERS: Metric =
    Metric::gauge("kubelet_running_containers", &["container_state"], "Containers by what they do.");
static NODE: Metric = Metric::gauge("kubelet_node_name", &["node"], "The node's name; the value is always 1.");

/// The kubelet's own.
pub static OWN: metrics::Table = &[&PODS, &CONTAINERS, &NODE];

pub(super) fn names(pod: &Pod) -> [&str; 2] {
    [pod.metadata.namespace.as_deref().unwrap_or_default(), pod.metadata.name.as_deref().unwrap_or_default()]
}

#[allow(clippy::cast_precision_loss, reason = "metrics are floating point")]
pub(super) fn float(number: u64) -> f64 {
    number as f64
}

pub(super) fn seconds(nanoseconds: u64) -> f64 {
    float(nanoseconds) / 1e9
}

#[allow(clippy::cast_precision_loss, reason = "metrics are floating point")]
pub(super) fn moment(at: jiff::Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1e3
}

/// Writes one value for every container of which it is known.
fn containers(
    text: &mut Text,
    usage: &Usage,
    metric: &Metric,
    at: Option<i64>,
    of: impl Fn(&Container) -> Option<f64>,
) {
    text.head(metric);
    for pod in &usage.pods {
        let [namespace, name] = names(&pod.pod);
        for container in &pod.containers {
            if let Some(value) = of(container) {
                text.value(metric, &[&container.name, namespace, name], value, at);
            }
        }
    }
}

fn pods(text: &mut Text, usage: &Usage, metric: &Metric, at: Option<i64>, of: impl Fn(&PodUsage) -> Option<f64>) {
    text.head(metric);
    for pod in &usage.pods {
        if let Some(value) = of(pod) {
            text.value(metric, &names(&pod.pod), value, at);
        }
    }
}

/// `/metrics/resource`. Every value says when it was measured, so that rates are over the time between.
pub fn of(usage: &Usage) -> String {
    let (mut text, at) = (Text::default(), Some(usage.at.as_millisecond()));
    containers(&mut text, usage, &CPU, at, |c| c.measured.cpu_ns.map(seconds));
    containers(&mut text, usage, &MEMORY, at, |c| c.measured.memory_working_set.map(float));
    containers(&mut text, usage, &START, None, |c| c.started.map(moment));
    text.head(&NODE_CPU);
    text.value(&NODE_CPU, &[], seconds(usage.used.cpu_ns), at);
    text.head(&NODE_MEMORY);
    text.value(&NODE_MEMORY, &[], float(usage.used.working_set), at);
    pods(&mut text, usage, &POD_CPU, at, |p| p.used.map(|used| seconds(used.cpu_ns)));
    pods(&mut text, usage, &POD_MEMORY, at, |p| p.used.map(|used| float(used.working_set)));
    text.only(&ERROR, 0.0);
    text.into_string()
}

/// `/metrics`: pods with a sandbox, and containers that are made, run, and have ended.
pub fn own(node: &str, pods: usize, containers: [usize; 3]) -> String {
    let mut text = Text::default();
    text.only(&PODS, float(pods as u64));
    text.head(&CONTAINERS);
    for (state, count) in ["created", "running", "exited"].into_iter().zip(containers) {
        text.value(&CONTAINERS, &[state], float(count as u64), None);
    }
    text.head(&NODE);
    text.value(&NODE, &[node], 1.0, None);
    text.into_string()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::server::usage::cgroup::Used;
    use crate::server::usage::{Container, PodUsage, summary};
    use crate::server::view::Measured;
    use jiff::Timestamp;
    use std::sync::Arc;

    pub(in super::super) fn usage() -> Usage {
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
        let container = Container {
            name: "c".to_owned(),
            image: "i".to_owned(),
            started: Some(at),
            measured,
            nano_cores: Some(3),
            detail: None,
        };
        let pod = PodUsage {
            pod: Arc::new(pod),
            cgroup: Some("/kubepods/u".to_owned()),
            used: Some(used),
            nano_cores: None,
            detail: None,
            interfaces: Vec::new(),
            containers: vec![container],
        };
        Usage {
            node: "n".to_owned(),
            at,
            used,
            nano_cores: Some(9),
            booted: Some(at),
            room: None,
            interfaces: Vec::new(),
            pods: vec![pod],
        }
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
