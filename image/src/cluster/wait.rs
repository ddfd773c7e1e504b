//! Waiting for a machine: its milestones as they come, until the one that was asked for, its end, a time limit or
//! Ctrl-C.

use super::Cluster;
use super::ask::{Report, Supervisor};
use super::emulator::SERIAL_LOG;
use super::milestones::Lines;
use crate::exit::{Code, Failure};
use crate::interrupt::Interrupt;
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::io::{Read, Seek, SeekFrom};
use tokio::time::{Instant, timeout_at};

/// Lines of the console that are shown when a machine does not come up.
const LAST_LINES: usize = 12;
/// Bytes of the console that they are taken from.
const LAST_BYTES: u64 = 16 << 10;

/// A machine that is waited for.
pub struct Wait<'a> {
    /// Whose.
    pub cluster: &'a Cluster,
    supervisor: Supervisor,
    /// The last report.
    pub report: Report,
    deadline: Instant,
    interrupt: &'a Interrupt,
}

impl<'a> Wait<'a> {
    /// Begins to watch.
    ///
    /// # Errors
    /// When the supervisor is gone.
    pub async fn begin(
        cluster: &'a Cluster,
        mut supervisor: Supervisor,
        deadline: Instant,
        interrupt: &'a Interrupt,
    ) -> Result<Wait<'a>> {
        let report = supervisor.ask(&json!({"do": "watch"})).await?;
        Ok(Wait { cluster, supervisor, report, deadline, interrupt })
    }

    /// Waits for a milestone; `what` says to people what it is.
    ///
    /// # Errors
    /// `Refused` when the machine does not take what it was given, `BootFailed` when it fails or ends, `TimedOut`,
    /// `Interrupted`.
    pub async fn milestone(&mut self, name: &str, what: &str) -> Result<()> {
        loop {
            if self.report.milestone(name).is_some() {
                return Ok(());
            }
            if let Some(failed) = self.report.milestone("failed") {
                if failed.more.get("refused").is_some_and(|refused| refused == true) {
                    bail!(Failure::new(Code::Refused, failed.text("reason")).advice(failed.text("advice")));
                }
                // It stays up for diagnosis; another start would find the same.
                let message = format!("{}: {}", failed.text("phase"), failed.text("reason"));
                let name = &self.cluster.name;
                let again =
                    format!("{}; then skerry stop --power-off --name {name} and start it again", failed.text("advice"));
                return Err(self.not_up(&message, &again));
            }
            if let Some(end) = &self.report.end {
                return Err(self.not_up(&format!("the machine {}", end.words()), ""));
            }
            if let Some(why) = self.report.paused.clone() {
                return Err(self.not_up(&why, ""));
            }
            self.next(what).await?;
        }
    }

    /// Waits until somebody in the machine listens to its power button, or it has ended: before its init is there, a press
    /// is lost.
    ///
    /// # Errors
    /// As [`Wait::end`].
    pub async fn listens(&mut self) -> Result<()> {
        while self.report.end.is_none() && self.report.milestone("init").is_none() {
            self.next("the machine's init").await?;
        }
        Ok(())
    }

    /// Waits for the end of the machine.
    ///
    /// # Errors
    /// `TimedOut`, `Interrupted`.
    pub async fn end(&mut self) -> Result<()> {
        while self.report.end.is_none() {
            self.next("the machine to power off").await?;
        }
        Ok(())
    }

    async fn next(&mut self, what: &str) -> Result<()> {
        let next = tokio::select! {
            next = timeout_at(self.deadline, self.supervisor.next::<Report>()) => next,
            () = self.interrupt.wait() => { self.interrupt.check()?; return Ok(()) }
        };
        match next {
            Err(_) => {
                let log = self.cluster.path(SERIAL_LOG);
                let failure = Failure::new(Code::TimedOut, format!("timed out waiting for: {what}"));
                bail!(failure.advice(format!("its console is in {}; --timeout waits longer", log.display())))
            }
            Ok(report) => {
                self.report = report?.context("the supervisor of the machine has died; try again")?;
                Ok(())
            }
        }
    }

    fn not_up(&self, why: &str, advice: &str) -> anyhow::Error {
        not_up(self.cluster, why, advice).into()
    }
}

/// A machine that did not come up, with the end of its console.
pub fn not_up(cluster: &Cluster, why: &str, advice: &str) -> Failure {
    let log = cluster.path(SERIAL_LOG);
    let mut text = String::new();
    if !advice.is_empty() {
        text.push_str(&format!("{advice}\n  "));
    }
    text.push_str(&format!("its console is in {}; the last lines were:", log.display()));
    for line in last_lines(cluster) {
        text.push_str(&format!("\n    {line}"));
    }
    Failure::new(Code::BootFailed, format!("the machine did not come up: {why}")).advice(text)
}

/// The last lines of the console; none when it cannot be read.
pub fn last_lines(cluster: &Cluster) -> Vec<String> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(cluster.path(SERIAL_LOG))?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LAST_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(LAST_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let mut bytes = read().unwrap_or_default();
    bytes.push(b'\n');
    let lines: Vec<String> = Lines::default().push(&bytes).into_iter().filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].to_vec()
}
