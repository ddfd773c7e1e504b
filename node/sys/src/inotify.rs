//! Watching folders for files that are written, put in place or taken away (inotify(7)). Does not say what they are for.

use crate::{checked, said};
use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use tokio::io::unix::AsyncFd;

/// Bytes read at once. A record takes 16 bytes and a name of at most 256; the kernel never splits one.
const READ_BYTES: usize = 4096;
const HEADER_BYTES: usize = 16;

/// The folders that are watched, for files that are complete: written and closed, moved in, made or deleted. The
/// descriptor does not block and may be waited for with [`crate::watch::readable`].
pub fn folders(paths: &[&Path]) -> io::Result<OwnedFd> {
    open(paths, libc::IN_CLOSE_WRITE | libc::IN_MOVED_TO | libc::IN_CREATE | libc::IN_DELETE)
}

fn open(paths: &[&Path], mask: u32) -> io::Result<OwnedFd> {
    // SAFETY: inotify_init1 takes flags alone.
    let raw = checked(unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) }, "watch folders")?;
    // SAFETY: the kernel has just given this descriptor to us alone.
    let fd = unsafe { OwnedFd::from_raw_fd(raw) };
    for path in paths {
        let attempt = format!("watch the folder {}", path.display());
        let text = CString::new(path.as_os_str().as_bytes()).map_err(|e| said(&attempt, io::Error::from(e)))?;
        let mask = mask | libc::IN_ONLYDIR;
        // SAFETY: `text` is a string that ends in a zero and outlives the call.
        checked(unsafe { libc::inotify_add_watch(fd.as_raw_fd(), text.as_ptr(), mask) }, attempt)?;
    }
    Ok(fd)
}

/// A folder in which every write counts: files that grow, are made, renamed and removed.
#[derive(Debug)]
pub struct Changes {
    watched: AsyncFd<OwnedFd>,
}

impl Changes {
    /// Watches a folder from now on. Must be called within a tokio runtime.
    pub fn of(folder: &Path) -> io::Result<Changes> {
        let mask = libc::IN_MODIFY | libc::IN_CREATE | libc::IN_MOVED_FROM | libc::IN_MOVED_TO;
        let fd = open(&[folder], mask | libc::IN_DELETE | libc::IN_DELETE_SELF)?;
        Ok(Changes { watched: crate::watch::readable(fd)? })
    }

    /// Waits until something has changed since the last call. What it was is not told: whoever is woken looks again.
    pub async fn next(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.watched.readable().await?;
            match ready.try_io(|fd| drain(fd.get_ref())) {
                Ok(result) => return result,
                Err(_would_block) => {}
            }
        }
    }
}

/// Reads whatever is there; `WouldBlock` when there was nothing.
fn drain(fd: &OwnedFd) -> io::Result<()> {
    let mut buffer = [0u8; READ_BYTES];
    let mut any = false;
    loop {
        match nix::unistd::read(fd, &mut buffer) {
            Ok(_) => any = true,
            Err(nix::errno::Errno::EINTR) => {}
            Err(nix::errno::Errno::EAGAIN) if any => return Ok(()),
            Err(errno) => return Err(said("read what changed in a folder", errno)),
        }
    }
}

/// One file that is watched for whatever is written to it. [`changed`] takes the events off, which have no names.
pub fn writes(file: &Path) -> io::Result<OwnedFd> {
    // SAFETY: inotify_init1 takes flags alone.
    let raw = checked(unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) }, "watch a file")?;
    // SAFETY: the kernel has just given this descriptor to us alone.
    let fd = unsafe { OwnedFd::from_raw_fd(raw) };
    let attempt = format!("watch the file {}", file.display());
    let text = CString::new(file.as_os_str().as_bytes()).map_err(|e| said(&attempt, io::Error::from(e)))?;
    // SAFETY: `text` is a string that ends in a zero and outlives the call.
    checked(unsafe { libc::inotify_add_watch(fd.as_raw_fd(), text.as_ptr(), libc::IN_MODIFY) }, attempt)?;
    Ok(fd)
}

/// The names of the files that changed since the last call; empty when none did.
pub fn changed(fd: &OwnedFd) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    let mut buffer = [0u8; READ_BYTES];
    loop {
        match nix::unistd::read(fd, &mut buffer) {
            Ok(0) | Err(nix::errno::Errno::EAGAIN) => return Ok(names),
            Ok(read) => names.extend(parse(&buffer[..read])),
            Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(said("read what changed in watched folders", errno)),
        }
    }
}

/// The names in a run of `struct inotify_event`.
fn parse(mut bytes: &[u8]) -> Vec<OsString> {
    let mut names = Vec::new();
    while bytes.len() >= HEADER_BYTES {
        let length = u32::from_ne_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]) as usize;
        let Some(padded) = bytes.get(HEADER_BYTES..HEADER_BYTES + length) else { break };
        let name = padded.split(|b| *b == 0).next().unwrap_or_default();
        if !name.is_empty() {
            names.push(OsString::from_vec(name.to_vec()));
        }
        bytes = &bytes[HEADER_BYTES + length..];
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_and_a_moved_file_are_named_and_read_ones_are_not() {
        let folder = std::env::temp_dir().join(format!("inotify-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let fd = folders(&[&folder]).expect("a watch");
        assert!(changed(&fd).expect("a read").is_empty());
        std::fs::write(folder.join("a.new"), "1").expect("a file");
        std::fs::rename(folder.join("a.new"), folder.join("a")).expect("a rename");
        let names = changed(&fd).expect("a read");
        std::fs::read(folder.join("a")).expect("a read");
        let after = changed(&fd).expect("a read");
        std::fs::remove_dir_all(&folder).expect("removed");
        assert!(names.contains(&OsString::from("a")), "{names:?}");
        assert!(after.is_empty(), "{after:?}");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = folders(&[Path::new("/no/such/folder")]).expect_err("refused");
        assert!(error.to_string().contains("/no/such/folder"), "{error}");
    }
}
