//! The machine's resolvers: `resolv.conf`, read again when it changes.
//!
//! It must not know what they are asked.

use super::forward::Forwarder;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The port of resolvers.
const PORT: u16 = 53;
/// Bytes of `resolv.conf` that are read; a sane one has some hundred.
pub const FILE_BYTES_MAX: u64 = 64 * 1024;

/// The resolvers of a `resolv.conf`, without ourselves: to ask ourselves would never end.
#[must_use]
pub fn parse(text: &str, ourselves: &[IpAddr]) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        if words.next() != Some("nameserver") {
            continue;
        }
        let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else { continue };
        let address = SocketAddr::new(address, PORT);
        if !ourselves.contains(&address.ip()) && !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

/// Keeps the forwarder's list in step with the file until told to stop.
///
/// # Errors
/// When the file's folder cannot be watched; the list then stays as it was read.
pub async fn follow(
    file: &Path,
    ourselves: &[IpAddr],
    forwarder: &Arc<Forwarder>,
    stop: &CancellationToken,
) -> io::Result<()> {
    loop {
        // Watch first and read then, so that no change falls between.
        let (paths, fd) = watch(file)?;
        forwarder.use_resolvers(&parse(&read(file), ourselves));
        let fd = sys::watch::readable(fd)?;
        loop {
            let mut ready = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                ready = fd.readable() => ready?,
            };
            let changed = sys::inotify::changed(fd.get_ref())?;
            ready.clear_ready();
            if changed.iter().any(|name| paths.iter().any(|path| path.file_name() == Some(name))) {
                break;
            }
        }
    }
}

/// The file and what it links to, with a watch over their folders.
fn watch(file: &Path) -> io::Result<(Vec<PathBuf>, OwnedFd)> {
    let mut paths = vec![file.to_owned()];
    if let Ok(target) = std::fs::read_link(file) {
        paths.push(file.parent().unwrap_or(Path::new("/")).join(target));
    }
    let folders: Vec<&Path> = paths.iter().filter_map(|path| path.parent()).filter(|p| p.is_dir()).collect();
    let fd = sys::inotify::folders(&folders)?;
    Ok((paths, fd))
}

/// The file's text. A file that is not there is no resolvers, which is the truth until it appears.
fn read(file: &Path) -> String {
    let text = std::fs::File::open(file).and_then(|opened| {
        let mut text = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(opened, FILE_BYTES_MAX), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    });
    text.unwrap_or_else(|error| {
        tracing::warn!(%error, file = %file.display(), "the list of resolvers could not be read");
        String::new()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nameservers_are_read_and_ourselves_left_out() {
        let text = "# c\nsearch a b\nnameserver 10.96.0.10\nnameserver\t10.0.2.3 \nnameserver x\nnameserver 10.0.2.3\n\
            options edns0\nnameserver fd00::3\n";
        let found = parse(text, &[IpAddr::from([10, 96, 0, 10])]);
        let texts: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["10.0.2.3:53", "[fd00::3]:53"]);
    }

    #[tokio::test]
    async fn a_list_that_is_replaced_is_read_again_through_its_link() {
        let folder = tempfile::tempdir().expect("a folder");
        let (link, real) = (folder.path().join("etc-resolv"), folder.path().join("run"));
        std::fs::create_dir(&real).expect("a folder");
        std::os::unix::fs::symlink("run/resolv.conf", &link).expect("a link");
        let forwarder = Arc::new(Forwarder::default());
        let stop = CancellationToken::new();
        let (file, told, until) = (link.clone(), forwarder.clone(), stop.clone());
        let following = tokio::spawn(async move { follow(&file, &[], &told, &until).await });
        for address in ["10.0.2.3:53", "10.0.2.4:53"] {
            let text = format!("nameserver {}\n", address.trim_end_matches(":53"));
            std::fs::write(real.join("new"), text).expect("written");
            std::fs::rename(real.join("new"), real.join("resolv.conf")).expect("renamed");
            let seen = async {
                while forwarder.resolvers() != [address.parse().expect("an address")] {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(std::time::Duration::from_secs(20), seen).await.expect("seen in time");
        }
        stop.cancel();
        following.await.expect("ended").expect("without an error");
    }
}
