//! What the restricted level forbids besides the baseline: whatever is not known to be good practice.

use super::baseline::{self, adding_beyond, has_own_users};
use super::checks::Violation;
use super::said::{containers_named, name, plural, quoted, secured, setters, those};
use api::Tree;
use std::collections::BTreeSet;

/// Pods of Windows cannot set what they would have to.
fn of_windows(pod: &Tree) -> bool {
    pod.str_at(&["spec", "os", "name"]) == Some("windows")
}

/// No process gains rights that its parent has not.
pub fn escalation(pod: &Tree) -> Option<Violation> {
    let may = |c: &Tree| secured(c, &["allowPrivilegeEscalation"]).and_then(Tree::as_bool) != Some(false);
    let names = those(pod, may);
    if names.is_empty() {
        return None;
    }
    let detail = format!("{} must set securityContext.allowPrivilegeEscalation=false", containers_named(&names));
    Violation::found("allowPrivilegeEscalation != false", detail)
}

/// As [`escalation`], but not of Windows.
pub fn escalation_v25(pod: &Tree) -> Option<Violation> {
    if of_windows(pod) { None } else { escalation(pod) }
}

/// All capabilities are dropped, and at most one is taken back.
pub fn capabilities(pod: &Tree) -> Option<Violation> {
    let keeps = |container: &Tree| {
        let dropped = secured(container, &["capabilities", "drop"]).and_then(Tree::as_list).unwrap_or_default();
        !dropped.iter().any(|capability| capability.as_str() == Some("ALL"))
    };
    let keeping = those(pod, keeps);
    let drop = (!keeping.is_empty())
        .then(|| format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", containers_named(&keeping)));
    let said: Vec<String> = drop.into_iter().chain(adding_beyond(pod, &["NET_BIND_SERVICE"])).collect();
    if said.is_empty() { None } else { Violation::found("unrestricted capabilities", said.join("; ")) }
}

/// As [`capabilities`], but not of Windows.
pub fn capabilities_v25(pod: &Tree) -> Option<Violation> {
    if of_windows(pod) { None } else { capabilities(pod) }
}

const VOLUMES: &[&str] = &[
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];
/// Types that are named in the message, in the order in which upstream looks for them.
const FORBIDDEN_VOLUMES: &[&str] = &[
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
];

/// Volumes come from the API or from a driver.
pub fn volumes(pod: &Tree) -> Option<Violation> {
    let is = |volume: &Tree, kinds: &[&'static str]| {
        kinds.iter().find(|kind| volume.get(kind).is_some_and(|source| !source.is_null())).copied()
    };
    let volumes = pod.list_at(&["spec", "volumes"]).iter();
    let bad: Vec<&Tree> = volumes.filter(|volume| is(volume, VOLUMES).is_none()).collect();
    if bad.is_empty() {
        return None;
    }
    let kinds: BTreeSet<&str> = bad.iter().map(|v| is(v, FORBIDDEN_VOLUMES).unwrap_or("unknown")).collect();
    let names: Vec<&str> = bad.into_iter().map(name).collect();
    let (word, uses) = (plural("volume", "volumes", names.len()), plural("uses", "use", names.len()));
    let what = plural("restricted volume type", "restricted volume types", kinds.len());
    let detail = format!("{word} {} {uses} {what} {}", quoted(names), quoted(kinds));
    Violation::found("restricted volume types", detail)
}

/// Containers say that they do not run as root.
pub fn non_root(pod: &Tree) -> Option<Violation> {
    const REASON: &str = "runAsNonRoot != true";
    let says = |thing: &Tree| secured(thing, &["runAsNonRoot"]).and_then(Tree::as_bool);
    let whole = pod.get("spec").and_then(says);
    let root = those(pod, |container| says(container) == Some(false));
    if let Some(set_by) = setters(whole == Some(false), &root) {
        return Violation::found(REASON, format!("{set_by} must not set securityContext.runAsNonRoot=false"));
    }
    let silent = those(pod, |container| whole != Some(true) && says(container).is_none());
    if silent.is_empty() {
        return None;
    }
    Violation::found(REASON, format!("pod or {} must set securityContext.runAsNonRoot=true", containers_named(&silent)))
}

/// As [`non_root`], unless the pod has users of its own.
pub fn non_root_v35(pod: &Tree) -> Option<Violation> {
    if has_own_users(pod) { None } else { non_root(pod) }
}

/// Nothing is told to run as root.
pub fn user(pod: &Tree) -> Option<Violation> {
    let root = |thing: &Tree| secured(thing, &["runAsUser"]).and_then(Tree::as_int) == Some(0);
    let set_by = setters(pod.get("spec").is_some_and(root), &those(pod, root))?;
    Violation::found("runAsUser=0", format!("{set_by} must not set runAsUser=0"))
}

/// As [`user`], unless the pod has users of its own.
pub fn user_v35(pod: &Tree) -> Option<Violation> {
    if has_own_users(pod) { None } else { user(pod) }
}

/// Seccomp is switched on explicitly.
pub fn seccomp(pod: &Tree) -> Option<Violation> {
    if let Some(bad) = baseline::seccomp(pod) {
        return Some(bad);
    }
    let says = |thing: &Tree| secured(thing, &["seccompProfile"]).is_some();
    let whole = pod.get("spec").is_some_and(says);
    let silent = those(pod, |container| !whole && !says(container));
    if silent.is_empty() {
        return None;
    }
    let which = containers_named(&silent);
    let detail =
        format!("pod or {which} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"");
    Violation::found("seccompProfile", detail)
}

/// As [`seccomp`], but not of Windows.
pub fn seccomp_v25(pod: &Tree) -> Option<Violation> {
    if of_windows(pod) { None } else { seccomp(pod) }
}
