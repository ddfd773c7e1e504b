//! Removes things below the folder, whole trees among them, and follows no link on the way.

use crate::attributes::reach;
use crate::path::join;
use crate::route::open_plainly;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{AtFlags, FileType, RawDir, statat, unlinkat};
use rustix::io::Errno;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;

/// The bytes of one look into a folder.
const LISTING_BYTES: usize = 8 << 10;

/// Removes `name` from a folder, with all that is in it; says whether there was such a thing.
pub fn remove(folder: BorrowedFd<'_>, name: &[u8]) -> Result<bool, Errno> {
    match unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(Errno::ISDIR) => match std::fs::remove_dir_all(OsStr::from_bytes(&reach(folder, name))) {
            Ok(()) => Ok(true),
            Err(error) => Err(errno(&error)),
        },
        Err(errno) => Err(errno),
    }
}

/// Removes what is below the folder `path` and not among `kept`. A folder that is not kept goes with all that is in it.
pub fn clear(root: BorrowedFd<'_>, path: &[u8], kept: &HashSet<Vec<u8>>) -> Result<(), Errno> {
    let mut ahead = vec![path.to_vec()];
    while let Some(path) = ahead.pop() {
        let folder = open_plainly(root, &path)?;
        for name in names(folder.as_fd())? {
            let child = join(&path, &name);
            if !kept.contains(&child) {
                remove(folder.as_fd(), &name)?;
            } else if kind(folder.as_fd(), &name)? == FileType::Directory {
                ahead.push(child);
            }
        }
    }
    Ok(())
}

/// What `name` is in a folder, be it a link.
pub fn kind(folder: BorrowedFd<'_>, name: &[u8]) -> Result<FileType, Errno> {
    Ok(FileType::from_raw_mode(statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode))
}

fn names(folder: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>, Errno> {
    let mut listing = [MaybeUninit::uninit(); LISTING_BYTES];
    let mut entries = RawDir::new(folder, &mut listing);
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        match entry.file_name().to_bytes() {
            b"." | b".." => {}
            name => names.push(name.to_vec()),
        }
    }
    Ok(names)
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
