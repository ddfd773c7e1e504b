//! The control socket: what commands may ask, as `cluster::ask` lists it. Only the owner of the cluster's folder can
//! reach it.

use super::{Shared, log, suspend};
use crate::cluster::Cluster;
use crate::cluster::ask::SOCKET;
use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, broadcast};

/// Commands at a time.
const CONNECTIONS_MAX: usize = 64;
/// How long it may take until a port leads to Docker's: the Services must be known, so that both fit together.
const DOCKER_WAIT: Duration = Duration::from_secs(15);
/// Bytes of one request at most.
const REQUEST_BYTES_MAX: u64 = 4096;

#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
enum Request {
    /// A report.
    Status {},
    /// A report at every change.
    Watch {},
    /// Lines of the serial line from now on.
    Console {},
    /// Press the power button.
    PowerButton {},
    /// Cut the power.
    Cut {},
    /// Go on after a pause.
    GoOn {},
    /// Credentials have been written.
    Credentials {},
    /// A port shall lead to Docker's.
    Docker {},
    /// Save the memory and end the emulator.
    Suspend {},
}

/// Opens the socket in the working folder, in place of what an earlier supervisor left.
///
/// # Errors
/// When it cannot be made.
pub fn listen(cluster: &Cluster) -> Result<UnixListener> {
    match std::fs::remove_file(cluster.path(SOCKET)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).context("control socket"),
        _ => {}
    }
    // Relative: the working folder is the cluster's, whose whole path may be too long for a socket.
    let listener = UnixListener::bind(SOCKET).context("listening at the control socket")?;
    std::fs::set_permissions(SOCKET, std::fs::Permissions::from_mode(0o600)).context("control socket")?;
    Ok(listener)
}

/// Serves for ever.
pub async fn serve(listener: UnixListener, shared: Shared) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(place) = places.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let shared = shared.clone();
                tokio::spawn(async move {
                    // One that breaks off concerns nobody else.
                    drop(converse(&shared, stream).await);
                    drop(place);
                });
            }
            Err(error) => return log(&format!("control socket: {error}")),
        }
    }
}

async fn converse(shared: &Shared, stream: UnixStream) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        if (&mut read).take(REQUEST_BYTES_MAX).read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let answer = match serde_json::from_slice::<Request>(&line) {
            Err(error) => failure(&error),
            Ok(Request::Watch {}) => return watch(shared, write, read).await,
            Ok(Request::Console {}) => return console(shared, write, read).await,
            Ok(Request::Suspend {}) => return suspend::converse(shared, write, read).await,
            Ok(request) => perform(shared, request).await.unwrap_or_else(|error| failure(&format!("{error:#}"))),
        };
        write.write_all(format!("{answer}\n").as_bytes()).await?;
    }
}

pub fn failure(error: &impl std::fmt::Display) -> Value {
    json!({"ok": false, "error": error.to_string()})
}

async fn perform(shared: &Shared, request: Request) -> Result<Value> {
    match request {
        Request::PowerButton {} => shared.monitor.run("system_powerdown", json!({})).await?,
        Request::Cut {} => shared.monitor.run("quit", json!({})).await?,
        Request::GoOn {} => {
            let answer = shared.monitor.run("cont", json!({})).await?;
            shared.report.send_modify(|report| report.paused = None);
            answer
        }
        Request::Credentials {} => {
            // Full means that the main loop is about to look.
            let _ = shared.credentials.try_send(());
            Value::Null
        }
        Request::Docker {} => return docker(shared).await,
        Request::Status {} | Request::Watch {} | Request::Console {} | Request::Suspend {} => {
            return Ok(serde_json::to_value(&*shared.report.borrow())?);
        }
    };
    Ok(json!({"ok": true}))
}

/// The report in which a port leads to Docker's.
async fn docker(shared: &Shared) -> Result<Value> {
    let mut report = shared.report.subscribe();
    // Full means that the main loop is about to look.
    let _ = shared.docker.try_send(());
    let leads = report.wait_for(|report| report.end.is_some() || report.docker().is_some());
    let report = tokio::time::timeout(DOCKER_WAIT, leads).await.context("no free port leads to Docker's")??;
    Ok(serde_json::to_value(&*report)?)
}

/// Where answers go.
pub type Write = tokio::net::unix::OwnedWriteHalf;
/// Where requests come from.
pub type Read = BufReader<tokio::net::unix::OwnedReadHalf>;

/// Reports until the machine ends or the command goes.
async fn watch(shared: &Shared, mut write: Write, mut read: Read) -> std::io::Result<()> {
    let mut report = shared.report.subscribe();
    loop {
        let (line, ended) = {
            let report = report.borrow_and_update();
            (serde_json::to_string(&*report)?, report.end.is_some())
        };
        write.write_all(format!("{line}\n").as_bytes()).await?;
        if ended {
            return Ok(());
        }
        tokio::select! {
            changed = report.changed() => if changed.is_err() { return Ok(()) },
            _ = gone(&mut read) => return Ok(()),
        }
    }
}

/// Lines of the serial line until the machine ends or the command goes.
async fn console(shared: &Shared, mut write: Write, mut read: Read) -> std::io::Result<()> {
    let mut lines = shared.lines.subscribe();
    let mut report = shared.report.subscribe();
    loop {
        let line = tokio::select! {
            line = lines.recv() => line,
            _ = report.wait_for(|report| report.end.is_some()) => return Ok(()),
            _ = gone(&mut read) => return Ok(()),
        };
        let text = match line {
            Ok(line) => line,
            Err(broadcast::error::RecvError::Lagged(count)) => format!("({count} lines were left out)"),
            Err(broadcast::error::RecvError::Closed) => return Ok(()),
        };
        write.write_all(format!("{}\n", json!(text)).as_bytes()).await?;
    }
}

/// Returns when the command has closed its side; it says nothing any more.
pub async fn gone(read: &mut Read) {
    let mut rest = [0; 64];
    while read.read(&mut rest).await.is_ok_and(|count| count > 0) {}
}
