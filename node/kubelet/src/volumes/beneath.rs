//! Opening, making and removing what lies below a folder that others may write to, so that no link and no mount leads
//! out of it: every step is checked by the kernel (`openat2`), not by comparing paths.
//!
//! It must not know what the folder is for.

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, RenameFlags, ResolveFlag, openat2, renameat2};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Folders within folders that are removed by descending. Deeper ones are first moved up, because each level holds a
/// descriptor and a container may nest as deep as it likes.
pub const DEPTH_MAX: usize = 64;

/// How often a step is repeated that the kernel broke off because something was renamed meanwhile (EAGAIN).
const AGAIN_MAX: u32 = 64;

fn said(attempt: impl std::fmt::Display, why: Errno) -> io::Error {
    let why = io::Error::from(why);
    io::Error::new(why.kind(), format!("{attempt}: {why}"))
}

fn open2(at: &impl AsFd, path: &Path, flags: OFlag, resolve: ResolveFlag) -> Result<OwnedFd, Errno> {
    let mut tries = 0;
    loop {
        let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve | ResolveFlag::RESOLVE_BENEATH);
        match openat2(at.as_fd(), path, how) {
            Err(Errno::EAGAIN) if tries < AGAIN_MAX => tries += 1,
            result => return result,
        }
    }
}

/// Opens a folder that is trusted itself.
///
/// # Errors
/// When it is none.
pub fn folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    nix::fcntl::open(path, flags, Mode::empty()).map_err(|why| said(path.display(), why))
}

/// Opens what is at `sub` below a folder, only to name it (`O_PATH`). Links are followed as long as they stay below.
///
/// # Errors
/// When it is not there, or a link or `..` leads out.
pub fn open(root: &OwnedFd, sub: impl AsRef<Path>) -> io::Result<OwnedFd> {
    let sub = sub.as_ref();
    let sub = if sub.as_os_str().is_empty() { Path::new(".") } else { sub };
    open2(root, sub, OFlag::O_PATH, ResolveFlag::RESOLVE_NO_MAGICLINKS).map_err(|why| said(sub.display(), why))
}

/// The path by which an open descriptor can be named in other calls of this process.
#[must_use]
pub fn path_of(fd: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// Opens one entry of a folder, a link itself rather than what it points to, only to name it.
///
/// # Errors
/// When it is not there.
pub fn open_entry(parent: &OwnedFd, name: &Path) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
    open2(parent, name, flags, ResolveFlag::RESOLVE_NO_MAGICLINKS).map_err(|why| said(name.display(), why))
}

/// Makes the folders of `sub` that are missing, with this mode whatever the umask, and opens the last.
///
/// # Errors
/// As [`open`].
pub fn make_folders(root: &OwnedFd, sub: &str, mode: u32) -> io::Result<OwnedFd> {
    let mut done = String::new();
    let mut last = open(root, "")?;
    for part in sub.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{sub}: must not contain '..'")));
        }
        done = if done.is_empty() { part.to_owned() } else { format!("{done}/{part}") };
        last = match open(root, &done) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => {
                match mkdirat(&last, part, Mode::from_bits_truncate(mode)) {
                    Ok(()) => {
                        let made = open(root, &done)?;
                        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
                        std::fs::set_permissions(path_of(&made), permissions)?;
                        made
                    }
                    Err(Errno::EEXIST) => open(root, &done)?,
                    Err(why) => return Err(said(&done, why)),
                }
            }
            opened => opened?,
        };
    }
    Ok(last)
}

/// Reads a file of at most `max` bytes below a folder.
///
/// # Errors
/// As [`open`]; also when it is longer, or no plain file.
pub fn read(root: &Path, sub: &str, max: u64) -> io::Result<Vec<u8>> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK;
    let opened = open2(&folder(root)?, Path::new(sub), flags, ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let file = File::from(opened.map_err(|why| said(sub, why))?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{sub}: not a plain file")));
    }
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("{sub}: has more than {max} bytes")));
    }
    Ok(bytes)
}

