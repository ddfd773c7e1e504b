//! A socket that init holds open for a service that sleeps until somebody connects.

use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// A listening socket that nobody accepts from yet.
pub struct Door {
    listener: UnixListener,
    path: PathBuf,
}

impl Door {
    /// Opens the socket at `path`, for root only, in place of what an earlier run left.
    pub fn open(path: &Path) -> io::Result<Door> {
        let said = |e: io::Error| io::Error::new(e.kind(), format!("listen at {}: {e}", path.display()));
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(said(e)),
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(said)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(said)?;
        Ok(Door { listener, path: path.to_owned() })
    }

    /// Returns when somebody waits at the door. The connection stays in the queue for the service to accept.
    pub async fn knock(&self) -> io::Result<()> {
        let watched = sys::watch::readable(self.socket()?)?;
        drop(watched.readable().await?);
        Ok(())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether somebody has connected since this was asked before. The service takes callers from the queue faster than
    /// anybody else could see them there, but each touches the file's time of access (`unix_find_bsd` in af_unix.c): it is
    /// set to the beginning of time here, which also makes the next touch count where such times are kept lazily.
    pub fn was_called(&self) -> io::Result<bool> {
        let said =
            |e: io::Error| io::Error::new(e.kind(), format!("the time of access of {}: {e}", self.path.display()));
        let read = self.path.metadata().map_err(said)?;
        let called = (read.atime(), read.atime_nsec()) != (0, 0);
        if called {
            let never = TimeSpec::new(0, 0);
            utimensat(nix::fcntl::AT_FDCWD, &self.path, &never, &TimeSpec::UTIME_OMIT, UtimensatFlags::NoFollowSymlink)
                .map_err(|e| said(e.into()))?;
        }
        Ok(called)
    }

    /// The socket, for the service.
    pub fn socket(&self) -> io::Result<OwnedFd> {
        self.listener.as_fd().try_clone_to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[tokio::test]
    async fn a_knock_is_heard_and_the_caller_stays_in_the_queue() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("door.sock");
        let door = Door::open(&path).unwrap();
        {
            let mut knock = std::pin::pin!(door.knock());
            assert!(futures_util::poll!(knock.as_mut()).is_pending());
        }
        let _caller = UnixStream::connect(&path).unwrap();
        door.knock().await.unwrap();
        let passed = UnixListener::from(door.socket().unwrap());
        passed.set_nonblocking(true).unwrap();
        passed.accept().expect("the caller still waits");
        Door::open(&path).expect("a leftover is replaced");
    }

    #[test]
    fn a_caller_is_known_although_the_service_has_taken_it() {
        // In memory, as in the machine: other file systems may keep no times of access at all.
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = folder.path().join("door.sock");
        let door = Door::open(&path).unwrap();
        let service = UnixListener::from(door.socket().unwrap());
        door.was_called().unwrap();
        for _ in 0..2 {
            assert!(!door.was_called().unwrap());
            for _ in 0..2 {
                let _caller = UnixStream::connect(&path).unwrap();
                service.accept().unwrap();
            }
            assert!(door.was_called().unwrap());
        }
    }
}
