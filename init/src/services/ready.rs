//! Waits until a socket accepts connections: told by the folder's changes, not by asking again and again.

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use tokio::net::UnixStream;
use tokio::time::Duration;

/// Between a socket file's appearance and its first accepted connection lie bind and listen, two neighbouring calls;
/// nothing announces the second, so it is tried again after this long.
const LISTEN_WAIT: Duration = Duration::from_millis(10);

/// Returns once a connection to `path` has been accepted. A file left by an earlier run refuses, which is told apart.
pub async fn socket(path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder)?;
    let notify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
    notify.add_watch(folder, AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO)?;
    let events = sys::watch::readable(notify.as_fd().try_clone_to_owned()?)?;
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
        match notify.read_events() {
            Ok(_) => fresh = path.exists(),
            Err(nix::errno::Errno::EAGAIN) => ready.clear_ready(),
            Err(e) => return Err(e.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixListener;

    #[tokio::test]
    async fn a_socket_counts_only_once_somebody_listens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/service.sock");
        std::fs::create_dir(folder.path().join("run")).unwrap();
        // A leftover: the file is there, the listener is not.
        drop(UnixListener::bind(&path).unwrap());
        let mut waits = std::pin::pin!(socket(&path));
        assert!(futures_util::poll!(waits.as_mut()).is_pending());
        std::fs::remove_file(&path).unwrap();
        let _listener = UnixListener::bind(&path).unwrap();
        waits.await.unwrap();
    }
}
