//! A socket that init holds open for a service that sleeps until somebody connects.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

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
}
