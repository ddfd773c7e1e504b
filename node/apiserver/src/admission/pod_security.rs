//! Pod Security: a namespace's labels say how much a pod in it may dare. Pods that dare more are refused or warned
//! about, workloads that would make such pods only warned about. Rules of `k8s.io/pod-security-admission/admission`.
//! What the levels forbid is in `checks`; what the labels mean is in `policy`.

mod baseline;
mod checks;
mod policy;
mod restricted;
mod said;

use super::{Attributes, Operation};
use api::{FieldError, FieldPath, Status, Tree, meta};
use checks::Violations;
use policy::{Level, Policy, Standard};
use std::collections::BTreeMap;

/// Existing pods that are looked at when a namespace becomes stricter; upstream's number.
const PODS_CHECKED_MAX: usize = 3000;

/// Writes to these parts of a pod cannot change what it dares.
const HARMLESS: &[&str] = &["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"];

/// Where workloads keep the template of their pods.
const TEMPLATES: &[(&str, &str, &[&str])] = &[
    ("", "podtemplates", &["template"]),
    ("", "replicationcontrollers", &["spec", "template"]),
    ("apps", "daemonsets", &["spec", "template"]),
    ("apps", "deployments", &["spec", "template"]),
    ("apps", "replicasets", &["spec", "template"]),
    ("apps", "statefulsets", &["spec", "template"]),
    ("batch", "cronjobs", &["spec", "jobTemplate", "spec", "template"]),
    ("batch", "jobs", &["spec", "template"]),
];

