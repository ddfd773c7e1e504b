//! What the baseline forbids: what is known to lead out of a pod.

use super::checks::Violation;
use super::said::{bad_setters, containers, containers_named, name, plural, quoted, secured, setters, those};
use api::{Tree, meta};
use std::collections::BTreeSet;

const APP_ARMOR_PREFIX: &str = "container.apparmor.security.beta.kubernetes.io/";

/// The type of a profile of a pod or container, if it is a bad one.
fn bad_profile<'a>(thing: &'a Tree, field: &str) -> Option<&'a str> {
    let kind = secured(thing, &[field])?.str_at(&["type"]).unwrap_or_default();
    (!matches!(kind, "RuntimeDefault" | "Localhost")).then_some(kind)
}

/// Profiles of AppArmor are the runtime's or the node's own.
pub fn app_armor(pod: &Tree) -> Option<Violation> {
    let (set_by, types) = bad_setters(pod, |thing| bad_profile(thing, "appArmorProfile")).unzip();
    let allowed = |value: &str| value.is_empty() || value == "runtime/default" || value.starts_with("localhost/");
    let mut noted: Vec<String> = Vec::new();
    for (key, value) in pod.map_at(&["metadata", "annotations"]).into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        if key.as_str().starts_with(APP_ARMOR_PREFIX) && !allowed(value) {
            noted.push(format!("{}={value:?}", key.as_str()));
        }
    }
    noted.sort();
    let annotated = (!noted.is_empty()).then(|| plural("annotation", "annotations", noted.len()).to_owned());
    let set_by: Vec<String> = set_by.into_iter().chain(annotated).collect();
    if set_by.is_empty() {
        return None;
    }
    let values: Vec<String> = types.into_iter().flatten().map(str::to_owned).chain(noted).collect();
    let reason = plural("forbidden AppArmor profile", "forbidden AppArmor profiles", values.len());
    let detail = format!("{} must not set AppArmor profile type to {}", set_by.join(" and "), quoted(values));
    Violation::found(reason, detail)
}

const CAPABILITIES: &[&str] = &[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// The containers that add capabilities beyond these, and what they add.
pub fn adding_beyond<'a>(pod: &'a Tree, allowed: &[&str]) -> Option<String> {
    let mut beyond: BTreeSet<&'a str> = BTreeSet::new();
    let mut names = Vec::new();
    for container in containers(pod) {
        let added = secured(container, &["capabilities", "add"]).and_then(Tree::as_list).unwrap_or_default();
        let bad: Vec<&str> = added.iter().filter_map(Tree::as_str).filter(|c| !allowed.contains(c)).collect();
        if !bad.is_empty() {
            names.push(name(container));
            beyond.extend(bad);
        }
    }
    let (which, what) = (containers_named(&names), quoted(beyond));
    (!names.is_empty()).then(|| format!("{which} must not include {what} in securityContext.capabilities.add"))
}

/// Capabilities are those that containers have anyhow.
pub fn capabilities(pod: &Tree) -> Option<Violation> {
    Violation::found("non-default capabilities", adding_beyond(pod, CAPABILITIES)?)
}

/// The node's namespaces are not shared.
pub fn host_namespaces(pod: &Tree) -> Option<Violation> {
    let fields = ["hostNetwork", "hostPID", "hostIPC"];
    let set = fields.iter().filter(|field| pod.bool_at(&["spec", field]) == Some(true));
    let said: Vec<String> = set.map(|field| format!("{field}=true")).collect();
    if said.is_empty() { None } else { Violation::found("host namespaces", said.join(", ")) }
}

/// The node's folders are not mounted.
pub fn host_paths(pod: &Tree) -> Option<Violation> {
    let volumes = pod.list_at(&["spec", "volumes"]).iter().filter(|volume| volume.get("hostPath").is_some());
    let names: Vec<&str> = volumes.map(name).collect();
    if names.is_empty() {
        return None;
    }
    let detail = format!("{} {}", plural("volume", "volumes", names.len()), quoted(&names));
    Violation::found("hostPath volumes", detail)
}

