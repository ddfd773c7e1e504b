//! The command's side of a supervisor's control socket: JSON objects, one a line.
//!
//! Requests: `{"do":"status"}`, `{"do":"watch"}` (a report now and at every change), `{"do":"console","follow":bool}`
//! (lines of the serial line), `{"do":"power-button"}`, `{"do":"cut"}`, `{"do":"go-on"}`, `{"do":"credentials"}` (they
//! have been written), `{"do":"docker"}` (let a port lead to Docker's; a report once it does), `{"do":"suspend"}`
//! (`{"saved_bytes":…}` again and again, at last with `"done":true`; whoever hangs up before that lets the machine go
//! on). Answers: a report, or `{"ok":true}`, or `{"ok":false,"error":"…"}`, with `"full":true`
//! when the host's disk is.

use super::Cluster;
use super::emulator::Accelerator;
use super::milestones::Milestone;
use crate::exit::{Code, Failure};
use crate::supervisor::forwards::{Forward, Unreachable};
use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

/// The socket's name in the cluster's folder.
pub const SOCKET: &str = "control.sock";
/// How long a supervisor may take for one answer; it waits for the emulator in some.
const ANSWER_WAIT: Duration = Duration::from_secs(20);
/// Bytes of one answer at most: a report with all milestones and forwards that there can be.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// How a machine ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It powered itself off.
    PoweredOff,
    /// Its kernel panicked, or it ended itself as failed.
    Panicked,
    /// A command cut its power.
    Cut,
    /// Its memory was saved, from which it goes on.
    Suspended,
    /// The emulator was killed.
    Killed,
    /// The emulator failed.
    Failed(String),
}

impl End {
    /// For people: `the machine …`.
    pub fn words(&self) -> String {
        match self {
            End::PoweredOff => "was powered off".to_owned(),
            End::Panicked => "ended with a kernel panic or a failed boot".to_owned(),
            End::Cut => "was powered off without shutting down".to_owned(),
            End::Suspended => "was suspended".to_owned(),
            End::Killed => "is gone: its emulator was killed".to_owned(),
            End::Failed(why) => format!("could not run: {why}"),
        }
    }
}

/// What a supervisor knows of its machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The emulator's process.
    pub pid: u32,
    /// The supervisor's process.
    pub supervisor: u32,
    /// How the machine runs.
    pub accelerator: Accelerator,
    /// When the emulator was started, milliseconds since 1970.
    pub started_ms: u64,
    /// Port of the API on 127.0.0.1.
    pub port: u16,
    /// Memory, MiB.
    pub memory_mb: u32,
    /// Processors.
    pub cpus: u32,
    /// Why it stands still, if it does.
    pub paused: Option<String>,
    /// What this boot has reached.
    pub milestones: Vec<Milestone>,
    /// Ports of Services on 127.0.0.1.
    pub forwards: Vec<Forward>,
    /// Ports of Services that are not, and why.
    #[serde(default)]
    pub unreachable: Vec<Unreachable>,
    /// How it ended, once it has.
    pub end: Option<End>,
}

impl Report {
    /// The port of 127.0.0.1 that leads to Docker's.
    pub fn docker(&self) -> Option<u16> {
        self.forwards.iter().find(|forward| forward.is_docker()).map(|forward| forward.host)
    }

    /// A milestone of this boot.
    pub fn milestone(&self, name: &str) -> Option<&Milestone> {
        self.milestones.iter().rev().find(|milestone| milestone.name == name)
    }
}

/// A connection to a supervisor.
pub struct Supervisor {
    stream: BufReader<UnixStream>,
}

impl Supervisor {
    /// Connects; none when nobody is there.
    ///
    /// # Errors
    /// When the cluster's folder cannot be opened.
    pub async fn connect(cluster: &Cluster) -> Result<Option<Supervisor>> {
        let folder = std::fs::File::open(&cluster.folder);
        let folder = folder.with_context(|| format!("opening {}", cluster.folder.display()))?;
        // A socket's path has 107 bytes at most, which a home folder can exceed; this one is short.
        let path = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()));
        match UnixStream::connect(path).await {
            Ok(stream) => Ok(Some(Supervisor { stream: BufReader::new(stream) })),
            Err(_) => Ok(None),
        }
    }

    /// Sends a request.
    ///
    /// # Errors
    /// When the supervisor is gone.
    pub async fn send(&mut self, request: &serde_json::Value) -> Result<()> {
        let line = format!("{request}\n");
        self.stream.get_mut().write_all(line.as_bytes()).await.context("talking to the supervisor")
    }

    /// The next line; none when the supervisor has ended.
    ///
    /// # Errors
    /// When it breaks off or is not what was expected.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        let mut line = Vec::new();
        let read = (&mut self.stream).take(ANSWER_BYTES_MAX).read_until(b'\n', &mut line).await;
        if read.context("listening to the supervisor")? == 0 {
            return Ok(None);
        }
        let value: serde_json::Value = serde_json::from_slice(&line).context("reading the supervisor's answer")?;
        if value["ok"] == false {
            let why = value["error"].as_str().unwrap_or("the supervisor refused").to_owned();
            if value["full"] == true {
                bail!(Failure::new(Code::HostLacks, why).advice("free some space, then try again"));
            }
            bail!(why);
        }
        Ok(Some(serde_json::from_value(value).context("reading the supervisor's answer")?))
    }

    /// One request and its answer.
    ///
    /// # Errors
    /// As [`Supervisor::send`] and [`Supervisor::next`], or when there is no answer in time.
    pub async fn ask<T: DeserializeOwned>(&mut self, request: &serde_json::Value) -> Result<T> {
        self.send(request).await?;
        let answer = tokio::time::timeout(ANSWER_WAIT, self.next()).await.context("the supervisor does not answer")?;
        answer?.context("the supervisor has ended")
    }
}