/// Judges pods, workloads and the labels of namespaces.
pub fn validate(attributes: &Attributes, object: Option<&Tree>) -> Result<(), Status> {
    let writes = matches!(attributes.operation, Operation::Create | Operation::Update);
    let Some(object) = object.filter(|_| writes) else { return Ok(()) };
    let (resource, subresource) = (&attributes.call.resource, attributes.call.info.subresource.as_str());
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "namespaces") if subresource.is_empty() => namespace(attributes, object),
        ("", "pods") if !HARMLESS.contains(&subresource) => pod(attributes, object),
        (group, plural) if subresource.is_empty() => {
            let found = TEMPLATES.iter().find(|(g, p, _)| (*g, *p) == (group, plural));
            match found.and_then(|(_, _, path)| object.at(path)) {
                Some(template) => workload(attributes, template),
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// The policy of the namespace of the write.
fn policy_of(attributes: &Attributes) -> Result<Policy, Status> {
    let name = attributes.call.info.namespace.as_str();
    let namespaces = attributes.server.resource("", "v1", "namespaces")?;
    let found = attributes.server.object(&namespaces, "", name)?;
    let namespace = found.ok_or_else(|| Status::internal(format!("failed to lookup namespace \"{name}\"")))?;
    Ok(Policy::of(meta::labels(&namespace)).0)
}

fn pod(attributes: &Attributes, pod: &Tree) -> Result<(), Status> {
    if attributes.old.is_some_and(|old| !dares_differently(pod, old)) {
        return Ok(());
    }
    let policy = policy_of(attributes)?;
    let found = checks::violations(policy.enforce, pod);
    if !found.is_empty() {
        let why = format!("violates PodSecurity \"{}\": {}", policy.enforce, found.details());
        return Err(attributes.forbidden(meta::name(pod), why));
    }
    warn(attributes, &policy, pod);
    Ok(())
}

fn workload(attributes: &Attributes, template: &Tree) -> Result<(), Status> {
    warn(attributes, &policy_of(attributes)?, template);
    Ok(())
}

/// Tells the client and, by the log, the auditor what a pod dares beyond the levels that only warn.
fn warn(attributes: &Attributes, policy: &Policy, pod: &Tree) {
    let words = |standard: Standard, found: &Violations| {
        format!("would violate PodSecurity \"{standard}\": {}", found.details())
    };
    let audited = checks::violations(policy.audit, pod);
    if !audited.is_empty() {
        let namespace = attributes.call.info.namespace.as_str();
        tracing::info!(namespace, violations = words(policy.audit, &audited), "a pod is beyond the audited level");
    }
    let warned = checks::violations(policy.warn, pod);
    if !warned.is_empty() {
        attributes.call.warn(words(policy.warn, &warned));
    }
}

/// Whether a changed pod has to be judged again: of what can change, only images and new containers matter.
fn dares_differently(pod: &Tree, old: &Tree) -> bool {
    let image = |container: &Tree| container.str_at(&["image"]).unwrap_or_default().to_owned();
    let fixed = ["containers", "initContainers"].iter().any(|list| {
        let images = |pod: &Tree| pod.list_at(&["spec", list]).iter().map(image).collect::<Vec<_>>();
        images(pod) != images(old)
    });
    let path = ["spec", "ephemeralContainers"];
    fixed
        || pod.list_at(&path).iter().any(|container| {
            let before = old.list_at(&path).iter().find(|c| c.str_at(&["name"]) == container.str_at(&["name"]));
            before.is_none_or(|before| image(before) != image(container))
        })
}

/// Refuses labels that mean nothing; warns of pods that are there already and beyond a new level.
fn namespace(attributes: &Attributes, namespace: &Tree) -> Result<(), Status> {
    let (new, faults) = Policy::of(meta::labels(namespace));
    let before = attributes.old.map(|old| Policy::of(meta::labels(old)));
    if !faults.is_empty() && before.as_ref().is_none_or(|(_, old_faults)| *old_faults != faults) {
        let fault = |(label, value, why): &(&str, String, &str)| {
            FieldError::invalid(FieldPath::of(&["metadata", "labels"]).key(label), value.as_str(), *why)
        };
        let faults: Vec<FieldError> = faults.iter().map(fault).collect();
        return Err(Status::invalid(&attributes.call.resource.group_kind(), meta::name(namespace), &faults));
    }
    let Some((old, _)) = before else { return Ok(()) };
    let relaxed = new.enforce.version == old.enforce.version && new.enforce.level <= old.enforce.level;
    if new.enforce == old.enforce || new.enforce.level == Level::Privileged || relaxed {
        return Ok(());
    }
    let resource = attributes.server.resource("", "v1", "pods")?;
    let pods = attributes.server.objects(&resource, meta::name(namespace))?;
    for warning in existing(meta::name(namespace), new.enforce, pods) {
        attributes.call.warn(warning);
    }
    Ok(())
}

/// One pod of each controller first: its others dare the same.
fn by_variety(pods: Vec<Tree>) -> Vec<Tree> {
    let mut seen = std::collections::BTreeSet::new();
    let (mut first, more): (Vec<Tree>, Vec<Tree>) = pods.into_iter().partition(|pod| {
        let owner = meta::controller_of(pod).and_then(|owner| owner.str_at(&["uid"]));
        owner.is_none_or(|uid| seen.insert(uid.to_owned()))
    });
    first.extend(more);
    first
}

/// The warnings about pods that a namespace has already.
fn existing(namespace: &str, standard: Standard, pods: Vec<Tree>) -> Vec<String> {
    let total = pods.len();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pod in by_variety(pods).iter().take(PODS_CHECKED_MAX) {
        let violations = checks::violations(standard, pod);
        if !violations.is_empty() {
            found.entry(violations.reasons()).or_default().push(meta::name(pod).to_owned());
        }
    }
    let mut warnings = Vec::new();
    if total > PODS_CHECKED_MAX {
        warnings.push(format!(
            "new PodSecurity enforce level only checked against the first {PODS_CHECKED_MAX} of {total} existing pods"
        ));
    }
    if !found.is_empty() {
        warnings.push(format!(
            "existing pods in namespace \"{namespace}\" violate the new PodSecurity enforce level \"{standard}\""
        ));
    }
    let line = |(reasons, mut names): (String, Vec<String>)| {
        names.sort();
        match names.len() {
            1 => format!("{}: {reasons}", names[0]),
            2 => format!("{} (and 1 other pod): {reasons}", names[0]),
            many => format!("{} (and {} other pods): {reasons}", names[0], many - 1),
        }
    };
    let mut lines: Vec<String> = found.into_iter().map(line).collect();
    lines.sort();
    warnings.extend(lines);
    warnings
}

#[cfg(test)]
mod tests;
