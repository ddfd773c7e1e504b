//! Follows a path below a folder link by link, as if the folder were the root, and says where it ends. The answer has
//! no links in it any more; its last parts may not be there yet.
//!
//! The kernel's own `RESOLVE_IN_ROOT` tells neither, and stops at the first part that is missing. Nor does it read a
//! link as containerd does: there, `..` in a link's target takes back what stands before it, be that a link or not.

use crate::path::{parent, push};
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2, readlinkat};
use rustix::io::Errno;

/// How a folder is opened.
pub const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// How many links one path may lead through. containerd follows as many; the kernel stops at 40.
const LINKS_MAX: usize = 255;

/// Opens a folder; `ELOOP` when there is a link on the way.
pub fn open_plainly(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    openat2(root, path, FOLDER, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS)
}

/// Opens a folder, wherever the links on the way lead.
pub fn open(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    match open_plainly(root, path) {
        // What is missing where the kernel looks may be there where we do, and it gives up at `..` (EAGAIN) when
        // somebody renames a folder anywhere just then.
        Err(Errno::LOOP | Errno::NOENT | Errno::AGAIN) => open_plainly(root, &follow(root, path)?),
        opened => opened,
    }
}

/// Where `path` leads. `ELOOP` after too many links, `ENOTDIR` when it leads through something that is no folder.
pub fn follow(root: BorrowedFd<'_>, path: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut links = 0;
    let mut at = Vec::new();
    let mut ahead = Vec::new();
    prepend(&mut ahead, path);
    while let Some(part) = ahead.pop() {
        let before = at.len();
        step(&mut at, &part);
        if at.len() <= before {
            continue;
        }
        match readlinkat(root, at.as_slice(), Vec::new()) {
            Ok(target) => {
                links += 1;
                if links > LINKS_MAX {
                    return Err(Errno::LOOP);
                }
                let target = target.to_bytes();
                at.truncate(if target.starts_with(b"/") { 0 } else { before });
                for part in target.split(|byte| *byte == b'/') {
                    step(&mut at, part);
                }
                prepend(&mut ahead, &at);
                at.clear();
            }
            // No link, or not there: then it will be a folder.
            Err(Errno::INVAL | Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(at)
}

/// One part further, without a look at the disk.
fn step(at: &mut Vec<u8>, part: &[u8]) {
    match part {
        b"" | b"." => {}
        b".." => at.truncate(parent(at).len()),
        _ => push(at, part),
    }
}

/// Puts the parts of a path before those that are still ahead, the next one last.
fn prepend(ahead: &mut Vec<Vec<u8>>, path: &[u8]) {
    ahead.extend(path.rsplit(|byte| *byte == b'/').map(<[u8]>::to_vec));
}
