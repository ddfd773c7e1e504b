//! A `local` PersistentVolume: a folder of this node, bound into the pod's own folder so that each pod's use of it can
//! be told from the others'.

use super::beneath;
use super::files::{on_disk, said};
use super::ownership::{self, Policy};
use super::plugin::{Job, Place};
use std::fs;
use std::path::Path;

/// Binds the folder.
///
/// # Errors
/// What could not be done.
pub async fn bring(job: &Job<'_>, volume: &str, source: &str, read_only: bool) -> Result<Place, String> {
    if !source.starts_with('/') || source.split('/').any(|part| part == "..") {
        return Err(format!("invalid path: {source} must be absolute and must not contain '..'"));
    }
    let folder = job.folder("local-volume", volume);
    let policy = job.pod.spec.as_ref().and_then(|s| s.security_context.as_ref()?.fs_group_change_policy.clone());
    let policy = if policy.as_deref() == Some("OnRootMismatch") { Policy::OnRootMismatch } else { Policy::Always };
    let group = job.fs_group().filter(|_| !read_only);
    let (from, to) = (Path::new(source).to_owned(), folder.clone());
    on_disk(move || bind(&from, &to, group, policy)).await?;
    Ok(Place::Path { path: folder, read_only })
}

fn bind(from: &Path, to: &Path, group: Option<u32>, policy: Policy) -> Result<(), String> {
    let (Some(parent), Some(name)) = (to.parent(), to.file_name()) else {
        return Err(format!("{} has no parent", to.display()));
    };
    if beneath::is_mount_point(parent, &name.to_string_lossy()).map_err(said("looking at", to))? {
        return Ok(());
    }
    if !fs::metadata(from).map_err(said("path", from))?.is_dir() {
        return Err(format!("path {} is not a directory", from.display()));
    }
    fs::create_dir_all(to).map_err(said("making", to))?;
    // Ownership first: once it is mounted the volume counts as ready.
    if let Some(group) = group {
        ownership::give(from, group, policy, false).map_err(said("giving away", from))?;
    }
    sys::mount::bind_alone(from, to).map_err(|why| why.to_string())
}
