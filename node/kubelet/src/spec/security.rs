//! Users, groups, capabilities, namespaces, system-call filters: a container's security context over its pod's, as
//! upstream's `determineEffectiveSecurityContext`.

use crate::cri::v1;
use crate::pod;
use k8s_openapi::api::core::v1::{Container, Pod, PodSecurityContext, SeccompProfile, SecurityContext};
use std::path::Path;
use v1::security_profile::ProfileType;

/// Paths below /proc and /sys that a container does not see, as upstream.
const MASKED: &[&str] = &[
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
/// Paths that it cannot write, as upstream.
const READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The user that an image runs as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageUser {
    /// By number.
    pub uid: Option<i64>,
    /// By name.
    pub name: String,
}

fn of_pod(pod: &Pod) -> PodSecurityContext {
    pod::spec(pod).security_context.clone().unwrap_or_default()
}

/// A container's context with the pod's values where it has none.
#[must_use]
pub fn effective(pod: &Pod, container: &Container) -> SecurityContext {
    let (own, shared) = (container.security_context.clone().unwrap_or_default(), of_pod(pod));
    SecurityContext {
        run_as_user: own.run_as_user.or(shared.run_as_user),
        run_as_group: own.run_as_group.or(shared.run_as_group),
        run_as_non_root: own.run_as_non_root.or(shared.run_as_non_root),
        seccomp_profile: own.seccomp_profile.clone().or(shared.seccomp_profile),
        app_armor_profile: own.app_armor_profile.clone().or(shared.app_armor_profile),
        ..own
    }
}

/// Whether the user that the container would run as is allowed by `runAsNonRoot`.
///
/// # Errors
/// In upstream's words, when it is root or cannot be told.
pub fn check_non_root(pod: &Pod, container: &Container, image: &ImageUser) -> Result<(), String> {
    let context = effective(pod, container);
    if context.run_as_non_root != Some(true) {
        return Ok(());
    }
    let who = format!("(pod: {:?}, container: {})", pod::full_name(pod), container.name);
    match (context.run_as_user, image.uid) {
        (Some(0), _) => Err(format!("container's runAsUser breaks non-root policy {who}")),
        (Some(_), _) => Ok(()),
        (None, Some(0)) => Err(format!("container has runAsNonRoot and image will run as root {who}")),
        (None, None) if !image.name.is_empty() => Err(format!(
            "container has runAsNonRoot and image has non-numeric user ({}), cannot verify user is non-root {who}",
            image.name
        )),
        (None, _) => Ok(()),
    }
}

/// Which namespaces are shared with whom.
#[must_use]
pub fn namespaces(pod: &Pod) -> v1::NamespaceOption {
    let spec = pod::spec(pod);
    let node = |host: bool, else_: v1::NamespaceMode| (if host { v1::NamespaceMode::Node } else { else_ }) as i32;
    let shared = spec.share_process_namespace == Some(true);
    let pid = if shared { v1::NamespaceMode::Pod } else { v1::NamespaceMode::Container };
    v1::NamespaceOption {
        network: node(pod::on_host_network(pod), v1::NamespaceMode::Pod),
        pid: node(spec.host_pid == Some(true), pid),
        ipc: node(spec.host_ipc == Some(true), v1::NamespaceMode::Pod),
        target_id: String::new(),
        userns_options: None,
    }
}

fn number(value: Option<i64>) -> Option<v1::Int64Value> {
    value.map(|value| v1::Int64Value { value })
}

fn groups(context: &PodSecurityContext) -> Vec<i64> {
    context.fs_group.into_iter().chain(context.supplemental_groups.iter().flatten().copied()).collect()
}

fn groups_policy(context: &PodSecurityContext) -> i32 {
    let strict = context.supplemental_groups_policy.as_deref() == Some("Strict");
    (if strict { v1::SupplementalGroupsPolicy::Strict } else { v1::SupplementalGroupsPolicy::Merge }) as i32
}

fn filter(kind: ProfileType, path: String) -> v1::SecurityProfile {
    v1::SecurityProfile { profile_type: kind as i32, localhost_ref: path }
}

/// The system-call filter. Without a profile there is none, as upstream by default.
///
/// # Errors
/// When a profile on the node has no name.
pub fn seccomp(profile: Option<&SeccompProfile>, folder: &Path) -> Result<v1::SecurityProfile, String> {
    let Some(profile) = profile else { return Ok(filter(ProfileType::Unconfined, String::new())) };
    match profile.type_.as_str() {
        "RuntimeDefault" => Ok(filter(ProfileType::RuntimeDefault, String::new())),
        "Localhost" => match profile.localhost_profile.as_deref() {
            Some(name) if !name.is_empty() => {
                Ok(filter(ProfileType::Localhost, folder.join(name).to_string_lossy().into_owned()))
            }
            _ => Err("localhostProfile must be set if seccompProfile type is Localhost.".to_owned()),
        },
        _ => Ok(filter(ProfileType::Unconfined, String::new())),
    }
}

/// A container's context for the engine. `target` is the container whose processes an ephemeral one wants to see.
///
/// # Errors
/// As [`seccomp`].
pub fn of_container(
    pod: &Pod,
    container: &Container,
    image: &ImageUser,
    target: Option<&str>,
    seccomp_folder: &Path,
) -> Result<v1::LinuxContainerSecurityContext, String> {
    let (context, shared) = (effective(pod, container), of_pod(pod));
    let unmasked = context.proc_mount.as_deref() == Some("Unmasked");
    let paths = |list: &[&str]| {
        if unmasked { Vec::new() } else { list.iter().map(|path| (*path).to_owned()).collect() }
    };
    let mut namespaces = namespaces(pod);
    if let Some(target) = target.filter(|_| namespaces.pid == v1::NamespaceMode::Container as i32) {
        namespaces.pid = v1::NamespaceMode::Target as i32;
        target.clone_into(&mut namespaces.target_id);
    }
    let capabilities = context.capabilities.map(|capabilities| v1::Capability {
        add_capabilities: capabilities.add.unwrap_or_default(),
        drop_capabilities: capabilities.drop.unwrap_or_default(),
        add_ambient_capabilities: Vec::new(),
    });
    Ok(v1::LinuxContainerSecurityContext {
        capabilities,
        privileged: context.privileged == Some(true),
        namespace_options: Some(namespaces),
        run_as_user: number(context.run_as_user.or(image.uid)),
        run_as_group: number(context.run_as_group),
        run_as_username: if context.run_as_user.is_some() { String::new() } else { image.name.clone() },
        readonly_rootfs: context.read_only_root_filesystem == Some(true),
        supplemental_groups: groups(&shared),
        supplemental_groups_policy: groups_policy(&shared),
        no_new_privs: context.allow_privilege_escalation == Some(false),
        masked_paths: paths(MASKED),
        readonly_paths: paths(READ_ONLY),
        seccomp: Some(seccomp(context.seccomp_profile.as_ref(), seccomp_folder)?),
        apparmor: None,
    })
}

/// A sandbox's context for the engine.
#[must_use]
pub fn of_sandbox(pod: &Pod) -> v1::LinuxSandboxSecurityContext {
    let context = of_pod(pod);
    let all = pod::init_containers(pod).iter().chain(&pod::spec(pod).containers);
    let privileged = |c: &Container| c.security_context.as_ref().is_some_and(|s| s.privileged == Some(true));
    v1::LinuxSandboxSecurityContext {
        namespace_options: Some(namespaces(pod)),
        run_as_user: number(context.run_as_user),
        run_as_group: number(context.run_as_group.filter(|_| context.run_as_user.is_some())),
        readonly_rootfs: false,
        supplemental_groups: groups(&context),
        supplemental_groups_policy: groups_policy(&context),
        privileged: all.into_iter().any(privileged),
        seccomp: Some(filter(ProfileType::RuntimeDefault, String::new())),
        apparmor: None,
    }
}
