//! Where things lie: the checkout, the cache, the image.

use crate::exit::{Code, Failure};
use anyhow::{Context, Result, anyhow};
use std::path::{Path, PathBuf};

/// A folder that holds this is the checkout.
const MARK: &str = "kernel-config";

/// The folders of a build.
pub struct Folders {
    /// Fragments of the kernel's configuration.
    pub fragments: PathBuf,
    /// Files that lie in the image as they are.
    pub fixed: PathBuf,
    /// The lock file.
    pub lock: PathBuf,
    /// The lock file of the crates that our own programs are made of.
    pub crates: PathBuf,
    /// Our own programs.
    pub built: PathBuf,
    /// Packages, kernels and tools of earlier builds.
    pub cache: PathBuf,
    /// The image.
    pub target: PathBuf,
}

impl Folders {
    /// Finds them from the working folder, else from where this program lies.
    ///
    /// # Errors
    /// `Refused` outside of a checkout, `HostLacks` without a home.
    pub fn find(target: Option<&Path>) -> Result<Folders> {
        let here = std::env::current_dir().context("asking for the working folder")?;
        let program = std::env::current_exe().context("asking where this program lies")?;
        let checkout = above(&here).or_else(|| above(&program)).ok_or_else(|| {
            let failure = Failure::new(Code::Refused, "this is no checkout of Skerry");
            anyhow!(failure.advice("run it inside the source tree, or download an image instead of building one"))
        })?;
        let products = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| checkout.join("target"), PathBuf::from);
        Ok(Folders {
            fragments: checkout.join(MARK),
            fixed: checkout.join("image/rootfs"),
            lock: checkout.join("image/packages.lock"),
            crates: checkout.join("Cargo.lock"),
            built: products.join("release"),
            cache: cache()?,
            target: target.map_or_else(|| products.join("image"), Path::to_owned),
        })
    }
}

/// The nearest folder at or above this one that is the checkout.
fn above(path: &Path) -> Option<PathBuf> {
    path.ancestors()
        .find(|folder| folder.join(MARK).is_dir() && folder.join("image/rootfs").is_dir())
        .map(Path::to_owned)
}

/// The build cache below the user's cache folder.
///
/// # Errors
/// `HostLacks` without a home.
pub fn cache() -> Result<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = variable("XDG_CACHE_HOME").filter(|path| path.is_absolute());
    let base = base.or_else(|| Some(variable("HOME")?.join(".cache"))).ok_or_else(|| {
        anyhow!(Failure::new(Code::HostLacks, "neither XDG_CACHE_HOME nor HOME is set").advice("set one of them"))
    })?;
    Ok(base.join("skerry"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checkout_is_found_from_below() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/build");
        let found = above(&here).unwrap();
        assert!(found.join("image/packages.lock").exists());
        assert_eq!(above(Path::new("/proc/self")), None);
    }
}
