//! Faults of what containers and pods ask for: names of resources, amounts, requests against limits.

use crate::kinds::place::{NEGATIVE, Place};
use crate::rules::Faults;
use api::{FieldError, FieldPath, Quantity, Tree};

/// Resources without a prefix that exist at all.
const STANDARD: &[&str] = &[
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "storage",
    "requests.storage",
    "services.nodeports",
    "services.loadbalancers",
];
/// Resources that are counted, not measured.
const COUNTED: &[&str] = &[
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];
const QUOTA_PREFIX: &str = "requests.";

fn is_pages(name: &str) -> bool {
    name.starts_with("hugepages-")
}

fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

fn is_extended(name: &str) -> bool {
    let quota = format!("{QUOTA_PREFIX}{name}");
    !is_native(name) && !name.starts_with(QUOTA_PREFIX) && api::names::label_key(&quota).is_empty()
}

/// Whether a request may stay below its limit.
fn may_overcommit(name: &str) -> bool {
    is_native(name) && !is_pages(name)
}

/// Faults of the name of a resource anywhere.
pub fn resource_name(name: &str, path: &FieldPath, faults: &mut Faults) -> bool {
    let wrong = api::names::label_key(name);
    if wrong.is_empty() && !name.contains('/') && !STANDARD.contains(&name) && !is_pages(name) {
        let why = "must be a standard resource type or fully qualified";
        faults.push(FieldError::invalid(path.clone(), name, why));
        return false;
    }
    let good = wrong.is_empty();
    faults.extend(wrong.into_iter().map(|why| FieldError::invalid(path.clone(), name, why)));
    good
}

/// A quantity as it was written, whether as text or as a number.
pub(super) fn read(value: &Tree) -> Option<Quantity> {
    match value {
        Tree::Text(text) => Quantity::parse(text).ok(),
        Tree::Int(whole) => Quantity::parse(&whole.to_string()).ok(),
        Tree::Float(amount) => Quantity::parse(&amount.to_string()).ok(),
        _ => None,
    }
}

/// Faults of the amount of a resource.
pub fn quantity(name: &str, amount: &Place, faults: &mut Faults) {
    let Some(given) = read(amount.value) else { return };
    if given.sign() < 0 {
        faults.push(FieldError::invalid(amount.path.clone(), given.to_string(), NEGATIVE));
    }
    if (COUNTED.contains(&name) || is_extended(name)) && given.milli() % 1000 != 0 {
        faults.push(FieldError::invalid(amount.path.clone(), given.to_string(), "must be an integer"));
    }
}

fn of_container_name(name: &str, path: &FieldPath, faults: &mut Faults) {
    resource_name(name, path, faults);
    let why = if !name.contains('/') {
        let known = ["cpu", "memory", "ephemeral-storage"].contains(&name) || is_pages(name);
        (!known).then_some("must be a standard resource for containers")
    } else {
        (!is_native(name) && !is_extended(name)).then_some("doesn't follow extended resource name standard")
    };
    faults.extend(why.map(|why| FieldError::invalid(path.clone(), name, why)));
}

fn of_pod_name(name: &str, path: &FieldPath, faults: &mut Faults) {
    if resource_name(name, path, faults) && !pods::requests::is_pod_level(name) {
        faults.push(FieldError::not_supported(path.clone(), name, &["cpu", "hugepages-", "memory"]));
    }
}

/// Faults of what a container asks for. `claims` are the names of the pod's claims of devices.
pub(super) fn of_container(resources: &Place, claims: &[&str], faults: &mut Faults) {
    requirements(resources, of_container_name, faults);
    let mut seen = Vec::new();
    for claim in resources.at("claims").items() {
        let name = claim.at("name");
        if !name.must(faults, "") {
            continue;
        }
        let one = (name.text(), claim.at("request").text());
        if seen.contains(&one) {
            name.duplicate(faults);
        }
        seen.push(one);
        if !claims.contains(&name.text()) {
            name.not_found(faults);
        }
    }
}

fn requirements(resources: &Place, name_of: fn(&str, &FieldPath, &mut Faults), faults: &mut Faults) {
    let (limits, requests) = (resources.at("limits"), resources.at("requests"));
    for (name, amount) in limits.entries() {
        name_of(name, &amount.path, faults);
        quantity(name, &amount, faults);
        whole_pages(name, &amount, faults);
    }
    for (name, amount) in requests.entries() {
        name_of(name, &amount.path, faults);
        quantity(name, &amount, faults);
        against_limit(name, &amount, &limits, &requests, faults);
        whole_pages(name, &amount, faults);
    }
    let names = || limits.entries().chain(requests.entries()).map(|(name, _)| name);
    if names().any(is_pages) && !names().any(|name| name == "cpu" || name == "memory") {
        resources.forbidden(faults, "HugePages require cpu or memory");
    }
}

fn against_limit(name: &str, amount: &Place, limits: &Place, requests: &Place, faults: &mut Faults) {
    let Some(asked) = read(amount.value) else { return };
    let Some(limit) = limits.value.get(name).and_then(read) else {
        if !may_overcommit(name) {
            limits.required(faults, "Limit must be set for non overcommitable resources");
        }
        return;
    };
    let words = match () {
        () if asked != limit && !may_overcommit(name) => "equal to",
        () if asked > limit => "less than or equal to",
        () => return,
    };
    let why = format!("must be {words} {name} limit of {limit}");
    faults.push(FieldError::invalid(requests.path.clone(), asked.to_string(), why));
}

fn whole_pages(name: &str, amount: &Place, faults: &mut Faults) {
    let Some(Ok(page)) = name.strip_prefix("hugepages-").map(Quantity::parse) else { return };
    let Some(given) = read(amount.value).filter(|_| page.value() > 0) else { return };
    if given.value() % page.value() != 0 {
        let why = format!("{given} is not positive integer multiple of {name}");
        faults.push(FieldError::invalid(amount.path.clone(), given.to_string(), why));
    }
}

/// Faults of what a pod as a whole asks for.
pub(super) fn of_pod(spec: &Place, faults: &mut Faults) {
    let resources = spec.at("resources");
    if !resources.given() {
        return;
    }
    if spec.down(&["os", "name"]).text() == "windows" {
        return resources.forbidden(faults, "may not be set for a windows pod");
    }
    if resources.at("claims").given() {
        resources.at("claims").forbidden(faults, "claims may not be set for Resources at pod-level");
    }
    requirements(&resources, of_pod_name, faults);
    let options = pods::Options { without_pod_level: true, without_overhead: true, ..pods::Options::default() };
    let mut pod = Tree::map();
    pod.set("spec", spec.value.clone());
    let Ok(sum) = pods::pod_requests(&pod, &options) else { return };
    for (name, amount) in resources.at("requests").entries() {
        if let (Some(whole), Some(parts)) = (read(amount.value), sum.get(name))
            && *parts > whole
        {
            let why = format!("must be greater than or equal to aggregate container requests of {parts}");
            faults.push(FieldError::invalid(amount.path.clone(), whole.to_string(), why));
        }
    }
    let limits = resources.at("limits");
    for container in spec.at("containers").items() {
        for (name, amount) in container.down(&["resources", "limits"]).entries() {
            let (Some(one), Some(whole)) = (read(amount.value), limits.value.get(name).and_then(read)) else {
                continue;
            };
            if one > whole {
                let why = format!("must be less than or equal to pod limits of {whole}");
                faults.push(FieldError::invalid(amount.path.clone(), one.to_string(), why));
            }
        }
    }
}
