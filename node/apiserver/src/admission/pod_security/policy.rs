//! What a namespace's labels mean: three modes, each with a level and the version of its rules. Rules of
//! `k8s.io/pod-security-admission/api`.

use api::Map;
use std::fmt;

/// How strict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Everything goes.
    Privileged,
    /// Nothing that is known to lead out of a pod.
    Baseline,
    /// Only what is known to be good practice.
    Restricted,
}

/// Whose rules: those of `1.<minor>`, or the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// Of this minor version.
    Minor(u32),
    /// The newest.
    Latest,
}

/// A level by the rules of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standard {
    /// How strict.
    pub level: Level,
    /// Whose rules.
    pub version: Version,
}

/// What happens to pods of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Beyond this they are refused.
    pub enforce: Standard,
    /// Beyond this the auditor is told.
    pub audit: Standard,
    /// Beyond this the client is told.
    pub warn: Standard,
}

/// A label that means nothing: label, value, what is wrong.
pub type Fault = (&'static str, String, &'static str);

const LEVEL_WORDS: &str = "must be one of privileged, baseline, restricted";
const VERSION_WORDS: &str = "must be \"latest\" or \"v1.x\"";

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        };
        match self.version {
            Version::Latest => write!(f, "{level}:latest"),
            Version::Minor(minor) => write!(f, "{level}:v1.{minor}"),
        }
    }
}

fn parse_level(text: &str) -> Option<Level> {
    match text {
        "privileged" => Some(Level::Privileged),
        "baseline" => Some(Level::Baseline),
        "restricted" => Some(Level::Restricted),
        _ => None,
    }
}

fn parse_version(text: &str) -> Option<Version> {
    if text == "latest" {
        return Some(Version::Latest);
    }
    let minor = text.strip_prefix("v1.")?;
    let plain = minor.bytes().all(|b| b.is_ascii_digit()) && (minor == "0" || !minor.starts_with('0'));
    if plain { minor.parse().ok().map(Version::Minor) } else { None }
}

impl Policy {
    /// The policy of labels, and the labels among them that mean nothing. Those are taken as strictly as can be when
    /// enforced, and are left out of what only tells.
    pub fn of(labels: Option<&Map>) -> (Policy, Vec<Fault>) {
        let mut faults = Vec::new();
        let label = |name: &str| labels.and_then(|labels| labels.get(name)).and_then(|value| value.as_str());
        let level = |faults: &mut Vec<Fault>, name: &'static str, otherwise: Level| {
            let text = label(name)?;
            let parsed = parse_level(text);
            if parsed.is_none() {
                faults.push((name, text.to_owned(), LEVEL_WORDS));
            }
            Some((parsed.unwrap_or(otherwise), parsed.is_some()))
        };
        let version = |faults: &mut Vec<Fault>, name: &'static str| {
            let text = label(name)?;
            let parsed = parse_version(text);
            if parsed.is_none() {
                faults.push((name, text.to_owned(), VERSION_WORDS));
            }
            Some(parsed.unwrap_or(Version::Latest))
        };
        let enforce = level(&mut faults, "pod-security.kubernetes.io/enforce", Level::Restricted);
        let enforce_version = version(&mut faults, "pod-security.kubernetes.io/enforce-version");
        let audit = level(&mut faults, "pod-security.kubernetes.io/audit", Level::Privileged);
        let audit_version = version(&mut faults, "pod-security.kubernetes.io/audit-version");
        let warn = level(&mut faults, "pod-security.kubernetes.io/warn", Level::Privileged);
        let warn_version = version(&mut faults, "pod-security.kubernetes.io/warn-version");
        let standard = |level: Option<(Level, bool)>, version: Option<Version>| Standard {
            level: level.map_or(Level::Privileged, |(level, _)| level),
            version: version.unwrap_or(Version::Latest),
        };
        let enforced = standard(enforce, enforce_version);
        let mut warned = standard(warn, warn_version);
        // What will be refused when a workload makes its pods is warned about when the workload is written.
        if warn.is_none() && enforce.is_some_and(|(_, known)| known) && enforced.level > warned.level {
            warned.level = enforced.level;
            warned.version = warn_version.unwrap_or(enforced.version);
        }
        (Policy { enforce: enforced, audit: standard(audit, audit_version), warn: warned }, faults)
    }
}
