//! What makes a machine a node beside its control plane: pod network, service proxy, DNS, images, the kubelet and its
//! API. One file each; they are clients of the API with users of their own.

pub mod docker;
pub mod handed;
pub mod images;
pub mod kubelet;
pub mod network;
pub mod readiness;

use crate::components;
use crate::pid1::Pid1;
use crate::settings::Settings;
use anyhow::Result;
use apiserver::server::Server;
use controllers::Gate;
use pki::Pki;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// What every part is started with.
pub struct Around<'a> {
    /// The settings.
    pub settings: &'a Settings,
    /// The API server in this process.
    pub server: &'a Arc<Server>,
    /// Certificates and authorities.
    pub pki: &'a Arc<Pki>,
    /// What the kubelet's `/metrics` shows of the other parts of the node.
    pub registry: Arc<metrics::Registry>,
    /// The way to PID 1.
    pub pid1: &'a Pid1,
    /// Opened when the machine is up.
    pub up: &'a Gate,
}

/// Starts all parts; they end when the server stops.
///
/// # Errors
/// When the machine's network cannot be set up.
pub async fn start(around: &Around<'_>) -> Result<Vec<JoinHandle<()>>> {
    let (mut tasks, dns_answers) = network::start(around).await?;
    tasks.extend(images::start(around));
    tasks.extend(kubelet::start(around)?);
    tasks.extend(handed::start(around));
    tasks.push(readiness::start(around, components::connect(around.server, readiness::USER), dns_answers));
    Ok(tasks)
}
