//! The machine's images: the sandbox image is seen to before pods need it, and images go when the disk fills, those of
//! another engine too.

use super::Around;
use crate::components::keep;
use client::backoff::Backoff;
use controllers::Gate;
use kubelet::cri::{Cri, v1};
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
/// Where it keeps blobs.
pub const CONTENT: &str = "/var/lib/containerd/io.containerd.content.v1.content";
/// Waits until the engine answers; it starts beside us.
const ENGINE: Backoff = Backoff { first: Duration::from_millis(50), cap: Duration::from_secs(5) };

/// Starts all of it.
pub fn start(around: &Around<'_>) -> Vec<JoinHandle<()>> {
    let stop = around.server.stopping.clone();
    let sandbox = {
        let (stop, up) = (stop.clone(), around.up.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = sandbox(&up) => {}
            }
        })
    };
    let up = around.up.clone();
    let collector = keep("image-collector", stop.clone(), move || {
        let (stop, up) = (stop.clone(), up.clone());
        async move {
            let images = match Images::at(Path::new(SOCKET)) {
                Ok(images) => images,
                Err(error) => return tracing::error!(%error, "images are not collected"),
            };
            let collector = Collector::new(images, Path::new(STORED), Policy::default());
            tokio::select! {
                () = stop.cancelled() => {}
                () = async { up.passed().await; engine().await; collector.run(|plan| tracing::info!(?plan, "images were collected")).await } => {}
            }
        }
    });
    let foreign = (around.settings.runtime != Path::new(SOCKET)).then(|| foreign(around));
    [sandbox, collector].into_iter().chain(foreign).collect()
}

/// Collects the images of the engine that runs the pods, when that is not the machine's own.
fn foreign(around: &Around<'_>) -> JoinHandle<()> {
    let (socket, stop, up) = (around.settings.runtime.clone(), around.server.stopping.clone(), around.up.clone());
    keep("foreign-image-collector", stop.clone(), move || {
        let (socket, stop, up) = (socket.clone(), stop.clone(), up.clone());
        async move {
            let cri = match Cri::new(&socket) {
                Ok(cri) => cri,
                Err(error) => return tracing::error!(%error, "the other engine's images are not collected"),
            };
            let collector = Foreign::new(cri, Policy::default());
            tokio::select! {
                () = stop.cancelled() => {}
                () = async { up.passed().await; listens(&socket).await; collector.run(|plan| tracing::info!(?plan, "images were collected")).await } => {}
            }
        }
    })
}

/// Whether the engine knows the sandbox image; one that does not answer does not.
async fn knows_sandbox() -> bool {
    let Ok(cri) = Cri::new(Path::new(SOCKET)) else { return false };
    let image = v1::ImageSpec { image: kubelet::images::SANDBOX.to_owned(), ..v1::ImageSpec::default() };
    let asked = cri.image_status(v1::ImageStatusRequest { image: Some(image), verbose: false });
    asked.await.is_ok_and(|answer| answer.image.is_some())
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

/// Imports the sandbox image once the engine answers. When the engine knows it, as at every start but the first, looking
/// whether all of it is there can wait until the machine is up.
async fn sandbox(up: &Gate) {
    engine().await;
    if knows_sandbox().await {
        up.passed().await;
    }
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
