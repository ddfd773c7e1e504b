//! `/metrics/cadvisor`: usage under the names of cAdvisor (`metrics/prometheus.go`) that dashboards ask for.

use super::detail::{Detail, Disk, Interface};
use super::metrics::{float, moment, names, seconds};
use super::{Container, Usage};
use metrics::{Metric, Text};

const OF_CGROUP: &[&str] = &["container", "id", "image", "name", "namespace", "pod"];
const OF_CPU: &[&str] = &["container", "cpu", "id", "image", "name", "namespace", "pod"];
const OF_DEVICE: &[&str] = &["container", "device", "id", "image", "name", "namespace", "pod"];
const OF_INTERFACE: &[&str] = &["container", "id", "image", "interface", "name", "namespace", "pod"];

static CPU: Metric =
    Metric::counter("container_cpu_usage_seconds_total", OF_CPU, "CPU time that was used, in seconds of one core.");
static ROOM: Metric =
    Metric::gauge("container_fs_usage_bytes", OF_DEVICE, "Bytes that the container wrote over its image.");
static FAULTS: Metric = Metric::counter(
    "container_memory_failures_total",
    &["container", "failure_type", "id", "image", "name", "namespace", "pod", "scope"],
    "Page faults, and those that had to read.",
);
static CORES: Metric = Metric::gauge("machine_cpu_cores", &[], "CPUs of the machine.");
static MEMORY: Metric = Metric::gauge("machine_memory_bytes", &[], "Memory of the machine in bytes.");
static ERROR: Metric = Metric::gauge("container_scrape_error", &[], "1 when something could not be measured.");

const fn gauge(name: &'static str, help: &'static str) -> Metric {
    Metric::gauge(name, OF_CGROUP, help)
}

const fn counter(name: &'static str, help: &'static str) -> Metric {
    Metric::counter(name, OF_CGROUP, help)
}

/// A metric, and its value of one thing.
type Of<Thing> = (Metric, fn(&Thing) -> u64);
type OfCgroup = (Metric, fn(&Cgroup<'_>) -> Option<f64>);

/// One value for each cgroup of which it is known.
static PLAIN: [OfCgroup; 14] = [
    (gauge("container_memory_working_set_bytes", "Bytes of memory that cannot be given back easily."), |one| {
        one.working_set.map(float)
    }),
    (gauge("container_memory_usage_bytes", "Bytes of memory in use, caches among them."), |one| {
        one.used(|used| used.memory)
    }),
    (gauge("container_memory_rss", "Bytes of memory that no file backs."), |one| one.used(|used| used.anonymous)),
    (gauge("container_memory_cache", "Bytes of files in memory."), |one| one.detail(|detail| detail.cache)),
    (gauge("container_memory_swap", "Bytes that were swapped out."), |one| one.detail(|detail| detail.swap)),
    (counter("container_oom_events_total", "Processes that were killed for want of memory."), |one| {
        one.detail(|detail| detail.oom_kills)
    }),
    (counter("container_cpu_cfs_periods_total", "Periods in which a limit of CPU was enforced."), |one| {
        one.limited().map(|detail| float(detail.throttling[0]))
    }),
    (counter("container_cpu_cfs_throttled_periods_total", "Periods that the limit cut short."), |one| {
        one.limited().map(|detail| float(detail.throttling[1]))
    }),
    (counter("container_cpu_cfs_throttled_seconds_total", "Time that the limit cut off, in seconds."), |one| {
        one.limited().map(|detail| seconds(detail.throttling[2]))
    }),
    (gauge("container_spec_cpu_period", "Microseconds of a period of enforcement."), |one| {
        one.detail(|detail| detail.quota.1)
    }),
    (gauge("container_spec_cpu_quota", "Microseconds of CPU in a period."), |one| {
        one.limited().and_then(|detail| detail.quota.0).map(float)
    }),
    // cAdvisor shows 0 for no limit.
    (gauge("container_spec_memory_limit_bytes", "The most bytes of memory; 0 without a limit."), |one| {
        one.detail(|detail| detail.memory_max.unwrap_or(0))
    }),
    (gauge("container_start_time_seconds", "When the container was started, since 1970."), |one| {
        one.container?.started.map(moment)
    }),
    (gauge("container_last_seen", "When this was measured, since 1970."), |one| Some(one.at)),
];

/// One value for each disk of a cgroup.
static OF_DISKS: [Of<Disk>; 4] = [
    (Metric::counter("container_fs_reads_bytes_total", OF_DEVICE, "Bytes read."), |disk| disk.read[0]),
    (Metric::counter("container_fs_reads_total", OF_DEVICE, "Reads completed."), |disk| disk.read[1]),
    (Metric::counter("container_fs_writes_bytes_total", OF_DEVICE, "Bytes written."), |disk| disk.written[0]),
    (Metric::counter("container_fs_writes_total", OF_DEVICE, "Writes completed."), |disk| disk.written[1]),
];

const fn of_network(name: &'static str, help: &'static str) -> Metric {
    Metric::counter(name, OF_INTERFACE, help)
}

/// One value for each interface of a pod and of the machine.
static OF_NETWORK: [Of<Interface>; 8] = [
    (of_network("container_network_receive_bytes_total", "Bytes received."), |way| way.received[0]),
    (of_network("container_network_receive_packets_total", "Packets received."), |way| way.received[1]),
    (of_network("container_network_receive_errors_total", "Errors while receiving."), |way| way.received[2]),
    (of_network("container_network_receive_packets_dropped_total", "Packets dropped while receiving."), |way| {
        way.received[3]
    }),
    (of_network("container_network_transmit_bytes_total", "Bytes sent."), |way| way.sent[0]),
    (of_network("container_network_transmit_packets_total", "Packets sent."), |way| way.sent[1]),
    (of_network("container_network_transmit_errors_total", "Errors while sending."), |way| way.sent[2]),
    (of_network("container_network_transmit_packets_dropped_total", "Packets dropped while sending."), |way| {
        way.sent[3]
    }),
];

/// Every metric.
pub fn table() -> Vec<&'static Metric> {
    let own = [&CPU, &ROOM, &FAULTS, &CORES, &MEMORY, &ERROR];
    let plain = PLAIN.iter().map(|(metric, _)| metric);
    let disks = OF_DISKS.iter().map(|(metric, _)| metric);
    own.into_iter().chain(plain).chain(disks).chain(OF_NETWORK.iter().map(|(metric, _)| metric)).collect()
}

/// One cgroup as cAdvisor names it: the machine, a pod, or a container.
struct Cgroup<'a> {
    /// Container, id, image, name, namespace, pod.
    labels: [String; 6],
    at: f64,
    cpu_ns: Option<u64>,
    working_set: Option<u64>,
    used: Option<&'a super::cgroup::Used>,
    detail: Option<&'a Detail>,
    interfaces: &'a [Interface],
    container: Option<&'a Container>,
}

