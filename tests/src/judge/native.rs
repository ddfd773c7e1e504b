//! Our control plane on the host: the `node` binary without a kubelet, in one process.

use super::peer::Peer;
use super::process::{Process, free_port};
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// How `node` is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Optimised: slow to compile, fast to run.
    Release,
    /// For development.
    Dev,
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Compiles `node` and returns where it lies.
///
/// # Errors
/// When it does not compile.
pub async fn compile(profile: Profile) -> anyhow::Result<PathBuf> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "-q", "-p", "node"]).current_dir(repository());
    let folder = match profile {
        Profile::Dev => "debug",
        Profile::Release => {
            command.arg("--release");
            "release"
        }
    };
    eprintln!("compiling node ({folder})");
    if !command.status().await.context("run cargo")?.success() {
        bail!("node does not compile");
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
    Ok(target.join(folder).join("node"))
}

/// Starts `node` in an empty folder and waits until it is ready.
///
/// # Errors
/// When it ends early or does not get ready in time.
pub async fn start(program: &Path, folder: &Path) -> anyhow::Result<Peer> {
    std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    let kubeconfig = folder.join("admin.kubeconfig");
    let mut command = Command::new(program);
    command
        .arg("--data")
        .arg(folder.join("data"))
        .args(["--bind", "127.0.0.1", "--port"])
        .arg(free_port()?.to_string());
    command.args(["--no-kubelet", "--kubeconfig-out"]).arg(&kubeconfig);
    let node = Process::start("node", command, &folder.join("node.log"))?;
    let mut peer = Peer::new("native", folder, &kubeconfig, vec![node]);
    peer.wait_for("/readyz").await?;
    Ok(peer)
}
