//! Waits until a socket accepts connections: told by the folder's changes, not by asking again and again.

use crate::inotify::{changed, folders};
use std::io;
use std::path::Path;
use tokio::net::UnixStream;
use tokio::time::Duration;

/// Between a socket file's appearance and its first accepted connection lie bind and listen, two neighbouring calls;
/// nothing announces the second, so it is tried again after this long.
const LISTEN_WAIT: Duration = Duration::from_millis(10);

/// Returns once a connection to `path` has been accepted. A file left by an earlier run refuses, which is told apart.
/// The folder is made when it is missing, since only what exists can be watched. Must be called within a tokio runtime.
pub async fn accepts(path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder)?;
    let events = crate::watch::readable(folders(&[folder])?)?;
    let mut fresh = false;
    loop {
        match UnixStream::connect(path).await {
            Ok(_) => return Ok(()),
            Err(_) if fresh => {
                tokio::time::sleep(LISTEN_WAIT).await;
                fresh = path.exists();
                continue;
            }
            Err(_) => {}
        }
        let mut ready = events.readable().await?;
        if changed(events.get_ref())?.is_empty() {
            ready.clear_ready();
        } else {
            fresh = path.exists();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::task::{Context, Waker};
    use tokio::net::UnixListener;

    #[tokio::test]
    async fn a_socket_counts_only_once_somebody_listens() {
        let folder = std::env::temp_dir().join(format!("listening-{}", std::process::id()));
        let path = folder.join("run/service.sock");
        std::fs::create_dir_all(folder.join("run")).expect("a folder");
        // A leftover: the file is there, the listener is not.
        drop(UnixListener::bind(&path).expect("a socket"));
        let mut waits = std::pin::pin!(accepts(&path));
        let pending = waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending();
        std::fs::remove_file(&path).expect("removed");
        let listener = UnixListener::bind(&path).expect("a socket");
        let done = waits.await;
        drop(listener);
        std::fs::remove_dir_all(&folder).expect("removed");
        assert!(pending, "a file without a listener was taken for a service");
        done.expect("accepted");
    }
}
