//! What a pod costs: itself, its requests, its limits.

use super::one;
use crate::list::{self, Malformed, ResourceList};
use crate::requests::{Options, is_pod_level, pod_limits, pod_requests};
use api::time::Instant;
use api::{Tree, meta};
use std::collections::{BTreeMap, BTreeSet};

const COUNT: &str = "count/pods";
const NAMES: &[&str] = &[
    COUNT,
    "cpu",
    "ephemeral-storage",
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "memory",
    "pods",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
/// What every container must name when a quota counts it. Upstream calls this a mistake that it must keep.
const MUST_BE_SAID: &[&str] = &["cpu", "limits.cpu", "limits.memory", "memory", "requests.cpu", "requests.memory"];
const HUGE_PAGES: &str = "hugepages-";
const REQUESTS: &str = "requests.";
const DEVICE_CLASS: &str = "deviceclass.resource.kubernetes.io/";

/// Whether a resource is one of Kubernetes' own: without a domain, or with Kubernetes' domain.
fn is_native(resource: &str) -> bool {
    !resource.contains('/') || resource.contains("kubernetes.io/")
}

pub(super) fn tracks(resource: &str) -> bool {
    let asked = resource.strip_prefix(REQUESTS);
    NAMES.contains(&resource)
        || asked.unwrap_or(resource).starts_with(HUGE_PAGES)
        || asked.is_some_and(|name| !is_native(resource) || name.starts_with(DEVICE_CLASS))
}

/// Requests and limits under the names that quotas count them by.
fn named(requests: &ResourceList, limits: &ResourceList) -> ResourceList {
    let mut usage = ResourceList::from([("pods".to_owned(), one())]);
    for (name, amount) in requests {
        let plain = matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") || name.starts_with(HUGE_PAGES);
        let extended = !is_native(name) && !name.starts_with(REQUESTS) || name.starts_with(DEVICE_CLASS);
        if plain {
            usage.insert(name.clone(), amount.clone());
        }
        if plain || extended {
            usage.insert(format!("{REQUESTS}{name}"), amount.clone());
        }
    }
    for name in ["cpu", "memory", "ephemeral-storage"] {
        if let Some(amount) = limits.get(name) {
            usage.insert(format!("limits.{name}"), amount.clone());
        }
    }
    usage
}

/// Whether a pod still costs more than its place in the store: not when it has ended, nor when its node did not let
/// go of it in time.
fn is_alive(pod: &Tree, now: Instant) -> bool {
    if matches!(pod.str_at(&["status", "phase"]), Some("Failed" | "Succeeded")) {
        return false;
    }
    let grace = pod.int_at(&["metadata", "deletionGracePeriodSeconds"]);
    let deleted = meta::deletion_timestamp(pod).and_then(|text| Instant::parse(text).ok());
    match (deleted, grace) {
        (Some(deleted), Some(grace)) => {
            let last = Instant { seconds: deleted.seconds.saturating_add(grace), nanos: deleted.nanos };
            now <= last
        }
        _ => true,
    }
}

pub(super) fn usage(pod: &Tree, now: Instant) -> Result<ResourceList, Malformed> {
    let mut usage = ResourceList::from([(COUNT.to_owned(), one())]);
    if is_alive(pod, now) {
        let options = Options { use_status: true, ..Options::default() };
        list::add(&mut usage, &named(&pod_requests(pod, &options)?, &pod_limits(pod, &options)?));
    }
    Ok(usage)
}

/// Whether the pod as a whole says what it asks for.
fn has_pod_level(pod: &Tree) -> bool {
    ["requests", "limits"].iter().any(|side| {
        pod.map_at(&["spec", "resources", side]).into_iter().flatten().any(|(n, _)| is_pod_level(n.as_str()))
    })
}

/// The words for what containers do not say though a quota counts it.
pub(super) fn lacks(required: &BTreeSet<&str>, pod: &Tree) -> Option<String> {
    if has_pod_level(pod) {
        return None;
    }
    let says = |container: &Tree, resource: &str| {
        let (side, name) = match resource.split_once('.') {
            Some((side, name)) => (side, name),
            None => ("requests", resource),
        };
        container.at(&["resources", side, name]).is_some()
    };
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let lists = [&["spec", "containers"][..], &["spec", "initContainers"][..]];
    for container in lists.into_iter().flat_map(|list| pod.list_at(list)) {
        for resource in required.iter().filter(|name| MUST_BE_SAID.contains(*name) && !says(container, name)) {
            missing.entry(*resource).or_default().insert(container.str_at(&["name"]).unwrap_or_default());
        }
    }
    let of = |(resource, names): (&str, BTreeSet<&str>)| {
        format!("{resource} for: {}", names.into_iter().collect::<Vec<_>>().join(","))
    };
    let said: Vec<String> = missing.into_iter().map(of).collect();
    (!said.is_empty()).then(|| format!("must specify {}", said.join("; ")))
}
