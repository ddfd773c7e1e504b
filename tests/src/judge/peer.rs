//! A control plane under test, upstream's or ours: how to reach it, how to wait for it, how to stop it.

use super::https::{Client, Request};
use super::kubeconfig;
use super::process::Process;
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a control plane may take until /readyz says yes. Upstream's needs about ten seconds on an idle machine; a
/// machine busy with compilers needs many times that.
const READY_WITHIN: Duration = Duration::from_secs(180);

/// Time between two looks at a starting control plane.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A running control plane.
pub struct Peer {
    /// `golden` or `native`.
    pub name: &'static str,
    /// The folder of its data, credentials and logs.
    pub folder: PathBuf,
    /// Its admin kubeconfig.
    pub kubeconfig: PathBuf,
    processes: Vec<Process>,
}

impl Peer {
    /// A control plane whose programs were started, in the order of their start.
    pub fn new(name: &'static str, folder: &Path, kubeconfig: &Path, processes: Vec<Process>) -> Peer {
        Peer { name, folder: folder.to_owned(), kubeconfig: kubeconfig.to_owned(), processes }
    }

    /// Adds a program that was started later; it will be stopped earlier.
    pub fn add(&mut self, process: Process) {
        self.processes.push(process);
    }

    /// A client with the rights of the administrator.
    ///
    /// # Errors
    /// When the kubeconfig is absent or of no use.
    pub fn client(&self) -> anyhow::Result<Client> {
        Client::new(&kubeconfig::read(&self.kubeconfig)?)
    }

    /// Waits until GET `path` answers 200 with the administrator's rights.
    ///
    /// # Errors
    /// When a program ends meanwhile, or the time is over; says what the last answer was.
    pub async fn wait_for(&mut self, path: &str) -> anyhow::Result<()> {
        let started = Instant::now();
        let mut last = "no kubeconfig yet".to_owned();
        while started.elapsed() < READY_WITHIN {
            self.processes.iter_mut().try_for_each(Process::must_run)?;
            if self.kubeconfig.exists() {
                let request = Request::get(path);
                match self.client()?.send(&request).await {
                    Ok(answer) if answer.status == 200 => return Ok(()),
                    Ok(answer) => last = format!("{} {}", answer.status, answer.text()),
                    Err(error) => last = format!("{error:#}"),
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        bail!("{path} of the {} control plane did not answer 200 in {} s: {last}", self.name, READY_WITHIN.as_secs())
    }

    /// Stops every program, the last started first; says whether all ended on being asked.
    ///
    /// # Errors
    /// When a program cannot be stopped.
    pub async fn stop(self) -> anyhow::Result<bool> {
        let mut clean = true;
        for process in self.processes.into_iter().rev() {
            clean &= process.stop().await?;
        }
        Ok(clean)
    }

    /// Leaves the control plane running and writes down how to end it.
    ///
    /// # Errors
    /// When the note cannot be written.
    pub fn leave_running(self) -> anyhow::Result<()> {
        let ids: Vec<String> = self.processes.iter().rev().map(|p| p.id().to_string()).collect();
        let note = self.folder.join("pids");
        std::fs::write(&note, ids.join("\n") + "\n").with_context(|| format!("write {}", note.display()))?;
        eprintln!("the {} control plane keeps running; its kubeconfig:", self.name);
        println!("{}", self.kubeconfig.display());
        eprintln!("stop it with: kill {}", ids.join(" "));
        self.processes.into_iter().for_each(Process::leave_running);
        Ok(())
    }
}