impl Cgroup<'_> {
    fn used(&self, of: fn(&super::cgroup::Used) -> u64) -> Option<f64> {
        self.used.or_else(|| Some(&self.detail?.used)).map(|used| float(of(used)))
    }

    fn detail(&self, of: fn(&Detail) -> u64) -> Option<f64> {
        self.detail.map(|detail| float(of(detail)))
    }

    /// cAdvisor shows nothing of enforcement where nothing is enforced.
    fn limited(&self) -> Option<&Detail> {
        self.detail.filter(|detail| detail.quota.0.is_some())
    }

    fn labels_with(&self, at: usize, more: &str) -> Vec<String> {
        let mut labels = self.labels.to_vec();
        labels.insert(at, more.to_owned());
        labels
    }
}

fn cgroups(usage: &Usage) -> Vec<Cgroup<'_>> {
    let (nothing, at) = (String::new, moment(usage.at));
    let mut all = vec![Cgroup {
        labels: ["", "/", "", "", "", ""].map(str::to_owned),
        at,
        cpu_ns: Some(usage.used.cpu_ns),
        working_set: Some(usage.used.working_set),
        used: Some(&usage.used),
        detail: None,
        interfaces: &usage.interfaces,
        container: None,
    }];
    for pod in &usage.pods {
        let [namespace, name] = names(&pod.pod).map(str::to_owned);
        let folder = pod.cgroup.clone().unwrap_or_default();
        all.push(Cgroup {
            labels: [nothing(), folder.clone(), nothing(), nothing(), namespace.clone(), name.clone()],
            at,
            cpu_ns: pod.used.map(|used| used.cpu_ns),
            working_set: pod.used.map(|used| used.working_set),
            used: pod.used.as_ref(),
            detail: pod.detail.as_ref(),
            interfaces: &pod.interfaces,
            container: None,
        });
        for container in &pod.containers {
            let id = &container.measured.id;
            let path = if folder.is_empty() { nothing() } else { format!("{folder}/{id}") };
            all.push(Cgroup {
                labels: [
                    container.name.clone(),
                    path,
                    container.image.clone(),
                    id.clone(),
                    namespace.clone(),
                    name.clone(),
                ],
                at,
                cpu_ns: container.measured.cpu_ns,
                working_set: container.measured.memory_working_set,
                used: None,
                detail: container.detail.as_ref(),
                interfaces: &[],
                container: Some(container),
            });
        }
    }
    all
}

/// Places of the labels that only some metrics have.
const CPU_AT: usize = 1;
const DEVICE_AT: usize = 1;
const FAILURE_AT: usize = 1;
const INTERFACE_AT: usize = 3;

