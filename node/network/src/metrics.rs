//! What the service proxy and the DNS count. Names and labels are those of `k8s.io/kubernetes/pkg/proxy/metrics` and of
//! CoreDNS.

use ::metrics::{Metric, Table, Values};

/// How long a change of the rules took.
pub static SYNC_SECONDS: Metric = Metric::histogram(
    "kubeproxy_sync_proxy_rules_duration_seconds",
    &["ip_family"],
    &[0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384],
    "How long it took to bring the kernel's rules in step.",
);
/// When the rules were last right.
pub static SYNCED_AT: Metric = Metric::gauge(
    "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
    &["ip_family"],
    "When the kernel's rules were last in step, since 1970.",
);
/// Refusals of the kernel.
pub static SYNC_FAILURES: Metric = Metric::counter(
    "kubeproxy_sync_proxy_rules_nftables_sync_failures_total",
    &["ip_family"],
    "Changes that the kernel refused.",
);

/// Questions.
pub static DNS_REQUESTS: Metric = Metric::counter(
    "coredns_dns_requests_total",
    &["server", "zone", "view", "proto", "family", "type"],
    "Questions that came, by how and for what type.",
);
/// Answers.
pub static DNS_RESPONSES: Metric = Metric::counter(
    "coredns_dns_responses_total",
    &["server", "zone", "view", "rcode", "plugin"],
    "Answers that were given, by their code.",
);
/// How long answers took.
pub static DNS_SECONDS: Metric = Metric::histogram(
    "coredns_dns_request_duration_seconds",
    &["server", "zone", "view"],
    &[
        0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096,
        8.192,
    ],
    "How long answers took.",
);

/// The proxy's.
pub static PROXY: Table = &[&SYNC_SECONDS, &SYNCED_AT, &SYNC_FAILURES];
/// The DNS's.
pub static DNS: Table = &[&DNS_REQUESTS, &DNS_RESPONSES, &DNS_SECONDS];

/// No values yet.
#[must_use]
pub fn values() -> Values {
    Values::new(&[PROXY, DNS])
}
