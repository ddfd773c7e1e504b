//! What the volumes have in common that consist of files made by the kubelet: their folder, the places for mounts
//! within it, the files, and whose they are.
//!
//! It must not know where the bytes come from.

use super::atomic::{self, Payload};
use super::nested;
use super::ownership::{self, Policy};
use super::plugin::{Job, Place};
use super::{empty_dir, empty_dir::Medium};
use std::path::PathBuf;

/// Bytes of a memory volume of files: a ConfigMap or Secret has 1 MiB at most, a projected volume may have several, and
/// a change has old and new at the same time.
pub const MEMORY_BYTES_MAX: u64 = 64 << 20;

/// Makes the folder and brings the files to the payload.
///
/// # Errors
/// What could not be made.
pub async fn bring(job: &Job<'_>, plugin: &str, memory: bool, payload: Payload) -> Result<Place, String> {
    let folder = job.folder(plugin, &job.volume.name);
    let nested = nested::places(job.pod, &job.volume.name)?;
    let medium = if memory { Medium::Memory { bytes: MEMORY_BYTES_MAX } } else { Medium::Disk };
    let (group, now, path) = (job.fs_group(), job.now, folder.clone());
    on_disk(move || {
        empty_dir::make(&path, medium, None)?;
        nested::make(&path, &nested)?;
        atomic::write(&path, &payload, now, || match group {
            Some(group) => ownership::give(&path, group, Policy::Always, true),
            None => Ok(()),
        })
    })
    .await?;
    Ok(Place::Path { path: folder, read_only: true })
}

/// Runs what waits for the disk where it holds up nobody.
///
/// # Errors
/// Those of the work.
pub async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|why| format!("the work on the disk broke off: {why}"))?
}

/// A failed step on a path, as text.
pub fn said(attempt: &str, path: &std::path::Path) -> impl Fn(std::io::Error) -> String {
    let (attempt, path): (String, PathBuf) = (attempt.to_owned(), path.to_owned());
    move |why| format!("{attempt} {}: {why}", path.display())
}
