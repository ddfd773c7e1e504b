//! Reads the files of a log, sends what is asked for, and goes on when more is written.

use super::files::{self, Opened};
use super::line::Printer;
use super::options::Options;
use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use sys::inotify::Changes;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};

/// Bytes of a log that are read at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// Chunks that wait for a client that reads slowly; then reading waits.
const CHUNKS_WAITING: usize = 4;
/// Bytes of a line that is not whole yet; engines cut lines at 16 KiB. A longer one is left out.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// What a reader needs that goes on.
pub struct Following {
    /// Whether the container may still write.
    pub alive: Box<dyn Fn() -> bool + Send + Sync>,
    /// Says when to ask again.
    pub changes: watch::Receiver<u64>,
    /// A place among those who follow.
    pub place: OwnedSemaphorePermit,
}

/// Chunks of a log, or what broke it off.
pub type Chunks = mpsc::Receiver<Result<Bytes>>;

/// Opens a log, so that what is wrong is said first, and reads it in the background.
///
/// # Errors
/// When there is no log or it cannot be read.
pub async fn start(log: PathBuf, options: Options, following: Option<Following>) -> Result<Chunks> {
    let named = log.clone();
    let log = blocking(move || fs::canonicalize(&named).with_context(|| files::failed(&named))).await?;
    // Watched before it is opened: what is written between is heard.
    let following = match following {
        Some(following) => Some((following, Changes::of(log.parent().context("a log is in a folder")?)?)),
        None => None,
    };
    let printer = Printer::new(&options);
    let path = log.clone();
    let opened = blocking(move || files::open(&path, &options)).await?;
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING);
    let reader = Reader { printer, line: Vec::new(), out: sender.clone() };
    tokio::spawn(async move {
        let read = match following {
            Some((following, changed)) => reader.follow(opened, &log, following, changed).await,
            None => reader.once(opened).await,
        };
        if let Err(error) = read {
            tracing::warn!(error = format!("{error:#}"), "reading a container's log failed");
            // The client may be gone; then nobody minds.
            sender.send(Err(error)).await.ok();
        }
    });
    Ok(receiver)
}

/// Does what waits for the disk on a thread of its own.
async fn blocking<R: Send + 'static>(act: impl FnOnce() -> Result<R> + Send + 'static) -> Result<R> {
    tokio::task::spawn_blocking(act).await.map_err(|error| anyhow!("reading a log: {error}"))?
}

/// Whether reading goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    More,
    Done,
}

struct Reader {
    printer: Printer,
    /// The beginning of a line that is not whole yet.
    line: Vec<u8>,
    out: mpsc::Sender<Result<Bytes>>,
}

impl Reader {
    /// Reads what was there when the log was opened.
    async fn once(mut self, opened: Opened) -> Result<()> {
        let Opened { older, mut current, length } = opened;
        for part in older {
            if self.pump(part).await?.0 == Next::Done || self.end_line().await == Next::Done {
                return Ok(());
            }
        }
        let rest = length.saturating_sub(current.stream_position().context("reading a log")?);
        if self.pump(current.take(rest)).await?.0 == Next::More {
            self.end_line().await;
        }
        Ok(())
    }

    /// Reads until the container has ended, through rotations.
    async fn follow(mut self, opened: Opened, log: &Path, following: Following, mut changed: Changes) -> Result<()> {
        let Opened { older, mut current, .. } = opened;
        let Following { alive, mut changes, place: _place } = following;
        for part in older {
            if self.pump(part).await?.0 == Next::Done || self.end_line().await == Next::Done {
                return Ok(());
            }
        }
        let mut last = false;
        loop {
            let next;
            (next, current) = self.pump(current).await?;
            if next == Next::Done {
                return Ok(());
            }
            if let Some(newer) = newer(&current, log)? {
                // The engine wrote to the old file until it made the new one, so now all of it is there.
                if self.pump(current).await?.0 == Next::Done || self.end_line().await == Next::Done {
                    return Ok(());
                }
                current = newer;
                continue;
            }
            if last {
                self.end_line().await;
                return Ok(());
            }
            changes.borrow_and_update();
            if !alive() {
                // It may have written between the reading and its end.
                last = true;
                continue;
            }
            tokio::select! {
                heard = changed.next() => heard.context("waiting for a log to grow")?,
                heard = changes.changed() => if heard.is_err() { return Ok(()) },
                () = self.out.closed() => return Ok(()),
            }
        }
    }

    /// Sends all whole lines up to the end of `source`, and gives it back.
    async fn pump<R: Read + Send + 'static>(&mut self, mut source: R) -> Result<(Next, R)> {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let read;
            (source, chunk, read) = blocking(move || {
                let read = source.read(&mut chunk).context("reading a log")?;
                Ok((source, chunk, read))
            })
            .await?;
            if read == 0 {
                return Ok((Next::More, source));
            }
            let mut out = Vec::new();
            for piece in chunk[..read].split_inclusive(|b| *b == b'\n') {
                if piece.ends_with(b"\n") && self.line.is_empty() {
                    self.printer.print(piece, &mut out);
                    continue;
                }
                self.line.extend_from_slice(piece);
                if piece.ends_with(b"\n") {
                    self.printer.print(&std::mem::take(&mut self.line), &mut out);
                } else if self.line.len() > LINE_BYTES_MAX {
                    tracing::warn!(limit = LINE_BYTES_MAX, "a line of a log is too long and is left out");
                    self.line.clear();
                }
            }
            if self.send(out).await == Next::Done {
                return Ok((Next::Done, source));
            }
        }
    }

    /// Sends the line that was cut off at the end of its file.
    async fn end_line(&mut self) -> Next {
        let line = std::mem::take(&mut self.line);
        let mut out = Vec::new();
        if !line.is_empty() {
            self.printer.print(&line, &mut out);
        }
        self.send(out).await
    }

    async fn send(&mut self, out: Vec<u8>) -> Next {
        let gone = !out.is_empty() && self.out.send(Ok(out.into())).await.is_err();
        if gone || self.printer.done() { Next::Done } else { Next::More }
    }
}

/// The file that took the place of the one that is read, if one did.
fn newer(current: &File, log: &Path) -> Result<Option<File>> {
    let at_place = match File::open(log) {
        Ok(file) => file,
        // Moved away, and the engine has not made the new one yet.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| files::failed(log)),
    };
    let (old, new) = (current.metadata().context("reading a log")?, at_place.metadata().context("reading a log")?);
    Ok((old.ino() != new.ino() || old.dev() != new.dev()).then_some(at_place))
}
