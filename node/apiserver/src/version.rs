//! What `/version` tells.

use api::{Tree, tree};

/// The server's version.
#[derive(Clone, Debug)]
pub struct Version {
    /// `v1.36.3+skerry`
    pub git: String,
    /// Commit of the build; empty when unknown.
    pub commit: String,
    /// When it was built, RFC 3339; empty when unknown.
    pub built: String,
}

impl Version {
    /// The `Info` object of `k8s.io/apimachinery/pkg/version`.
    #[must_use]
    pub fn to_tree(&self) -> Tree {
        let mut numbers = self.git.trim_start_matches('v').split('.');
        let major = numbers.next().unwrap_or_default();
        let minor = numbers.next().unwrap_or_default();
        tree!({
            "major": major,
            "minor": minor,
            "emulationMajor": major,
            "emulationMinor": minor,
            "minCompatibilityMajor": major,
            "minCompatibilityMinor": (minor.parse::<u32>().map_or(String::new(), |m| m.saturating_sub(1).to_string())),
            "gitVersion": (self.git.as_str()),
            "gitCommit": (self.commit.as_str()),
            "gitTreeState": "clean",
            "buildDate": (self.built.as_str()),
            "goVersion": "",
            "compiler": "rustc",
            "platform": (format!("linux/{}", if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }))
        })
    }
}