/// Whether something is mounted at `name` in a folder; that nothing is there is no.
///
/// # Errors
/// When the folder cannot be read.
pub fn is_mount_point(parent: &Path, name: &str) -> io::Result<bool> {
    let parent = match folder(parent) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened?,
    };
    let resolve = ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_XDEV;
    match open2(&parent, Path::new(name), OFlag::O_PATH, resolve) {
        Ok(_) | Err(Errno::ENOENT | Errno::ELOOP) => Ok(false),
        Err(Errno::EXDEV) => Ok(true),
        Err(why) => Err(said(name, why)),
    }
}

/// Removes `name` from a folder with everything below it. Links are removed, not followed; a mount is an error, and so
/// nothing on another file system is ever touched. That nothing is there is fine.
///
/// # Errors
/// At the first thing that could not be removed; what was before is gone.
pub fn remove(parent: &Path, name: &str) -> io::Result<()> {
    let parent = match folder(parent) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let c_name = CString::new(name)?;
    let mut lifted = 0;
    let Some(top) = remove_entry(&parent, &c_name).map_err(|why| said(name, why))? else { return Ok(()) };
    loop {
        let before = lifted;
        empty(&top, &top, 0, &mut lifted).map_err(|why| said(format_args!("below {name}"), why))?;
        if lifted == before {
            break;
        }
    }
    match unlinkat(&parent, c_name.as_c_str(), UnlinkatFlags::RemoveDir) {
        Err(Errno::ENOENT) => Ok(()),
        result => result.map_err(|why| said(name, why)),
    }
}

/// Removes an entry that is no folder; gives back the opened folder if it is one.
fn remove_entry(parent: &OwnedFd, name: &CStr) -> Result<Option<OwnedFd>, Errno> {
    // Names are bytes: a container may write ones that are no text.
    let path = Path::new(OsStr::from_bytes(name.to_bytes()));
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
    let resolve = ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_XDEV;
    match open2(parent, path, flags, resolve) {
        Ok(folder) => Ok(Some(folder)),
        Err(Errno::ENOENT) => Ok(None),
        // A link, or something that is no folder.
        Err(Errno::ELOOP | Errno::ENOTDIR) => match unlinkat(parent, name, UnlinkatFlags::NoRemoveDir) {
            Err(Errno::ENOENT) => Ok(None),
            result => result.map(|()| None),
        },
        Err(why) => Err(why),
    }
}

fn empty(top: &OwnedFd, here: &OwnedFd, depth: usize, lifted: &mut u32) -> Result<(), Errno> {
    let names = entries(here)?;
    for (name, kind) in names {
        if depth == DEPTH_MAX && kind == Some(Type::Directory) {
            lift(top, here, &name, lifted)?;
            continue;
        }
        let Some(below) = remove_entry(here, &name)? else { continue };
        empty(top, &below, depth + 1, lifted)?;
        match unlinkat(here, name.as_c_str(), UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => (),
            Err(why) => return Err(why),
        }
    }
    Ok(())
}

/// Moves a folder that lies too deep up to the top, where the next round finds it.
fn lift(top: &OwnedFd, here: &OwnedFd, name: &CStr, lifted: &mut u32) -> Result<(), Errno> {
    loop {
        *lifted += 1;
        let place = CString::new(format!("..lifted-{lifted}")).expect("a text without NUL");
        match renameat2(here, name, top, place.as_c_str(), RenameFlags::RENAME_NOREPLACE) {
            Err(Errno::EEXIST) => (),
            result => return result,
        }
    }
}

fn entries(folder: &OwnedFd) -> Result<Vec<(CString, Option<Type>)>, Errno> {
    let own = open2(folder, Path::new("."), OFlag::O_RDONLY | OFlag::O_DIRECTORY, ResolveFlag::empty())?;
    let mut all = Vec::new();
    for entry in Dir::from_fd(own)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            let kind = entry.file_type().or_else(|| is_folder(folder, name).then_some(Type::Directory));
            all.push((name.to_owned(), kind));
        }
    }
    Ok(all)
}

/// For file systems that do not say in the listing what an entry is.
fn is_folder(parent: &OwnedFd, name: &CStr) -> bool {
    let stat = nix::sys::stat::fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW);
    stat.is_ok_and(|s| s.st_mode & libc::S_IFMT == libc::S_IFDIR)
}

#[cfg(test)]
mod tests;
