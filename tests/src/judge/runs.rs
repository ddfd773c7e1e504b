//! The folders of single runs: one each, the oldest removed.

use super::release::Release;
use anyhow::Context;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// Folders of earlier runs that are kept; a run's logs and etcd data take up to some hundred megabytes.
const KEPT: usize = 8;

/// Makes the folder of a new run and removes the oldest ones. A run that keeps its control plane alive is left alone.
///
/// # Errors
/// When a folder can be neither made nor removed.
pub fn new_folder(release: &Release, name: &str) -> anyhow::Result<PathBuf> {
    let parent = release.runs();
    std::fs::create_dir_all(&parent).with_context(|| format!("create {}", parent.display()))?;
    let mut old: Vec<PathBuf> = std::fs::read_dir(&parent)?.flatten().map(|e| e.path()).collect();
    old.retain(|path| !kept_alive(path));
    old.sort();
    for path in old.iter().take(old.len().saturating_sub(KEPT)) {
        std::fs::remove_dir_all(path).with_context(|| format!("remove {}", path.display()))?;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    let folder = parent.join(format!("{}-{name}-{}", now.as_secs(), std::process::id()));
    std::fs::create_dir(&folder).with_context(|| format!("create {}", folder.display()))?;
    Ok(folder)
}

fn kept_alive(run: &std::path::Path) -> bool {
    ["golden", "native"].iter().any(|side| run.join(side).join("pids").exists())
}
