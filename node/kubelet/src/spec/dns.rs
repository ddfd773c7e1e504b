//! A pod's resolver file by its `dnsPolicy` and `dnsConfig`, within the limits of the C library, as upstream's
//! `pkg/kubelet/network/dns`.

use crate::cri::v1;
use crate::pod;
use client::Meta;
use k8s_openapi::api::core::v1::Pod;
use std::collections::BTreeMap;

/// Name servers at most, as the C library reads.
pub const SERVERS_MAX: usize = 3;
/// Search domains at most, as the API allows.
pub const SEARCHES_MAX: usize = 32;
/// Letters of the search line at most, as the API allows.
pub const SEARCH_LETTERS_MAX: usize = 2048;

/// What a resolver file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolver {
    /// Name servers.
    pub servers: Vec<String>,
    /// Search domains.
    pub searches: Vec<String>,
    /// Options, `ndots:5` for example.
    pub options: Vec<String>,
}

/// Reads a `resolv.conf`; later `search` lines replace earlier ones.
#[must_use]
pub fn parse(text: &str) -> Resolver {
    let mut resolver = Resolver::default();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => resolver.servers.extend(words.next().map(str::to_owned)),
            Some("search") => {
                let domains = words.filter(|word| *word != ".");
                resolver.searches = domains.map(|word| word.trim_end_matches('.').to_owned()).collect();
            }
            Some("options") => resolver.options.extend(words.map(str::to_owned)),
            _ => (),
        }
    }
    resolver
}

/// The cluster's part.
#[derive(Clone, Copy, Debug)]
pub struct Cluster<'a> {
    /// Its name servers.
    pub servers: &'a [String],
    /// Its domain.
    pub domain: &'a str,
}

/// The resolver file of a pod, given that of the node.
#[must_use]
pub fn of_pod(pod: &Pod, node: &Resolver, cluster: Cluster<'_>) -> v1::DnsConfig {
    let policy = pod::spec(pod).dns_policy.as_deref().unwrap_or("ClusterFirst");
    let mut resolver = match policy {
        "None" => Resolver::default(),
        "Default" => node.clone(),
        "ClusterFirst" if pod::on_host_network(pod) => node.clone(),
        _ if cluster.servers.is_empty() => node.clone(),
        _ => Resolver {
            servers: cluster.servers.to_vec(),
            searches: cluster_searches(pod.namespace(), cluster.domain, &node.searches),
            options: vec!["ndots:5".to_owned()],
        },
    };
    if let Some(more) = &pod::spec(pod).dns_config {
        resolver.servers.extend(more.nameservers.iter().flatten().cloned());
        resolver.searches.extend(more.searches.iter().flatten().cloned());
        let named = more.options.iter().flatten();
        let options = named.map(|o| (o.name.clone().unwrap_or_default(), o.value.clone().unwrap_or_default()));
        resolver.options = merge(&resolver.options, options);
    }
    let mut servers = unique(resolver.servers);
    servers.truncate(SERVERS_MAX);
    v1::DnsConfig { servers, searches: within_limits(unique(resolver.searches)), options: resolver.options }
}

fn cluster_searches(namespace: &str, domain: &str, node: &[String]) -> Vec<String> {
    if domain.is_empty() {
        return node.to_vec();
    }
    let ours = [format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.to_owned()];
    ours.into_iter().chain(node.iter().cloned()).collect()
}

fn unique(list: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::with_capacity(list.len());
    for item in list {
        if !kept.contains(&item) {
            kept.push(item);
        }
    }
    kept
}

fn merge(there: &[String], more: impl Iterator<Item = (String, String)>) -> Vec<String> {
    let split = |option: &String| match option.split_once(':') {
        Some((name, value)) => (name.to_owned(), value.to_owned()),
        None => (option.clone(), String::new()),
    };
    let all: BTreeMap<String, String> = there.iter().map(split).chain(more).collect();
    all.into_iter().map(|(name, value)| if value.is_empty() { name } else { format!("{name}:{value}") }).collect()
}

fn within_limits(mut searches: Vec<String>) -> Vec<String> {
    searches.truncate(SEARCHES_MAX);
    let letters = |list: &[String]| list.iter().map(|s| s.len() + 1).sum::<usize>().saturating_sub(1);
    while letters(&searches) > SEARCH_LETTERS_MAX {
        searches.pop();
    }
    searches
}
