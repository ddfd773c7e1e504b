//! One program under the judge: its own process group, its output in a file, stopped for sure when it is dropped.

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};

/// How long a program may take to end after SIGTERM; upstream's API server drains its requests first.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// A running program.
pub struct Process {
    name: String,
    child: Child,
    group: Pid,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with standard output and error appended to `log`.
    ///
    /// # Errors
    /// When the log cannot be written or the program cannot be started.
    pub fn start(name: &str, mut command: Command, log: &Path) -> anyhow::Result<Process> {
        let out = std::fs::OpenOptions::new().create(true).append(true).open(log);
        let out = out.with_context(|| format!("open {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(out.try_clone().context("share the log")?).stderr(out);
        let child = command.process_group(0).spawn().with_context(|| format!("start {name}"))?;
        let id = child.id().context("a program that was just started has an id")?;
        let group = Pid::from_raw(i32::try_from(id).context("a process id fits in 31 bits")?);
        Ok(Process { name: name.to_owned(), child, group, log: log.to_owned() })
    }

    /// The process id, which is also the id of its group.
    pub fn id(&self) -> i32 {
        self.group.as_raw()
    }

    /// Fails with the last lines of the log if the program has ended.
    ///
    /// # Errors
    /// When the program has ended, whatever its exit code.
    pub fn must_run(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait().with_context(|| format!("look at {}", self.name))? {
            bail!("{} ended ({status}); the end of {}:\n{}", self.name, self.log.display(), tail(&self.log));
        }
        Ok(())
    }

    /// Waits until the program ends by itself.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        self.child.wait().await.with_context(|| format!("wait for {}", self.name))
    }

    /// Asks the program to end, and kills it when it does not end in time; says whether it ended by itself.
    ///
    /// # Errors
    /// When it can be neither asked nor waited for.
    pub async fn stop(mut self) -> anyhow::Result<bool> {
        if self.child.try_wait().context("look at the program")?.is_some() {
            return Ok(true);
        }
        killpg(self.group, Signal::SIGTERM).with_context(|| format!("stop {}", self.name))?;
        match tokio::time::timeout(STOP_WITHIN, self.child.wait()).await {
            Ok(status) => status.map(|_| true).with_context(|| format!("wait for {}", self.name)),
            Err(_) => {
                eprintln!("{} did not end within {} s of SIGTERM", self.name, STOP_WITHIN.as_secs());
                killpg(self.group, Signal::SIGKILL).with_context(|| format!("kill {}", self.name))?;
                self.child.wait().await.map(|_| false).with_context(|| format!("wait for {}", self.name))
            }
        }
    }

    /// Leaves the program running after the judge ends.
    pub fn leave_running(mut self) {
        self.group = Pid::from_raw(0);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.group.as_raw() > 0 && matches!(self.child.try_wait(), Ok(None)) {
            // A group that ended between the calls, or whose end was already taken notice of, is what was wanted.
            killpg(self.group, Signal::SIGKILL).ok();
            waitpid(self.group, None).ok();
        }
    }
}

/// The last lines of a log, to be shown with an error.
pub fn tail(log: &Path) -> String {
    const LINES: usize = 15;
    let text = std::fs::read_to_string(log).unwrap_or_else(|e| format!("(not readable: {e})"));
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// A TCP port of the loopback address that nobody used a moment ago.
///
/// # Errors
/// When no port is free.
pub fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("find a free port")?;
    Ok(listener.local_addr().context("ask for the port")?.port())
}
