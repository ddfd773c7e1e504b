//! The machine's images: the sandbox image is seen to before pods need it, and images go when the disk fills.

use super::Around;
use crate::components::keep;
use client::backoff::Backoff;
use kubelet::images::garbage::Policy;
use kubelet::images::{Collector, Images};
use std::path::Path;
use std::time::Duration;
use tokio::task::JoinHandle;

/// The container engine.
pub const SOCKET: &str = "/run/containerd/containerd.sock";
/// The archive of the sandbox image, in the read-only root.
const SANDBOX: &str = "/usr/lib/skerry/pause.tar";
/// Where the engine keeps images: the file system whose room counts.
const STORED: &str = "/var/lib/containerd";
/// Waits until the engine answers; it starts beside us.
const ENGINE: Backoff = Backoff { first: Duration::from_millis(50), cap: Duration::from_secs(5) };

/// Starts both.
pub fn start(around: &Around<'_>) -> Vec<JoinHandle<()>> {
    let stop = around.server.stopping.clone();
    let sandbox = {
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = sandbox() => {}
            }
        })
    };
    let collector = keep("image-collector", stop.clone(), move || {
        let stop = stop.clone();
        async move {
            let images = match Images::at(Path::new(SOCKET)) {
                Ok(images) => images,
                Err(error) => return tracing::error!(%error, "images are not collected"),
            };
            let collector = Collector::new(images, Path::new(STORED), Policy::default());
            tokio::select! {
                () = stop.cancelled() => {}
                () = async { engine().await; collector.run(|plan| tracing::info!(?plan, "images were collected")).await } => {}
            }
        }
    });
    vec![sandbox, collector]
}

/// Waits for the engine's socket, so that neither of the two asks at intervals while it starts.
async fn engine() {
    if let Err(error) = sys::listening::accepts(Path::new(SOCKET)).await {
        tracing::info!(%error, "the container engine's socket cannot be watched");
    }
}

/// Imports the sandbox image once the engine answers.
async fn sandbox() {
    engine().await;
    let mut failures = 0;
    loop {
        let done = match Images::at(Path::new(SOCKET)) {
            Ok(images) => images.ensure_sandbox(Path::new(SANDBOX)).await,
            Err(error) => Err(error),
        };
        match done {
            Ok(imported) => return tracing::info!(imported, "the sandbox image is there"),
            Err(error) => {
                failures += 1;
                tracing::info!(%error, failures, "the sandbox image is not there yet");
                tokio::time::sleep(ENGINE.after(failures)).await;
            }
        }
    }
}
