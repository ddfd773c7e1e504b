//! Keeps containers' logs within their size: the file is put aside under a name with the time, the engine opens a new
//! one, older parts are compressed and the oldest go. Names and limits as upstream's `pkg/kubelet/logs`.
//!
//! It must not read the logs' content.

use crate::context::Context;
use crate::cri::v1;
use crate::observed::State;
use crate::registry::Registry;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Bytes of a log before it is put aside, upstream's `containerLogMaxSize`.
pub const BYTES_MAX: u64 = 10 << 20;
/// Files per container, the one being written among them, upstream's `containerLogMaxFiles`.
pub const FILES_MAX: usize = 5;

/// Rotates the logs of all running containers that are too long.
pub async fn all(ctx: &Context, registry: &Registry) {
    for entry in registry.all() {
        for container in entry.observed.containers.iter().filter(|c| c.state == State::Running) {
            let path = PathBuf::from(&container.log);
            if std::fs::metadata(&path).map_or(0, |meta| meta.len()) <= BYTES_MAX {
                continue;
            }
            let now = ctx.now();
            let (file, aside) = (path.clone(), path.clone());
            let cleared = tokio::task::spawn_blocking(move || clear(&file)).await.map_err(io::Error::other).flatten();
            if let Err(error) = cleared {
                tracing::warn!(log = %path.display(), %error, "older parts of a log could not be tidied");
            }
            match put_aside(ctx, &container.id, &aside, now).await {
                Ok(()) => registry.touch(),
                Err(error) => tracing::warn!(log = %path.display(), %error, "a log could not be rotated"),
            }
        }
    }
}

fn aside(log: &Path, now: Timestamp) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(format!(".{}", now.strftime("%Y%m%d-%H%M%S")));
    PathBuf::from(name)
}

async fn put_aside(ctx: &Context, id: &str, log: &Path, now: Timestamp) -> anyhow::Result<()> {
    let aside = aside(log, now);
    std::fs::rename(log, &aside)?;
    let asked = v1::ReopenContainerLogRequest { container_id: id.to_owned() };
    if let Err(error) = ctx.cri.reopen_container_log(asked).await {
        // The engine still writes to the old file: give it its name back.
        std::fs::rename(&aside, log)?;
        return Err(error.into());
    }
    Ok(())
}

/// Removes the oldest parts so that there is room for one more, and compresses those that are not yet.
fn clear(log: &Path) -> io::Result<()> {
    let (Some(folder), Some(name)) = (log.parent(), log.file_name().and_then(|name| name.to_str())) else {
        return Ok(());
    };
    let mut parts = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let other = path.file_name().and_then(|other| other.to_str()).unwrap_or_default();
        let part = other.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
        if part && other.ends_with(".tmp") {
            std::fs::remove_file(&path)?;
        } else if part {
            parts.push(path);
        }
    }
    // Names carry the time, so they sort by age.
    parts.sort();
    let room = FILES_MAX - 2;
    let surplus = parts.len().saturating_sub(room);
    for oldest in parts.drain(..surplus) {
        std::fs::remove_file(oldest)?;
    }
    parts.iter().filter(|part| part.extension().is_none_or(|end| end != "gz")).try_for_each(|part| compress(part))
}

fn compress(part: &Path) -> io::Result<()> {
    let named = |end: &str| {
        let mut name = part.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let (half, done) = (named(".tmp"), named(".gz"));
    let mut encoder = GzEncoder::new(File::create(&half)?, Compression::default());
    io::copy(&mut File::open(part)?, &mut encoder)?;
    encoder.finish()?;
    std::fs::rename(&half, &done)?;
    std::fs::remove_file(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_parts_go_and_the_others_are_compressed() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("0.log");
        for name in [
            "0.log",
            "0.log.20260101-000001.gz",
            "0.log.20260101-000002.gz",
            "0.log.20260101-000003",
            "0.log.20260101-000004",
            "1.log",
        ] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        clear(&log).unwrap();
        let mut names: Vec<String> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let wants =
            ["0.log", "0.log.20260101-000002.gz", "0.log.20260101-000003.gz", "0.log.20260101-000004.gz", "1.log"];
        assert_eq!(names, wants);
    }
}
