//! Takes away everything of a pod that is on the disk: our own mounts first, then the folders. It goes by what is there,
//! so it works after a restart and for pods that nobody knows any more.
//!
//! It must not know the kinds of volume; it must not follow links or enter mounts.

use super::beneath;
use super::subpath::unmount;
use std::fs;
use std::io;
use std::path::Path;

/// Unmounts and removes. `uid` is one name, no path.
///
/// # Errors
/// The first thing that could not be done; what is mounted elsewhere is never removed.
pub fn tear_down(pods: &Path, uid: &str) -> io::Result<()> {
    if uid.is_empty() || uid.contains('/') || uid == "." || uid == ".." {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{uid:?} is no uid of a pod")));
    }
    let folder = pods.join(uid);
    // Parts before wholes: a part of a volume in memory keeps it busy.
    unmount_at(&folder.join("volume-subpaths"), 3)?;
    unmount_at(&folder.join("volumes"), 2)?;
    beneath::remove(pods, uid)
}

/// Unmounts what is mounted so many levels below a folder; mounts of ours are nowhere else.
fn unmount_at(folder: &Path, levels: usize) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if levels == 1 {
            // One on top of the other can only be from a crash between two steps; all of them go.
            while beneath::is_mount_point(folder, &entry.file_name().to_string_lossy())? {
                unmount(&entry.path())?;
            }
        } else if entry.file_type()?.is_dir() {
            unmount_at(&entry.path(), levels - 1)?;
        }
    }
    Ok(())
}
