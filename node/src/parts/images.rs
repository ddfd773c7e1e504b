//! The machine's images: the sandbox image is seen to before pods need it, and images go when the disk fills, those of
//! another engine too.

use super::Around;
use crate::components::keep;
use client::backoff::Backoff;
use kubelet::cri::Cri;
use kubelet::images::garbage::Policy;
use kubelet::images::{Collector, Foreign, Images};
use std::path::Path;
use std::time::Duration;
use tokio::task::JoinHandle;

/// The container engine.
pub const SOCKET: &str = "/run/containerd/containerd.sock";
/// The archive of the sandbox image, in the read-only root.
const SANDBOX: &str = "/usr/lib/skerry/pause.tar";
/// Where the engine keeps images: the file system whose room counts.
pub const STORED: &str = "/var/lib/containerd";
/// Waits until the engine answers; it starts beside us.
const ENGINE: Backoff = Backoff { first: Duration::from_millis(50), cap: Duration::from_secs(5) };

/// Starts all of it.
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
    let foreign = (around.settings.runtime != Path::new(SOCKET)).then(|| foreign(around));
    [sandbox, collector].into_iter().chain(foreign).collect()
}

/// Collects the images of the engine that runs the pods, when that is not the machine's own.
fn foreign(around: &Around<'_>) -> JoinHandle<()> {
    let (socket, stop) = (around.settings.runtime.clone(), around.server.stopping.clone());
    keep("foreign-image-collector", stop.clone(), move || {
        let (socket, stop) = (socket.clone(), stop.clone());
        async move {
            let cri = match Cri::new(&socket) {
                Ok(cri) => cri,
                Err(error) => return tracing::error!(%error, "the other engine's images are not collected"),
            };
            let collector = Foreign::new(cri, Policy::default());
            tokio::select! {
                () = stop.cancelled() => {}
                () = async { listens(&socket).await; collector.run(|plan| tracing::info!(?plan, "images were collected")).await } => {}
            }
        }
    })
}

async fn engine() {
    listens(Path::new(SOCKET)).await;
}

/// Waits for an engine's socket, so that nobody asks at intervals while it starts.
async fn listens(socket: &Path) {
    if let Err(error) = sys::listening::accepts(socket).await {
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
