//! The cluster's context in the user's kubeconfig: merged, removed, and never anybody else's.

use super::{Cluster, place};
use anyhow::Result;
use pki::kubeconfig::{self, Entry};
use std::path::PathBuf;

/// Puts a cluster's entry into the user's kubeconfig and makes it current. Returns the file.
///
/// # Errors
/// When the file cannot be changed, or has a context of this name that leads elsewhere; then nothing has changed.
pub fn merge(entry: &Entry) -> Result<PathBuf> {
    let path = place::kubeconfig()?;
    kubeconfig::edit_file(&path, |existing| {
        if is_foreign(existing, &entry.name)? {
            anyhow::bail!(
                "it has a context {:?} that leads to another server: rename that, or choose another --name",
                entry.name
            );
        }
        kubeconfig::merge(existing, entry, true)
    })?;
    Ok(path)
}

/// Takes a cluster's entry out of the user's kubeconfig, if it is there. Returns whether it was.
///
/// # Errors
/// When the file cannot be changed.
pub fn remove(cluster: &Cluster) -> Result<bool> {
    let path = place::kubeconfig()?;
    if !path.exists() {
        return Ok(false);
    }
    let mut had = false;
    kubeconfig::edit_file(&path, |existing| {
        if !has(existing, &cluster.name)? || is_foreign(existing, &cluster.name)? {
            return Ok(existing.to_owned());
        }
        had = true;
        kubeconfig::remove(existing, &cluster.name)
    })?;
    Ok(had)
}

fn has(existing: &str, name: &str) -> Result<bool> {
    Ok(kubeconfig::read(existing, name)?.is_some())
}

/// Whether a context of this name leads to a server that no cluster of this host can be.
fn is_foreign(existing: &str, name: &str) -> Result<bool> {
    let entry = kubeconfig::read(existing, name)?;
    Ok(entry.is_some_and(|entry| !entry.server.starts_with("https://127.0.0.1:")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_that_leads_elsewhere_is_somebody_elses() {
        let entry = |server: &str| Entry {
            name: "skerry".to_owned(),
            server: server.to_owned(),
            authority: "a".to_owned(),
            certificate: "c".to_owned(),
            key: "k".to_owned().into(),
        };
        let text = |server: &str| kubeconfig::write(&entry(server)).unwrap();
        assert!(!is_foreign(&text("https://127.0.0.1:6443"), "skerry").unwrap());
        assert!(is_foreign(&text("https://prod.example:6443"), "skerry").unwrap());
        assert!(!is_foreign(&text("https://prod.example:6443"), "other").unwrap());
        assert!(!is_foreign("", "skerry").unwrap());
    }
}
