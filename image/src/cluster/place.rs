//! Where a user's things lie, by the XDG rules: data, cache, and the kubeconfig that kubectl reads.

use crate::exit::{Code, Failure};
use anyhow::{Result, anyhow};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The folder of all clusters.
///
/// # Errors
/// `HostLacks` when no variable says where.
pub fn clusters() -> Result<PathBuf> {
    Ok(base("XDG_DATA_HOME", ".local/share")?.join("skerry/clusters"))
}

/// The folder of what can be made again.
///
/// # Errors
/// As [`clusters`].
pub fn cache() -> Result<PathBuf> {
    Ok(base("XDG_CACHE_HOME", ".cache")?.join("skerry"))
}

/// The folder of what the user has chosen.
///
/// # Errors
/// As [`clusters`].
pub fn config() -> Result<PathBuf> {
    Ok(base("XDG_CONFIG_HOME", ".config")?.join("skerry"))
}

/// The kubeconfig that kubectl changes: the first file of `KUBECONFIG`, or the one below the home.
///
/// # Errors
/// `HostLacks` without either.
pub fn kubeconfig() -> Result<PathBuf> {
    kubeconfig_of(variable("KUBECONFIG"), variable("HOME"))
}

fn kubeconfig_of(list: Option<OsString>, home: Option<OsString>) -> Result<PathBuf> {
    let named = list.and_then(|list| std::env::split_paths(&list).find(|path| !path.as_os_str().is_empty()));
    named.or_else(|| Some(Path::new(&home?).join(".kube/config"))).ok_or_else(|| lacks("KUBECONFIG"))
}

fn base(variable_name: &str, below_home: &str) -> Result<PathBuf> {
    let named = variable(variable_name).map(PathBuf::from).filter(|path| path.is_absolute());
    named.or_else(|| Some(Path::new(&variable("HOME")?).join(below_home))).ok_or_else(|| lacks(variable_name))
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn lacks(variable: &str) -> anyhow::Error {
    anyhow!(Failure::new(Code::HostLacks, format!("neither {variable} nor HOME is set")).advice("set one of them"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_file_of_kubeconfig_is_the_one() {
        let of = |list: Option<&str>, home: Option<&str>| {
            kubeconfig_of(list.map(OsString::from), home.map(OsString::from)).map(|p| p.display().to_string()).ok()
        };
        assert_eq!(of(Some("/a:/b"), Some("/h")).as_deref(), Some("/a"));
        assert_eq!(of(Some(":/b"), None).as_deref(), Some("/b"));
        assert_eq!(of(None, Some("/h")).as_deref(), Some("/h/.kube/config"));
        assert_eq!(of(None, None), None);
    }
}
