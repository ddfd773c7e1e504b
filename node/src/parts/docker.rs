//! Docker's neighbours: what it takes for the container engine, and its port when the settings or an earlier life of
//! this process asked for it.

use crate::docker::engine;
use crate::docker::front::Front;
use crate::docker::{ENGINE, front};
use crate::parts::images::{SOCKET, STORED};
use crate::pid1::Pid1;
use crate::settings::Settings;
use kubelet::images::Images;
use std::path::Path;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long to wait before dockerd is served again after that has failed.
const AGAIN: Duration = Duration::from_secs(1);

/// Starts both; they end with the process.
pub fn start(settings: &Settings, pid1: &Pid1, stop: &CancellationToken, front: Front, images: Images) {
    let stopped = stop.clone();
    tokio::spawn(async move {
        let serve = async {
            loop {
                let (engine, stored) = (Path::new(SOCKET), Path::new(STORED));
                if let Err(error) = engine::serve(Path::new(ENGINE), engine, stored, images.clone()).await {
                    tracing::error!(error = format!("{error:#}"), "dockerd is not served");
                }
                tokio::time::sleep(AGAIN).await;
            }
        };
        tokio::select! {
            () = stopped.cancelled() => {}
            () = serve => {}
        }
    });
    if settings.docker_tcp || front.was_open() {
        let pid1 = pid1.clone();
        tokio::spawn(async move {
            if let Err(error) = front.open().await {
                tracing::error!(error = format!("{error:#}"), "Docker does not answer on TCP");
                pid1.say(&format!("node: Docker does not answer on TCP {}: {error:#}", front::PORT));
            }
        });
    }
}
