//! What an interrupted or failed start takes back: what this command began, and nothing else.

use crate::cluster::ask::Supervisor;
use crate::cluster::wait::Wait;
use crate::cluster::{Cluster, context};
use crate::interrupt::Interrupt;
use crate::output::Output;
use crate::virtualbox::manage::Made;
use anyhow::Result;
use nix::fcntl::Flock;
use serde_json::{Value, json};
use std::fs::File;
use std::time::Duration;

/// How long the emulator may take to end.
const CUT_WAIT: Duration = Duration::from_secs(10);

/// What has been done so far.
pub struct Undo<'a> {
    cluster: &'a Cluster,
    had_folder: bool,
    had_cluster: bool,
    launched: bool,
    made: Made,
    lock: Option<Flock<File>>,
}

impl<'a> Undo<'a> {
    /// Nothing has been done.
    pub fn new(cluster: &'a Cluster) -> Undo<'a> {
        Undo {
            cluster,
            had_folder: cluster.folder.exists(),
            had_cluster: cluster.exists(),
            launched: false,
            made: Made::default(),
            lock: None,
        }
    }

    /// Makes the folder and locks the cluster until the command ends.
    ///
    /// # Errors
    /// When the place cannot be written, or another command has the cluster.
    pub fn begin(&mut self) -> Result<()> {
        self.cluster.make_folder()?;
        self.lock = Some(self.cluster.lock()?);
        Ok(())
    }

    /// What is made in VirtualBox is noted here.
    pub fn made(&mut self) -> &mut Made {
        &mut self.made
    }

    /// The machine is about to be started.
    pub fn launched(&mut self) {
        self.launched = true;
    }

    /// Whether this command started the machine.
    pub fn has_launched(&self) -> bool {
        self.launched
    }

    /// Takes back what was begun. Without an interrupt a machine that was started stays as it is: its console tells
    /// what went wrong, or it comes up yet.
    pub async fn run(&mut self, output: &Output, interrupted: bool) {
        if self.launched && !interrupted {
            return;
        }
        if self.launched
            && let Err(error) = cut(self.cluster).await
        {
            return output.warn(&format!("stopping the machine: {error:#}; skerry delete removes it"));
        }
        if let Err(error) = self.made.undo() {
            output.warn(&format!("removing the machine from VirtualBox: {error:#}"));
        }
        // Without the lock the cluster is in the hands of another command.
        if self.had_cluster || self.lock.is_none() {
            return;
        }
        if self.launched
            && let Err(error) = context::remove(self.cluster)
        {
            output.warn(&format!("removing the context from your kubeconfig: {error:#}"));
        }
        if !self.had_folder
            && let Err(error) = std::fs::remove_dir_all(&self.cluster.folder)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            output.warn(&format!("removing {}: {error}", self.cluster.folder.display()));
        }
    }
}

/// Presses the power button, so that what is mounted is left in order; cuts the power when that does not help.
pub async fn end(cluster: &Cluster, output: &Output) {
    let ended = match order(cluster, "power-button").await {
        Ok(()) => Ok(()),
        Err(_) => cut(cluster).await,
    };
    if let Err(error) = ended {
        output.warn(&format!("stopping the machine: {error:#}"));
    }
}

/// Cuts the power and waits until the machine is gone.
///
/// # Errors
/// When it does not go.
pub async fn cut(cluster: &Cluster) -> Result<()> {
    order(cluster, "cut").await
}

async fn order(cluster: &Cluster, order: &str) -> Result<()> {
    let Some(mut supervisor) = Supervisor::connect(cluster).await? else { return Ok(()) };
    let Some(watch) = Supervisor::connect(cluster).await? else { return Ok(()) };
    let interrupt = Interrupt::never();
    let mut wait = Wait::begin(cluster, watch, tokio::time::Instant::now() + CUT_WAIT, &interrupt).await?;
    // The answer may be lost, as the emulator ends by it.
    drop(supervisor.ask::<Value>(&json!({"do": order})).await);
    wait.end().await
}