/// The node's ports are not taken.
pub fn host_ports(pod: &Tree) -> Option<Violation> {
    let mut taken = BTreeSet::new();
    let names = those(pod, |container| {
        let ports = container.list_at(&["ports"]).iter().filter_map(|port| port.int_at(&["hostPort"]));
        let own: Vec<String> = ports.filter(|port| *port != 0).map(|port| port.to_string()).collect();
        let any = !own.is_empty();
        taken.extend(own);
        any
    });
    if names.is_empty() {
        return None;
    }
    let ports = plural("hostPort", "hostPorts", taken.len());
    let uses = plural("uses", "use", names.len());
    let all = taken.into_iter().collect::<Vec<_>>().join(", ");
    Violation::found("hostPort", format!("{} {uses} {ports} {all}", containers_named(&names)))
}

/// Probes and hooks go to the pod and nowhere else.
pub fn host_probes(pod: &Tree) -> Option<Violation> {
    let handlers = [
        &["livenessProbe"][..],
        &["readinessProbe"],
        &["startupProbe"],
        &["lifecycle", "postStart"],
        &["lifecycle", "preStop"],
    ];
    let mut hosts = BTreeSet::new();
    let mut names = BTreeSet::new();
    for container in containers(pod) {
        for handler in handlers.iter().filter_map(|path| container.at(path)) {
            for action in ["httpGet", "tcpSocket"] {
                if let Some(host) = handler.str_at(&[action, "host"]).filter(|host| !host.is_empty()) {
                    hosts.insert(host);
                    names.insert(name(container));
                }
            }
        }
    }
    if names.is_empty() {
        return None;
    }
    let names: Vec<&str> = names.into_iter().collect();
    let uses = plural("uses", "use", names.len());
    let what = plural("probe or lifecycle host", "probe or lifecycle hosts", hosts.len());
    Violation::found("probe or lifecycle host", format!("{} {uses} {what} {}", containers_named(&names), quoted(hosts)))
}

/// No container is root of the node.
pub fn privileged(pod: &Tree) -> Option<Violation> {
    let is = |c: &Tree| secured(c, &["privileged"]).and_then(Tree::as_bool) == Some(true);
    let names = those(pod, is);
    if names.is_empty() {
        return None;
    }
    Violation::found("privileged", format!("{} must not set securityContext.privileged=true", containers_named(&names)))
}

/// `/proc` is masked as usual.
pub fn proc_mount(pod: &Tree) -> Option<Violation> {
    let mut kinds = BTreeSet::new();
    let names = those(pod, |container| {
        let kind = secured(container, &["procMount"]).and_then(Tree::as_str).filter(|kind| *kind != "Default");
        kinds.extend(kind.map(str::to_owned));
        kind.is_some()
    });
    if names.is_empty() {
        return None;
    }
    let detail = format!("{} must not set securityContext.procMount to {}", containers_named(&names), quoted(kinds));
    Violation::found("procMount", detail)
}

/// Whether a pod's users are not the node's.
pub fn has_own_users(pod: &Tree) -> bool {
    pod.bool_at(&["spec", "hostUsers"]) == Some(false)
}

/// `/proc` is masked as usual, unless the pod has users of its own.
pub fn proc_mount_of_host_users(pod: &Tree) -> Option<Violation> {
    if has_own_users(pod) { None } else { proc_mount(pod) }
}

