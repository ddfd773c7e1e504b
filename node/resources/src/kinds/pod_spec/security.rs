//! Faults of what a pod and its containers may do to the node: users, sysctls, profiles, operating system.

use super::paths::descending;
use crate::kinds::place::{INT32_MAX, Place};
use crate::rules::Faults;
use api::FieldError;

const SYSCTL_MAX: usize = 253;
const SYSCTL: &str = "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
/// Longest name of an AppArmor profile: a path without its end mark, bytes.
const PROFILE_MAX: usize = 4095;
const PROFILES: &[&str] = &["Localhost", "RuntimeDefault", "Unconfined"];

/// Faults of the pod's own security context.
pub(super) fn of_pod(spec: &Place, faults: &mut Faults) {
    let context = spec.at("securityContext");
    for id in ["fsGroup", "runAsUser", "runAsGroup"] {
        context.at(id).within(faults, 0, INT32_MAX);
    }
    context.at("supplementalGroups").items().for_each(|group| group.within(faults, 0, INT32_MAX));
    if spec.at("shareProcessNamespace").yes() && spec.at("hostPID").yes() {
        let shared =
            Place { value: spec.at("shareProcessNamespace").value, path: context.path.field("shareProcessNamespace") };
        shared.invalid(faults, "ShareProcessNamespace and HostPID cannot both be enabled");
    }
    sysctls(spec, &context.at("sysctls"), faults);
    choice(&context.at("fsGroupChangePolicy"), &["OnRootMismatch", "Always"], faults);
    profiles(&context, faults);
    choice(&context.at("supplementalGroupsPolicy"), &["Merge", "Strict"], faults);
    choice(&context.at("seLinuxChangePolicy"), &["Recursive", "MountOption"], faults);
}

fn choice(place: &Place, valid: &[&str], faults: &mut Faults) {
    if place.given() {
        place.one_of(faults, valid);
    }
}

/// Whether a text is the name of a kernel setting, with dots or slashes between its parts.
fn is_sysctl(name: &str) -> bool {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let part_good = |part: &str| {
        let bytes = part.as_bytes();
        bytes.first().is_some_and(|c| plain(*c))
            && bytes.last().is_some_and(|c| plain(*c))
            && bytes.iter().all(|c| plain(*c) || *c == b'-' || *c == b'_')
    };
    name.len() <= SYSCTL_MAX && name.split(['.', '/']).all(part_good)
}

/// Faults of kernel settings. Which of them a node allows is for its kubelet to say.
fn sysctls(spec: &Place, list: &Place, faults: &mut Faults) {
    let mut seen = Vec::new();
    for name in list.items().map(|sysctl| sysctl.at("name")) {
        if name.must(faults, "") {
            if !is_sysctl(name.text()) {
                name.invalid(faults, SYSCTL);
            } else if seen.contains(&name.text()) {
                name.duplicate(faults);
            }
        }
        seen.push(name.text());
        let dotted = name.text().replace('/', ".");
        let of_net = dotted.starts_with("net.");
        let of_ipc = ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|prefix| dotted.starts_with(prefix))
            || dotted == "kernel.sem";
        if of_net && spec.at("hostNetwork").yes() {
            name.invalid(faults, "may not be specified when 'hostNetwork' is true");
        } else if of_ipc && spec.at("hostIPC").yes() {
            name.invalid(faults, "may not be specified when 'hostIPC' is true");
        }
    }
}

/// Faults of a container's security context.
pub(super) fn of_container(context: &Place, host_users: bool, faults: &mut Faults) {
    if !context.given() {
        return;
    }
    for id in ["runAsUser", "runAsGroup"] {
        context.at(id).within(faults, 0, INT32_MAX);
    }
    let proc = context.at("procMount");
    choice(&proc, &["Default", "Unmasked"], faults);
    if host_users && proc.text() == "Unmasked" {
        proc.invalid(faults, "`hostUsers` must be false to use `Unmasked`");
    }
    if context.at("allowPrivilegeEscalation").value.as_bool() == Some(false) {
        if context.at("privileged").yes() {
            context.invalid(faults, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
        }
        if context.down(&["capabilities", "add"]).items().any(|capability| capability.text() == "CAP_SYS_ADMIN") {
            let why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            context.invalid(faults, why);
        }
    }
    profiles(context, faults);
}

fn profiles(context: &Place, faults: &mut Faults) {
    let seccomp = context.at("seccompProfile");
    if seccomp.given() {
        let (kind, local) = (seccomp.at("type"), seccomp.at("localhostProfile"));
        if kind.must(faults, "type is required when seccompProfile is set") {
            kind.one_of(faults, PROFILES);
        }
        match (kind.text() == "Localhost", local.given()) {
            (true, false) => local.required(faults, "must be set when seccomp type is Localhost"),
            (true, true) => descending(&local, faults),
            (false, true) => {
                let why = "can only be set when seccomp type is Localhost";
                faults.push(FieldError::invalid(local.path.clone(), seccomp.value.clone(), why));
            }
            (false, false) => {}
        }
    }
    let armor = context.at("appArmorProfile");
    if armor.given() {
        app_armor(&armor, faults);
    }
}

fn app_armor(profile: &Place, faults: &mut Faults) {
    let (kind, local) = (profile.at("type"), profile.at("localhostProfile"));
    match kind.text() {
        "Localhost" => {
            if local.text().trim() != local.text() {
                local.invalid(faults, "must not be padded with whitespace");
            } else {
                local.must(faults, "must be set when AppArmor type is Localhost");
            }
            if local.text().len() > PROFILE_MAX {
                faults.push(FieldError::too_long(local.path.clone(), PROFILE_MAX));
            }
        }
        "RuntimeDefault" | "Unconfined" => {
            if local.given() {
                local.invalid(faults, "can only be set when AppArmor type is Localhost");
            }
        }
        "" => kind.required(faults, "type is required when appArmorProfile is set"),
        _ => kind.one_of(faults, PROFILES),
    }
}

/// A pod with users of its own shares neither processes nor memory with the node.
pub(super) fn host_users(spec: &Place, faults: &mut Faults) {
    if spec.at("hostUsers").value.as_bool() != Some(false) {
        return;
    }
    // The names are written as upstream writes them.
    for (field, shown) in [("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if spec.at(field).yes() {
            faults.push(FieldError::forbidden(spec.path.field(shown), "when `hostUsers` is false"));
        }
    }
    if spec.at("hostNetwork").yes() {
        spec.at("hostNetwork").forbidden(faults, "when `hostUsers` is false");
    }
}

/// Faults of the operating system that a pod names, and of what only the other one has.
pub(super) fn os(spec: &Place, faults: &mut Faults) {
    let os = spec.at("os");
    if !os.given() {
        return;
    }
    os.at("name").must_be_one_of(faults, &["linux", "windows"]);
    if os.at("name").text() != "linux" {
        return;
    }
    let lists = ["initContainers", "containers", "ephemeralContainers"].map(|list| spec.at(list));
    let containers = lists.iter().flat_map(Place::items);
    for holder in std::iter::once(spec.clone()).chain(containers) {
        let options = holder.down(&["securityContext", "windowsOptions"]);
        if options.given() {
            options.forbidden(faults, "windows options cannot be set for a linux pod");
        }
    }
}
