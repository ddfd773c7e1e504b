//! The kubelet and its API, and the remover of released volumes' folders.

use super::Around;
use crate::components::{connect, keep};
use anyhow::{Context, Result};
use client::Informers;
use kubelet::context::Clock;
use kubelet::server::{self, Settings};
use kubelet::{Config, Kubelet, volumes};
use pki::{AuthorityName, Role};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Where volumes of the built-in class have their folders; the controllers name the same.
const VOLUMES: &str = "/var/lib/skerry/volumes";
/// How long after the start an engine is given before it is missed. An emulated containerd has needed 20 seconds.
const ENGINE_WAIT: Duration = Duration::from_secs(60);
/// The user that lets released volumes go. Nodes may not change volumes, so this is not the node's own user.
const RECLAIM_USER: &str = "system:serviceaccount:kube-system:skerry-volume-reclaim";

/// Starts all of it.
///
/// # Errors
/// When the certificates are no use or the Service range is none.
pub fn start(around: &Around<'_>) -> Result<Vec<JoinHandle<()>>> {
    let settings = around.settings;
    let mut config = Config::new(&settings.name, &settings.advertise.to_string());
    config.cluster_dns = vec![settings.service_address(super::network::DNS_ADDRESS)?.to_string()];
    config.cluster_domain.clone_from(&settings.domain);
    config.cri_socket.clone_from(&settings.runtime);
    config.version = crate::control_plane::VERSION.to_owned();
    let clock: Clock = {
        let world = around.server.world.clone();
        Arc::new(move || world.clock.now())
    };
    let authority = around.pki.authority(AuthorityName::Cluster);
    let own = around.pki.slot(Role::KubeletServer);
    let mut served = Settings::new(&settings.name, own, authority.certificate(), config.root.clone(), clock.clone())
        .context("the kubelet's certificate")?;
    served.registry.clone_from(&around.registry);
    served.probes.clone_from(&config.probes);
    let address = SocketAddr::new(around.settings.bind, config.port);
    let (server, stop) = (around.server.clone(), around.server.stopping.clone());
    let user = format!("system:node:{}", settings.name);
    let pods = keep("kubelet", stop.clone(), move || {
        let (config, served, clock) = (config.clone(), served.clone(), clock.clone());
        let (client, stop) = (connect(&server, &user), stop.child_token());
        async move {
            // Whichever of the two ends takes the other with it; both begin anew together.
            let _ends = stop.clone().drop_guard();
            if let Err(error) = run(config, served, clock, client, address, stop.clone()).await {
                tracing::error!(error = format!("{error:#}"), "the kubelet ended");
            }
        }
    });
    Ok(vec![pods, reclaim(around), watch_engine(around)])
}

/// Says so where people look when nobody answers at the engine's socket: the kubelet itself only goes on trying.
fn watch_engine(around: &Around<'_>) -> JoinHandle<()> {
    let (socket, pid1, stop) = (around.settings.runtime.clone(), around.pid1.clone(), around.server.stopping.clone());
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(ENGINE_WAIT) => {}
        }
        if let Err(error) = tokio::net::UnixStream::connect(&socket).await {
            let socket = socket.display();
            tracing::error!(%socket, %error, "no container engine answers; pods wait for it");
            pid1.say(&format!("node: no container engine answers at {socket} ({error}): see skerry.node.runtime"));
        }
    })
}

async fn run(
    config: Config,
    served: Settings,
    clock: Clock,
    client: client::Client,
    address: SocketAddr,
    stop: tokio_util::sync::CancellationToken,
) -> Result<()> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
    let kubelet = Kubelet::new(config, client.clone(), clock)?;
    let view = Arc::new(kubelet.view());
    let runtime = Arc::new(kubelet.cri().clone());
    let serving = server::serve(listener, served, client, view, runtime, stop.clone());
    tokio::select! {
        ended = kubelet.run(stop.clone()) => ended,
        () = serving => Ok(()),
    }
}

fn reclaim(around: &Around<'_>) -> JoinHandle<()> {
    let (server, stop) = (around.server.clone(), around.server.stopping.clone());
    let node = around.settings.name.clone();
    keep("volume-reclaim", stop.clone(), move || {
        let (client, stop, node) = (connect(&server, RECLAIM_USER), stop.child_token(), node.clone());
        async move {
            let _ends = stop.clone().drop_guard();
            let informers = Informers::new(client.clone(), stop.clone());
            volumes::reclaim::run(client, &informers, PathBuf::from(VOLUMES), node, stop).await;
        }
    })
}
