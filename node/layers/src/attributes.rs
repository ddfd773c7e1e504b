//! Gives what was made its owner, attributes, mode and times, in this order: a change of owner clears the set-user bit
//! and capabilities. Modes are always set, for the process' mask and the access lists of a parent change what a call
//! that makes something is told.

use crate::entry::{Owner, Thing};
use crate::time::{Time, Times};
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::fs::{AtFlags, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::fs::{chmodat, chownat, fchmod, fchown, fsetxattr, futimens, lsetxattr, utimensat};
use rustix::io::Errno;

/// The attributes that the kernel keeps for files and folders alone.
const USER: &[u8] = b"user.";

/// What was refused and why; the caller knows of what.
pub type Refused = (&'static str, Errno);

const OWNER: &str = "set the owner";
const ATTRIBUTE: &str = "set an attribute";
const MODE: &str = "set the mode";
const TIMES: &str = "set the times";

/// A file that is open.
pub fn dress_file(file: BorrowedFd<'_>, thing: &Thing<'_>) -> Result<(), Refused> {
    let (user, group) = ids(thing.owner);
    fchown(file, user, group).map_err(|errno| (OWNER, errno))?;
    for (key, value) in &thing.attributes {
        tolerate(fsetxattr(file, *key, value, XattrFlags::empty()), key, FileType::RegularFile)?;
    }
    fchmod(file, Mode::from_raw_mode(thing.mode)).map_err(|errno| (MODE, errno))?;
    futimens(file, &timestamps(&thing.times)).map_err(|errno| (TIMES, errno))
}

/// Whatever `name` is in a folder. The times of a folder are set once more when all is done, for its contents change
/// them; but its name may lead elsewhere by then.
pub fn dress(folder: BorrowedFd<'_>, name: &[u8], kind: FileType, thing: &Thing<'_>) -> Result<(), Refused> {
    give(folder, name, thing.owner).map_err(|errno| (OWNER, errno))?;
    if !thing.attributes.is_empty() {
        let path = reach(folder, name);
        for (key, value) in &thing.attributes {
            tolerate(lsetxattr(path.as_slice(), *key, value, XattrFlags::empty()), key, kind)?;
        }
    }
    if kind != FileType::Symlink {
        let mode = Mode::from_raw_mode(thing.mode);
        chmodat(folder, name, mode, AtFlags::empty()).map_err(|errno| (MODE, errno))?;
    }
    utimensat(folder, name, &timestamps(&thing.times), AtFlags::SYMLINK_NOFOLLOW).map_err(|errno| (TIMES, errno))
}

/// Changes the owner of what `name` is, and of no link's target.
pub fn give(folder: BorrowedFd<'_>, name: &[u8], owner: Owner) -> Result<(), Errno> {
    let (user, group) = ids(owner);
    chownat(folder, name, user, group, AtFlags::SYMLINK_NOFOLLOW)
}

/// A path to `name` in an open folder, for calls that take no folder. The kernel walks from the open folder itself.
pub fn reach(folder: BorrowedFd<'_>, name: &[u8]) -> Vec<u8> {
    let mut path = format!("/proc/self/fd/{}/", folder.as_raw_fd()).into_bytes();
    path.extend_from_slice(name);
    path
}

/// The times as the kernel takes them.
pub fn timestamps(times: &Times) -> Timestamps {
    let spec = |time: Time| Timespec { tv_sec: time.seconds, tv_nsec: time.nanoseconds.into() };
    Timestamps { last_access: spec(times.accessed), last_modification: spec(times.modified) }
}

fn ids(owner: Owner) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(owner.user)), Some(Gid::from_raw(owner.group)))
}

/// An attribute that the disk has no place for, or that this kind of file cannot have, is left out.
fn tolerate(done: Result<(), Errno>, key: &[u8], kind: FileType) -> Result<(), Refused> {
    let has_user_attributes = matches!(kind, FileType::RegularFile | FileType::Directory);
    match done {
        Err(Errno::NOTSUP) => Ok(()),
        Err(Errno::PERM) if key.starts_with(USER) && !has_user_attributes => Ok(()),
        done => done.map_err(|errno| (ATTRIBUTE, errno)),
    }
}
