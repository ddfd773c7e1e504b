//! What a parent that the layer does not mention takes over from the lower folders, so that the merged folder looks as
//! it did before: its mode, owner, times and attributes.

use crate::Error;
use crate::attributes::timestamps;
use crate::error::failed;
use crate::route::{self, FOLDER};
use crate::time::{Time, Times};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Gid, Mode, Uid, XattrFlags};
use rustix::fs::{fchmod, fchown, fgetxattr, flistxattr, fsetxattr, fstat, futimens, openat};
use rustix::io::Errno;
use std::path::{Path, PathBuf};

/// The most that the kernel gives for a list of attributes and for a value (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const ATTRIBUTE_BYTES_MAX: usize = 64 << 10;

/// Makes the folder `made` look like its nearest likeness at `path`. There may be none.
pub fn inherit(lower: &[PathBuf], path: &[u8], made: BorrowedFd<'_>) -> Result<(), Error> {
    for folder in lower {
        match find(folder, path) {
            Ok(likeness) => return copy(folder, path, likeness.as_fd(), made),
            Err(Errno::NOENT) => {}
            // Something else stands there, so this one is new.
            Err(Errno::NOTDIR) => return Ok(()),
            Err(errno) => return Err(failed(folder, path, "open the folder")(errno)),
        }
    }
    Ok(())
}

fn find(folder: &Path, path: &[u8]) -> Result<OwnedFd, Errno> {
    route::open(openat(CWD, folder, FOLDER, Mode::empty())?.as_fd(), path)
}

fn copy(root: &Path, path: &[u8], from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Error> {
    let stat = fstat(from).map_err(failed(root, path, "look at the folder"))?;
    let owner = (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)));
    fchown(to, owner.0, owner.1).map_err(failed(root, path, "copy the owner"))?;
    fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777)).map_err(failed(root, path, "copy the mode"))?;
    let time =
        |seconds, nanoseconds: u64| Time { seconds, nanoseconds: u32::try_from(nanoseconds).unwrap_or_default() };
    let times =
        Times { accessed: time(stat.st_atime, stat.st_atime_nsec), modified: time(stat.st_mtime, stat.st_mtime_nsec) };
    futimens(to, &timestamps(&times)).map_err(failed(root, path, "copy the times"))?;
    copy_attributes(from, to).map_err(failed(root, path, "copy an attribute"))
}

/// Copies all attributes but those of overlayfs. One that is there already stays; one that goes meanwhile is gone.
fn copy_attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut keys = vec![0; ATTRIBUTE_BYTES_MAX];
    let length = match flistxattr(from, &mut keys[..]) {
        Err(Errno::NOTSUP) => 0,
        length => length?,
    };
    let mut value = Vec::new();
    for key in keys[..length].split(|byte| *byte == 0) {
        if key.is_empty() || key.starts_with(b"trusted.") {
            continue;
        }
        value.resize(ATTRIBUTE_BYTES_MAX, 0);
        let done = fgetxattr(from, key, &mut value[..])
            .and_then(|length| fsetxattr(to, key, &value[..length], XattrFlags::CREATE));
        match done {
            Ok(()) | Err(Errno::NOTSUP | Errno::NODATA | Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
