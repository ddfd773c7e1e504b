//! Which upstream release judges us, and where what was built of it lies.

use anyhow::Context;
use std::path::{Path, PathBuf};

/// The pinned patch release of Kubernetes.
pub const VERSION: &str = "1.36.4";

/// The folder of one release in the user's cache: sources, programs, build logs.
#[derive(Debug, Clone)]
pub struct Release {
    folder: PathBuf,
}

impl Release {
    /// The pinned release below the XDG cache directory, which need not exist yet.
    pub fn pinned() -> anyhow::Result<Release> {
        let cache = match std::env::var_os("XDG_CACHE_HOME").filter(|v| !v.is_empty()) {
            Some(cache) => PathBuf::from(cache),
            None => PathBuf::from(std::env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?)
                .join(".cache"),
        };
        Ok(Release { folder: cache.join("skerry/conformance").join(format!("v{VERSION}")) })
    }

    /// The folder that holds everything of this release.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The writable copy of the module, its `go.mod` edited for building outside upstream's repository.
    pub fn sources(&self) -> PathBuf {
        self.folder.join("src")
    }

    /// Where a built program lies.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }

    /// Where the compiler's output for one program goes.
    pub fn build_log(&self, name: &str) -> PathBuf {
        self.folder.join("log").join(format!("{name}.log"))
    }

    /// The parent of the folders of single runs: cluster data, logs, reports.
    pub fn runs(&self) -> PathBuf {
        self.folder.join("runs")
    }
}

/// The version of the published staging modules that belongs to a release: 1.36.4 -> 0.36.4.
pub fn staging_version(version: &str) -> String {
    match version.split_once('.') {
        Some((_, rest)) => format!("v0.{rest}"),
        None => format!("v0.{version}"),
    }
}

#[cfg(test)]
mod tests {
    use super::staging_version;

    #[test]
    fn staging_modules_carry_the_minor_and_patch_of_the_release() {
        assert_eq!(staging_version("1.36.4"), "v0.36.4");
    }
}
