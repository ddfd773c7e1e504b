//! Suspends the machine: stops it, has the emulator send its memory, writes that to the cluster's folder and ends the
//! emulator. What fails or is given up before that leaves the machine running.
//!
//! The emulator sends to a socket of ours and writes nothing itself: so a full disk, the end of the stream and the time
//! when all is on disk are known here.

use super::control::{Read, Write, failure, gone};
use super::{Shared, log};
use crate::cluster::ask::End;
use crate::cluster::qmp::Monitor;
use crate::cluster::{Cluster, life, saved};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

/// Where the emulator sends to, in the working folder of both.
const SOCKET: &str = "memory.sock";
/// How long the emulator may take to begin.
const BEGIN_WAIT: Duration = Duration::from_secs(10);
/// How long it may send nothing; one that is alive sends all the time, but a host's disk can be held up.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How long it may take to end or to stop sending.
const END_WAIT: Duration = Duration::from_secs(10);
/// Bytes a second, more than any disk takes: the emulator's own limit is for networks.
const BANDWIDTH: u64 = 1 << 40;
/// Bytes that are written at once.
const CHUNK: usize = 1 << 20;
/// How often a command is told how far it is.
const TELL: Duration = Duration::from_millis(200);

/// How far the memory is on its way to the disk. Cheap to clone.
#[derive(Clone)]
pub struct Saving {
    cluster: Arc<Cluster>,
    bytes: Arc<AtomicU64>,
    is_whole: Arc<AtomicBool>,
    status: watch::Sender<String>,
}

impl Saving {
    /// Nothing is being saved.
    pub fn of(cluster: &Cluster) -> Saving {
        Saving {
            cluster: Arc::new(cluster.clone()),
            bytes: Arc::default(),
            is_whole: Arc::default(),
            status: watch::Sender::new(String::new()),
        }
    }

    /// What the emulator's event `MIGRATION` says.
    pub fn hear(&self, data: &Value) {
        self.status.send_replace(data["status"].as_str().unwrap_or_default().to_owned());
    }

    /// How a machine ended: one whose memory is whole was suspended, once that has its name.
    pub fn end(&self, end: End) -> End {
        if !self.is_whole.load(Ordering::SeqCst) {
            return end;
        }
        let kept = match saved::launched(&self.cluster) {
            Some(machine) => saved::keep(&self.cluster, machine, life::now_ms()),
            None => Err(anyhow::anyhow!("nobody knows how it was started")),
        };
        match kept {
            Ok(()) => End::Suspended,
            Err(error) => End::Failed(format!("its memory was saved and could not be kept: {error:#}")),
        }
    }
}

/// Serves the command that asked for it: tells how far it is, and lets the machine go on when the command hangs up.
pub async fn converse(shared: &Shared, mut write: Write, mut read: Read) -> std::io::Result<()> {
    let why = "its memory is being saved";
    let begun = shared.report.send_if_modified(|report| {
        let free = report.paused.is_none() && report.end.is_none();
        if free {
            report.paused = Some(why.to_owned());
        }
        free
    });
    if !begun {
        let answer = failure(&"the machine stands still already: skerry status says why");
        return write.write_all(format!("{answer}\n").as_bytes()).await;
    }
    // As long as somebody looks at reports, the supervisor waits with its own end: until the command has its answer.
    let _stay = shared.report.subscribe();
    let saved = tokio::select! {
        saved = save(shared) => saved,
        () = tell(&shared.saving.bytes, &mut write) => Err(anyhow::anyhow!("the command is gone")),
        () = gone(&mut read) => Err(anyhow::anyhow!("the command gave up")),
    };
    let answer = match saved {
        Ok(()) => match end_emulator(shared).await {
            Ok(()) => json!({"saved_bytes": shared.saving.bytes.load(Ordering::Relaxed), "done": true}),
            Err(error) => go_on(shared, &error).await,
        },
        Err(error) => go_on(shared, &error).await,
    };
    write.write_all(format!("{answer}\n").as_bytes()).await
}