const SELINUX_V0: &[&str] = &["", "container_t", "container_init_t", "container_kvm_t"];
const SELINUX_V31: &[&str] = &["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];

/// SELinux: types of containers only; neither user nor role.
fn selinux(pod: &Tree, allowed: &[&str]) -> Option<Violation> {
    let mut types = BTreeSet::new();
    let (mut user, mut role) = (false, false);
    let mut bad = |thing: &Tree| {
        let Some(options) = secured(thing, &["seLinuxOptions"]) else { return false };
        let text = |field: &str| options.str_at(&[field]).unwrap_or_default();
        let kind = text("type");
        let (bad_type, sets_user, sets_role) =
            (!allowed.contains(&kind), !text("user").is_empty(), !text("role").is_empty());
        if bad_type {
            types.insert(kind.to_owned());
        }
        user |= sets_user;
        role |= sets_role;
        bad_type || sets_user || sets_role
    };
    let whole = pod.get("spec").is_some_and(&mut bad);
    let names = those(pod, bad);
    let set_by = setters(whole, &names)?;
    let mut said = Vec::new();
    if !types.is_empty() {
        said.push(format!("{} {}", plural("type", "types", types.len()), quoted(&types)));
    }
    said.extend(user.then(|| "user may not be set".to_owned()));
    said.extend(role.then(|| "role may not be set".to_owned()));
    let detail = format!("{set_by} set forbidden securityContext.seLinuxOptions: {}", said.join("; "));
    Violation::found("seLinuxOptions", detail)
}

/// SELinux as it was first.
pub fn selinux_v0(pod: &Tree) -> Option<Violation> {
    selinux(pod, SELINUX_V0)
}

/// SELinux with container engines in pods.
pub fn selinux_v31(pod: &Tree) -> Option<Violation> {
    selinux(pod, SELINUX_V31)
}

const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";

/// Seccomp while it was set by annotations.
pub fn seccomp_annotations(pod: &Tree) -> Option<Violation> {
    let keys = containers(pod).map(|container| format!("{SECCOMP_CONTAINER}{}", name(container)));
    let mut bad = BTreeSet::new();
    for key in std::iter::once(SECCOMP_POD.to_owned()).chain(keys) {
        let Some(value) = meta::annotation(pod, &key) else { continue };
        if !matches!(value, "runtime/default" | "docker/default") && !value.starts_with("localhost/") {
            bad.insert(format!("{key}={value:?}"));
        }
    }
    if bad.is_empty() {
        return None;
    }
    let word = plural("annotation", "annotations", bad.len());
    let all = bad.into_iter().collect::<Vec<_>>().join(", ");
    Violation::found("seccompProfile", format!("forbidden {word} {all}"))
}

/// Seccomp is not switched off.
pub fn seccomp(pod: &Tree) -> Option<Violation> {
    let (set_by, values) = bad_setters(pod, |thing| bad_profile(thing, "seccompProfile"))?;
    let detail = format!("{set_by} must not set securityContext.seccompProfile.type to {}", quoted(values));
    Violation::found("seccompProfile", detail)
}

/// Sysctls that concern the pod only, each with the minor version since which it is allowed.
const SYSCTLS: &[(u32, &str)] = &[
    (0, "kernel.shm_rmid_forced"),
    (0, "net.ipv4.ip_local_port_range"),
    (0, "net.ipv4.tcp_syncookies"),
    (0, "net.ipv4.ping_group_range"),
    (0, "net.ipv4.ip_unprivileged_port_start"),
    (27, "net.ipv4.ip_local_reserved_ports"),
    (29, "net.ipv4.tcp_keepalive_time"),
    (29, "net.ipv4.tcp_fin_timeout"),
    (29, "net.ipv4.tcp_keepalive_intvl"),
    (29, "net.ipv4.tcp_keepalive_probes"),
    (32, "net.ipv4.tcp_rmem"),
    (32, "net.ipv4.tcp_wmem"),
];

fn sysctls(pod: &Tree, version: u32) -> Option<Violation> {
    let allowed = |name: &str| SYSCTLS.iter().any(|(since, known)| *since <= version && *known == name);
    let set = pod.list_at(&["spec", "securityContext", "sysctls"]).iter().map(name);
    let bad: Vec<&str> = set.filter(|name| !allowed(name)).collect();
    if bad.is_empty() { None } else { Violation::found("forbidden sysctls", bad.join(", ")) }
}

/// Sysctls of the first version.
pub fn sysctls_v0(pod: &Tree) -> Option<Violation> {
    sysctls(pod, 0)
}

/// Sysctls since 1.27.
pub fn sysctls_v27(pod: &Tree) -> Option<Violation> {
    sysctls(pod, 27)
}

/// Sysctls since 1.29.
pub fn sysctls_v29(pod: &Tree) -> Option<Violation> {
    sysctls(pod, 29)
}

/// Sysctls since 1.32.
pub fn sysctls_v32(pod: &Tree) -> Option<Violation> {
    sysctls(pod, 32)
}

/// Nothing runs as a process of a Windows host.
pub fn windows_host_process(pod: &Tree) -> Option<Violation> {
    let is = |t: &Tree| secured(t, &["windowsOptions", "hostProcess"]).and_then(Tree::as_bool) == Some(true);
    let set_by = setters(pod.get("spec").is_some_and(is), &those(pod, is))?;
    Violation::found("hostProcess", format!("{set_by} must not set securityContext.windowsOptions.hostProcess=true"))
}
