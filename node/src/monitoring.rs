//! Every metric of every part is as upstream has it: what upstream promises to keep (`monitoring/stable.txt`, facts of
//! `k8s.io/kubernetes/test/instrumentation/testdata/stable-metrics-list.yaml`) is served with its kind and labels, or
//! named with the reason why not (`monitoring/absent.txt`).

use metrics::{Kind, Metric, Table};
use std::collections::{BTreeMap, BTreeSet};

/// The tables of every part.
const TABLES: &[Table] = &[
    apiserver::monitor::TABLE,
    apiserver::monitor::LOOKED_UP,
    client::queue::METRICS,
    controllers::metrics::TABLE,
    scheduler::metrics::TABLE,
    network::metrics::PROXY,
    network::metrics::DNS,
    kubelet::server::tables::RESOURCE,
    kubelet::server::tables::OWN,
    kubelet::probe::METRICS,
];

/// Of every page. On that of cAdvisor its names are those of other metrics, with other labels.
fn served() -> impl Iterator<Item = &'static Metric> {
    TABLES.iter().copied().flatten().copied().chain(kubelet::server::tables::cadvisor_table())
}

fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Name, kind, labels.
fn stable() -> BTreeMap<&'static str, (&'static str, BTreeSet<&'static str>)> {
    let line = |line: &'static str| {
        let words: Vec<&str> = line.split(' ').collect();
        let [name, kind, _, labels] = words.as_slice() else { panic!("{line}") };
        (*name, (*kind, labels.split(',').filter(|label| *label != "-").collect()))
    };
    lines(include_str!("monitoring/stable.txt")).map(line).collect()
}

#[test]
fn names_are_names_and_help_is_told() {
    let mut seen = BTreeSet::new();
    for table in TABLES {
        for metric in *table {
            assert!(seen.insert(metric.name), "{} is declared twice", metric.name);
        }
    }
    for metric in served() {
        let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(metric.name.chars().all(letters), "{}", metric.name);
        assert!(metric.help.ends_with('.'), "{}: {}", metric.name, metric.help);
        assert_eq!(metric.kind == Kind::Counter, metric.name.ends_with("_total"), "{}", metric.name);
        if let Kind::Histogram(bounds) = metric.kind {
            assert!(bounds.is_sorted(), "{}", metric.name);
        }
    }
}

#[test]
fn what_upstream_promises_is_served_as_there_or_absent_for_a_reason() {
    let stable = stable();
    let absent: BTreeMap<&str, &str> =
        lines(include_str!("monitoring/absent.txt")).map(|line| line.split_once(' ').expect("a reason")).collect();
    let ours: BTreeMap<&str, &Metric> = TABLES.iter().copied().flatten().map(|metric| (metric.name, *metric)).collect();
    for (name, (kind, labels)) in &stable {
        match (ours.get(name), absent.get(name)) {
            (Some(metric), None) => {
                assert_eq!(&metric.labels.iter().copied().collect::<BTreeSet<_>>(), labels, "{name}");
                let own = match metric.kind {
                    Kind::Counter => "Counter",
                    Kind::Gauge => "Gauge",
                    Kind::Histogram(_) => "Histogram",
                };
                assert!(*kind == "Custom" || *kind == own, "{name} is a {kind}");
            }
            (None, Some(_)) => {}
            (None, None) => panic!("{name} is neither served nor in absent.txt"),
            (Some(_), Some(_)) => panic!("{name} is served, and in absent.txt"),
        }
    }
    for name in absent.keys() {
        assert!(stable.contains_key(name), "{name} is in absent.txt and not in stable.txt");
    }
}
