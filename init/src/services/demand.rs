//! A socket that init holds open for a service that sleeps until somebody connects.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use tokio::io::unix::AsyncFd;

/// A listening socket that nobody accepts from yet.
pub struct Door {
    listener: UnixListener,
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
        Ok(Door { listener })
    }

    /// Returns when somebody waits at the door. The connection stays in the queue for the service to accept.
    pub async fn knock(&self) -> io::Result<()> {
        let watched = sys::watch::readable(self.socket()?)?;
        drop(watched.readable().await?);
        Ok(())
    }

    /// Tells of every further caller, also of those that the service takes from the queue itself.
    pub fn bell(&self) -> io::Result<Bell> {
        Ok(Bell(sys::watch::readable(self.socket()?)?))
    }

    /// The socket, for the service.
    pub fn socket(&self) -> io::Result<OwnedFd> {
        self.listener.as_fd().try_clone_to_owned()
    }
}

/// Rings when somebody connects. The kernel wakes every watcher of a listening socket, whoever accepts.
pub struct Bell(AsyncFd<OwnedFd>);

impl Bell {
    /// Returns when somebody has connected since the last time.
    pub async fn rung(&self) -> io::Result<()> {
        self.0.readable().await?.clear_ready();
        Ok(())
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

    #[tokio::test]
    async fn the_bell_rings_for_each_caller_although_somebody_else_accepts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("door.sock");
        let door = Door::open(&path).unwrap();
        let service = UnixListener::from(door.socket().unwrap());
        let bell = door.bell().unwrap();
        for _ in 0..2 {
            {
                let mut rung = std::pin::pin!(bell.rung());
                assert!(futures_util::poll!(rung.as_mut()).is_pending());
            }
            let _caller = UnixStream::connect(&path).unwrap();
            service.accept().unwrap();
            bell.rung().await.unwrap();
        }
    }
}
