//! The machine's network for pods: bridge and rules, the plugin's configuration, service proxy, cluster DNS, Docker's
//! bridge.

use super::Around;
use crate::components::{connect, keep};
use anyhow::{Context, Result, anyhow};
use network::cidr::Cidr;
use network::setup::Setup;
use network::{cni, dns, docker, proxy, setup};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Where the container engine looks for networks; in memory, so that it is written anew at each boot.
const CNI_FOLDER: &str = "/run/cni/net.d";
/// The bridge of the pods.
const BRIDGE: &str = "cni0";
/// Every pod of the cluster has an address in here.
const PODS: &str = "10.244.0.0/16";
/// The network between nodes.
const NODES: &str = "10.250.0.0/24";
/// The DNS has this address of the Service range.
pub const DNS_ADDRESS: u32 = 10;
/// The host's name, for pods.
const HOST_NAME: &str = "host.skerry.internal";
/// The user of the service proxy, upstream's.
const PROXY_USER: &str = "system:kube-proxy";
/// The user of the DNS.
const DNS_USER: &str = "system:serviceaccount:kube-system:skerry-dns";

/// Sets the network up and starts what keeps it; the channel turns true when names are answered.
///
/// # Errors
/// Says what the kernel refused.
pub async fn start(around: &Around<'_>) -> Result<(Vec<JoinHandle<()>>, watch::Receiver<bool>)> {
    let settings = around.settings;
    let share = Cidr { address: settings.pod_share.0.into(), prefix: settings.pod_share.1 };
    let (pods, services) = (range(PODS)?, range(&settings.service_cidr)?);
    let wanted = Setup {
        bridge: BRIDGE.to_owned(),
        ranges: vec![share],
        known: vec![pods, range(NODES)?],
        services: vec![services],
    };
    setup::apply(&wanted).await.map_err(|e| anyhow!(e)).context("setting up the network of the pods")?;
    docker::set_up().await.context("setting up Docker's bridge")?;
    let dns_address: IpAddr = settings.service_address(DNS_ADDRESS)?.into();
    dns::bind::bind(&[dns_address]).await.context("giving the machine the address of the DNS")?;
    let folder = Path::new(CNI_FOLDER);
    cni::write_config(folder, &[share]).with_context(|| format!("writing the network into {CNI_FOLDER}"))?;
    let (answers, dns_answers) = watch::channel(false);
    let network = proxy::Network { pods: vec![pods], services: vec![services], node: settings.advertise };
    let metrics = Arc::new(network::metrics::values());
    around.registry.add(metrics.clone());
    let tasks = vec![
        proxy(around, proxy::Config { node: settings.name.clone(), network, metrics: metrics.clone() }),
        dns(around, dns_address, &[pods, services], metrics, answers),
    ];
    Ok((tasks, dns_answers))
}

fn range(text: &str) -> Result<Cidr> {
    text.parse().map_err(|e: String| anyhow!(e))
}

fn proxy(around: &Around<'_>, config: proxy::Config) -> JoinHandle<()> {
    let (server, stop) = (around.server.clone(), around.server.stopping.clone());
    keep("service-proxy", stop.clone(), move || {
        let (config, client, stop) = (config.clone(), connect(&server, PROXY_USER), stop.clone());
        async move {
            if let Err(error) = proxy::run(config, client, stop).await {
                tracing::error!(error, "the service proxy ended");
            }
        }
    })
}

fn dns(
    around: &Around<'_>,
    address: IpAddr,
    own: &[Cidr],
    metrics: Arc<metrics::Values>,
    answers: watch::Sender<bool>,
) -> JoinHandle<()> {
    let (server, stop) = (around.server.clone(), around.server.stopping.clone());
    let config = dns::Config {
        domain: around.settings.domain.clone(),
        addresses: vec![address],
        known: around.settings.host.iter().map(|address| (HOST_NAME.to_owned(), *address)).collect(),
        own_networks: own.iter().map(|range| (range.network(), range.prefix)).collect(),
        metrics,
        ..dns::Config::default()
    };
    keep("dns", stop.clone(), move || {
        let (config, client, stop) = (config.clone(), connect(&server, DNS_USER), stop.clone());
        let answers = answers.clone();
        async move {
            if let Err(error) = dns::run(config, client, answers, stop).await {
                tracing::error!(%error, "the DNS ended");
            }
        }
    })
}
