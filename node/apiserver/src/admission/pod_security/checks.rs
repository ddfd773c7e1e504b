//! The table of checks: at which level, since which version, and which weaker check each replaces. Rules of
//! `k8s.io/pod-security-admission/policy`.

use super::policy::{Level, Standard, Version};
use super::{baseline, restricted};
use api::Tree;

/// What a check found: the short word for it, and the detail.
pub struct Violation {
    /// Always told.
    pub reason: String,
    /// Told of one pod; may be empty.
    pub detail: String,
}

impl Violation {
    /// A violation, as a check returns it.
    pub fn found(reason: impl Into<String>, detail: impl Into<String>) -> Option<Violation> {
        Some(Violation { reason: reason.into(), detail: detail.into() })
    }
}

/// What all checks found.
pub struct Violations(Vec<Violation>);

impl Violations {
    /// Whether the pod is within the standard.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The short words.
    pub fn reasons(&self) -> String {
        self.0.iter().map(|v| v.reason.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// The words with details.
    pub fn details(&self) -> String {
        let said = |v: &Violation| match v.detail.as_str() {
            "" => v.reason.clone(),
            detail => format!("{} ({detail})", v.reason),
        };
        self.0.iter().map(said).collect::<Vec<_>>().join(", ")
    }
}

/// Looks at a pod or a pod template.
type Look = fn(&Tree) -> Option<Violation>;

/// One check.
struct Check {
    id: &'static str,
    /// Since which minor version it looks how, in rising order.
    looks: &'static [(u32, Look)],
    /// The check of the baseline that it replaces where it looks at all.
    replaces: Option<&'static str>,
}

/// A check that does not replace another.
const fn check(id: &'static str, looks: &'static [(u32, Look)]) -> Check {
    Check { id, looks, replaces: None }
}

const fn replacing(id: &'static str, replaced: &'static str, looks: &'static [(u32, Look)]) -> Check {
    Check { id, looks, replaces: Some(replaced) }
}

/// The checks of the baseline, in the order of their names, which is the order of messages.
const BASELINE: &[Check] = &[
    check("appArmorProfile", &[(0, baseline::app_armor)]),
    check("capabilities_baseline", &[(0, baseline::capabilities)]),
    check("hostNamespaces", &[(0, baseline::host_namespaces)]),
    check("hostPathVolumes", &[(0, baseline::host_paths)]),
    check("hostPorts", &[(0, baseline::host_ports)]),
    check("hostProbesAndHostLifecycle", &[(34, baseline::host_probes)]),
    check("privileged", &[(0, baseline::privileged)]),
    check("procMount", &[(0, baseline::proc_mount), (35, baseline::proc_mount_of_host_users)]),
    check("seLinuxOptions", &[(0, baseline::selinux_v0), (31, baseline::selinux_v31)]),
    check("seccompProfile_baseline", &[(0, baseline::seccomp_annotations), (19, baseline::seccomp)]),
    check(
        "sysctls",
        &[
            (0, baseline::sysctls_v0),
            (27, baseline::sysctls_v27),
            (29, baseline::sysctls_v29),
            (32, baseline::sysctls_v32),
        ],
    ),
    check("windowsHostProcess", &[(0, baseline::windows_host_process)]),
];

/// What the restricted level looks at besides.
const RESTRICTED: &[Check] = &[
    check("allowPrivilegeEscalation", &[(8, restricted::escalation), (25, restricted::escalation_v25)]),
    replacing(
        "capabilities_restricted",
        "capabilities_baseline",
        &[(22, restricted::capabilities), (25, restricted::capabilities_v25)],
    ),
    replacing("procMount_restricted", "procMount", &[(35, baseline::proc_mount)]),
    replacing("restrictedVolumes", "hostPathVolumes", &[(0, restricted::volumes)]),
    check("runAsNonRoot", &[(0, restricted::non_root), (35, restricted::non_root_v35)]),
    check("runAsUser", &[(23, restricted::user), (35, restricted::user_v35)]),
    replacing(
        "seccompProfile_restricted",
        "seccompProfile_baseline",
        &[(19, restricted::seccomp), (25, restricted::seccomp_v25)],
    ),
];

impl Check {
    fn look(&self, version: Version) -> Option<Look> {
        let since = |(minor, _): &&(u32, Look)| Version::Minor(*minor) <= version;
        self.looks.iter().rev().find(since).map(|(_, look)| *look)
    }
}

/// What of a pod is beyond a standard.
pub fn violations(standard: Standard, pod: &Tree) -> Violations {
    let stricter = if standard.level == Level::Restricted { RESTRICTED } else { &[] };
    let looser = if standard.level == Level::Privileged { &[] } else { BASELINE };
    let replaced: Vec<&str> = stricter
        .iter()
        .filter(|check| check.look(standard.version).is_some())
        .filter_map(|check| check.replaces)
        .collect();
    let kept = looser.iter().filter(|check| !replaced.contains(&check.id)).chain(stricter);
    let looks = kept.filter_map(|check| check.look(standard.version));
    Violations(looks.filter_map(|look| look(pod)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_in_the_order_of_their_names_and_replace_known_ones() {
        for table in [BASELINE, RESTRICTED] {
            assert!(table.is_sorted_by_key(|check| check.id));
            assert!(table.iter().all(|check| check.looks.is_sorted_by_key(|(minor, _)| *minor)));
        }
        let known = |id: &str| BASELINE.iter().any(|check| check.id == id);
        assert!(RESTRICTED.iter().filter_map(|check| check.replaces).all(known));
    }
}