/// Tells how far it is until the command is gone.
async fn tell(bytes: &AtomicU64, write: &mut Write) {
    let mut times = tokio::time::interval(TELL);
    loop {
        times.tick().await;
        let line = format!("{}\n", json!({"saved_bytes": bytes.load(Ordering::Relaxed)}));
        if write.write_all(line.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The machine goes on after all; the answer that says why.
async fn go_on(shared: &Shared, error: &anyhow::Error) -> Value {
    log(&format!("suspending: {error:#}"));
    match take_back(&shared.monitor, &shared.saving.cluster).await {
        Ok(()) => {
            shared.report.send_modify(|report| report.paused = None);
            let mut answer = failure(&format!("{error:#}; the machine runs on"));
            answer["full"] = is_full(error).into();
            answer
        }
        Err(still) => failure(&format!("{error:#}; and the machine does not go on: {still:#}")),
    }
}

/// Whether the host's disk has no room, or this user none on it.
fn is_full(error: &anyhow::Error) -> bool {
    let causes = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    let mut kinds = causes.map(std::io::Error::kind);
    kinds.any(|kind| matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge))
}

/// Stops the machine and writes its memory, until all of it is on disk.
async fn save(shared: &Shared) -> Result<()> {
    let (monitor, saving) = (&shared.monitor, &shared.saving);
    saved::discard(&saving.cluster)?;
    let mut options = OpenOptions::new();
    let file = options.create_new(true).write(true).mode(0o600).open(saving.cluster.path(saved::PART));
    let file = file.context("making a file for the memory")?;
    let listener = listen()?;
    tell_of_migration(monitor).await?;
    monitor.run("migrate-set-parameters", json!({"max-bandwidth": BANDWIDTH})).await?;
    saving.bytes.store(0, Ordering::Relaxed);
    let mut status = saving.status.subscribe();
    saving.status.send_replace(String::new());
    monitor.run("stop", json!({})).await?;
    monitor.run("migrate", json!({"uri": format!("unix:{SOCKET}")})).await?;
    let accepted = tokio::time::timeout(BEGIN_WAIT, listener.accept()).await;
    let (stream, _) = accepted.context("the emulator sends nothing")?.context("listening to the emulator")?;
    forget_socket();
    receive(stream, file, saving.bytes.clone()).await?;
    let done = status.wait_for(|status| matches!(status.as_str(), "completed" | "failed" | "cancelled"));
    let done = tokio::time::timeout(END_WAIT, done).await;
    // Events can be lost, so that the emulator is asked in any case.
    drop(done);
    let state = monitor.run("query-migrate", json!({})).await?;
    if state["status"] != "completed" {
        let why = state["error-desc"].as_str().or(state["status"].as_str()).unwrap_or("it does not say why");
        bail!("the emulator did not send all of its memory: {why}");
    }
    Ok(())
}

fn listen() -> Result<UnixListener> {
    forget_socket();
    UnixListener::bind(SOCKET).context("listening to the emulator")
}

fn forget_socket() {
    match std::fs::remove_file(SOCKET) {
        Err(error) if error.kind() != ErrorKind::NotFound => log(&format!("{SOCKET}: {error}")),
        _ => {}
    }
}

/// Writes what comes until it ends, and waits until the disk has it.
async fn receive(stream: UnixStream, mut file: File, bytes: Arc<AtomicU64>) -> Result<()> {
    let mut stream = stream.into_std().context("taking the emulator's stream")?;
    stream.set_nonblocking(false).context("taking the emulator's stream")?;
    stream.set_read_timeout(Some(SILENCE_MAX)).context("taking the emulator's stream")?;
    let written = tokio::task::spawn_blocking(move || -> std::io::Result<()> {
        let mut chunk = vec![0; CHUNK];
        loop {
            match stream.read(&mut chunk) {
                Ok(0) => return file.sync_all(),
                Ok(count) => {
                    file.write_all(&chunk[..count])?;
                    bytes.fetch_add(count as u64, Ordering::Relaxed);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    });
    written.await?.context("writing the memory")
}

/// Ends the emulator, whose memory is on disk; the main loop gives that its name.
async fn end_emulator(shared: &Shared) -> Result<()> {
    let saving = &shared.saving;
    saving.is_whole.store(true, Ordering::SeqCst);
    let mut report = shared.report.subscribe();
    // The answer may be lost, as the emulator ends by it.
    drop(shared.monitor.run("quit", json!({})).await);
    let ended = tokio::time::timeout(END_WAIT, report.wait_for(|report| report.end.is_some())).await;
    if ended.is_err() {
        saving.is_whole.store(false, Ordering::SeqCst);
        bail!("the emulator does not end");
    }
    Ok(())
}

/// Has the emulator tell how far it is with its memory.
///
/// # Errors
/// When it does not.
pub async fn tell_of_migration(monitor: &Monitor) -> Result<()> {
    let events = json!({"capabilities": [{"capability": "events", "state": true}]});
    monitor.run("migrate-set-capabilities", events).await.map(drop)
}

/// Ends the saving of the memory, takes away what was saved, and lets the machine run.
///
/// # Errors
/// When it does not run.
pub async fn take_back(monitor: &Monitor, cluster: &Cluster) -> Result<()> {
    /// Between two looks at an emulator that is ending its work: it tells of the end by an event, which may be lost.
    const AGAIN: Duration = Duration::from_millis(50);
    forget_socket();
    monitor.run("migrate_cancel", json!({})).await?;
    let ended = async {
        loop {
            let state = monitor.run("query-migrate", json!({})).await?;
            match state["status"].as_str() {
                None | Some("none" | "completed" | "failed" | "cancelled") => return anyhow::Ok(()),
                Some(_) => tokio::time::sleep(AGAIN).await,
            }
        }
    };
    tokio::time::timeout(END_WAIT, ended).await.context("the emulator does not stop sending its memory")??;
    saved::discard(cluster)?;
    monitor.run("cont", json!({})).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;

    #[test]
    fn a_full_disk_is_told_from_other_failures() {
        let failed = |number: i32| {
            let failed: Result<()> = Err(std::io::Error::from_raw_os_error(number)).context("writing the memory");
            failed.unwrap_err()
        };
        assert!(is_full(&failed(Errno::ENOSPC as i32)));
        assert!(!is_full(&failed(Errno::EIO as i32)));
    }
}