/// All of it. Every value says when it was measured.
pub fn of(usage: &Usage) -> String {
    let (mut text, at) = (Text::default(), Some(usage.at.as_millisecond()));
    let all = cgroups(usage);
    let mut write = |metric: &Metric, values: Vec<(Vec<String>, f64)>| {
        text.head(metric);
        for (labels, value) in values {
            text.value(metric, &labels.iter().map(String::as_str).collect::<Vec<_>>(), value, at);
        }
    };
    let cpu = all.iter().filter_map(|one| Some((one.labels_with(CPU_AT, "total"), seconds(one.cpu_ns?))));
    write(&CPU, cpu.collect());
    for (metric, of) in &PLAIN {
        write(metric, all.iter().filter_map(|one| Some((one.labels.to_vec(), of(one)?))).collect());
    }
    let faults = |one: &Cgroup| {
        let used = one.used.or_else(|| Some(&one.detail?.used)).copied()?;
        let labels = |kind: &str| [one.labels_with(FAILURE_AT, kind), vec!["hierarchy".to_owned()]].concat();
        Some([(labels("pgfault"), float(used.faults)), (labels("pgmajfault"), float(used.major_faults))])
    };
    write(&FAULTS, all.iter().filter_map(faults).flatten().collect());
    let room = |one: &Cgroup| {
        Some((one.labels_with(DEVICE_AT, ""), float(one.container.and_then(|c| c.measured.writable_bytes)?)))
    };
    write(&ROOM, all.iter().filter_map(room).collect());
    for (metric, of) in &OF_DISKS {
        let disks = all.iter().flat_map(|one| one.detail.iter().flat_map(|d| &d.disks).map(move |disk| (one, disk)));
        write(metric, disks.map(|(one, disk)| (one.labels_with(DEVICE_AT, &disk.device), float(of(disk)))).collect());
    }
    for (metric, of) in &OF_NETWORK {
        let ways = all.iter().flat_map(|one| one.interfaces.iter().map(move |way| (one, way)));
        write(metric, ways.map(|(one, way)| (one.labels_with(INTERFACE_AT, &way.name), float(of(way)))).collect());
    }
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    text.only(&CORES, float(cores as u64));
    text.only(&MEMORY, float(usage.used.working_set + usage.used.available.unwrap_or_default()));
    text.only(&ERROR, 0.0);
    text.into_string()
}

#[cfg(test)]
mod tests {
    use super::super::metrics::tests::usage;
    use super::*;

    #[test]
    fn usage_is_written_as_cadvisor_names_it() {
        let mut usage = usage();
        let pod = &mut usage.pods[0];
        pod.interfaces =
            vec![Interface { name: "eth0".to_owned(), received: [5000, 40, 1, 2], sent: [6000, 50, 3, 4] }];
        pod.containers[0].detail = Some(Detail {
            quota: (Some(50_000), 100_000),
            throttling: [9, 4, 1_500_000_000],
            disks: vec![Disk { device: "/dev/vdb".to_owned(), read: [10, 1], written: [20, 2] }],
            ..Detail::default()
        });
        let text = of(&usage);
        let container = "id=\"/kubepods/u/c1\",image=\"i\",name=\"c1\",namespace=\"ns\",pod=\"p\"} ";
        let pod = "id=\"/kubepods/u\",image=\"\",name=\"\",namespace=\"ns\",pod=\"p\"} ";
        for line in [
            format!("container_cpu_usage_seconds_total{{container=\"c\",cpu=\"total\",{container}0.5 1767323045500"),
            "container_memory_working_set_bytes{container=\"\",id=\"/\",image=\"\",name=\"\",namespace=\"\",\
             pod=\"\"} 10 1767323045500"
                .to_owned(),
            format!("container_memory_rss{{container=\"\",{pod}0 1767323045500"),
            format!("container_cpu_cfs_throttled_periods_total{{container=\"c\",{container}4 1767323045500"),
            format!("container_cpu_cfs_throttled_seconds_total{{container=\"c\",{container}1.5 1767323045500"),
            format!("container_spec_cpu_quota{{container=\"c\",{container}50000 1767323045500"),
            format!("container_spec_memory_limit_bytes{{container=\"c\",{container}0 1767323045500"),
            format!("container_fs_writes_bytes_total{{container=\"c\",device=\"/dev/vdb\",{container}20 1767323045500"),
            "container_network_receive_bytes_total{container=\"\",id=\"/kubepods/u\",image=\"\",interface=\"eth0\",\
             name=\"\",namespace=\"ns\",pod=\"p\"} 5000 1767323045500"
                .to_owned(),
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        }
        assert!(!text.contains(&format!("cfs_periods_total{{container=\"\",{pod}")), "the pod has no limit");
        for metric in table() {
            assert!(text.contains(&format!("# TYPE {} ", metric.name)), "{}", metric.name);
        }
    }
}
