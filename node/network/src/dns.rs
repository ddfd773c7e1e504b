//! The cluster's DNS, in process: it answers from the same informers as everybody else, and asks the machine's
//! resolvers for other names.
//!
//! Pure core: `answer(records, query) -> Answer`. The rest keeps `Records` in step with the API (`feed`), moves packets
//! (`server`), asks others (`forward`, `resolvers`), and makes the machine and the cluster find it (`bind`, `service`).
//!
//! **The service proxy has no part in it.** The address 10.96.0.10 is bound on the dummy link `dns0`, so what a pod
//! sends there is delivered on the machine itself. `kube-system/kube-dns` exists as a Service for everything that looks
//! for it, and carries upstream's label `service.kubernetes.io/service-proxy-name`: a proxy that has another name
//! leaves the Service and its EndpointSlice alone.
//!
//! It must not know what the other parts of the network do.

pub mod answer;
pub mod bind;
mod feed;
pub mod forward;
pub mod message;
pub mod question;
pub mod records;
pub mod resolvers;
pub mod server;
pub mod service;

use client::Boxed;
use client::Client;
use hickory_proto::rr::Name;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What may differ between machines.
#[derive(Clone, Debug)]
pub struct Config {
    /// The cluster's domain.
    pub domain: String,
    /// The addresses to answer on: the cluster addresses of `kube-dns`. They must be on a link already ([`bind`]).
    pub addresses: Vec<IpAddr>,
    /// The port; 53 but in tests.
    pub port: u16,
    /// Where the machine's resolvers are listed.
    pub resolv_conf: PathBuf,
    /// The networks of pods and Services, as `address/prefix`: addresses in them that belong to nobody have no name,
    /// and nobody outside is asked for it.
    pub own_networks: Vec<(IpAddr, u8)>,
    /// Names outside of the domain that are answered here, such as the host's.
    pub known: Vec<(String, IpAddr)>,
    /// Where the DNS counts.
    pub metrics: Arc<::metrics::Values>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            domain: "cluster.local".to_owned(),
            addresses: vec![IpAddr::V4(Ipv4Addr::new(10, 96, 0, 10))],
            port: 53,
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            own_networks: vec![
                (IpAddr::V4(Ipv4Addr::new(10, 244, 0, 0)), 16),
                (IpAddr::V4(Ipv4Addr::new(10, 96, 0, 0)), 16),
            ],
            known: Vec::new(),
            metrics: Arc::new(crate::metrics::values()),
        }
    }
}

/// Serves until told to stop. `ready` becomes true once the addresses are bound and the cluster's names are known; it
/// stays as it is for a caller that starts this again.
///
/// # Errors
/// When the domain is not a name or an address cannot be bound; it says which. May be called again at any time.
pub fn run(
    config: Config,
    client: Client,
    ready: watch::Sender<bool>,
    stop: CancellationToken,
) -> Boxed<'static, io::Result<()>> {
    Box::pin(answer_all(config, client, ready, stop))
}

async fn answer_all(
    config: Config,
    client: Client,
    ready: watch::Sender<bool>,
    stop: CancellationToken,
) -> io::Result<()> {
    let zone = Name::from_str(&config.domain)
        .map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, format!("the domain {}: {e}", config.domain)))?;
    let zone = zone.append_domain(&Name::root()).map_err(io::Error::other)?;
    let mut records = records::Records::new(zone, config.addresses.clone());
    records.own_networks.clone_from(&config.own_networks);
    for (name, address) in &config.known {
        let whole = Name::from_str(name).and_then(|name| name.append_domain(&Name::root()));
        let whole = whole.map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, format!("the name {name}: {e}")))?;
        records.known.push((whole.to_lowercase(), *address));
    }
    // Whatever ends this ends all that it started.
    let stop = stop.child_token();
    let _ends = stop.clone().drop_guard();
    let mut sockets = Vec::new();
    for address in &config.addresses {
        sockets.push(listen(*address, config.port).await?);
    }
    let (published, synced) = feed::start(records, client.clone(), stop.clone());
    let forwarder = Arc::new(forward::Forwarder::default());
    let responder =
        Arc::new(server::Responder::new(published, synced.clone(), forwarder.clone(), config.metrics.clone()));
    let mut tasks = tokio::task::JoinSet::new();
    for (udp, tcp) in sockets {
        tasks.spawn(server::udp(udp, responder.clone(), stop.clone()));
        tasks.spawn(server::tcp(tcp, responder.clone(), stop.clone()));
    }
    tasks.spawn(service::keep(client, config.addresses.clone(), stop.clone()));
    let (file, ourselves, until) = (config.resolv_conf, config.addresses, stop.clone());
    tasks.spawn(async move {
        if let Err(error) = resolvers::follow(&file, &ourselves, &forwarder, &until).await {
            let file = file.display();
            tracing::error!(%error, %file, "the list of resolvers is not followed any more; a restart reads it again");
            until.cancelled().await;
        }
    });
    let mut synced = synced;
    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        known = synced.wait_for(|known| *known) => {
            if known.is_ok() {
                tracing::info!("the cluster's DNS answers");
                ready.send_replace(true);
            }
        }
    }
    match tasks.join_next().await {
        Some(Err(error)) => Err(io::Error::other(format!("a task of the DNS died: {error}"))),
        _ => Ok(()),
    }
}

async fn listen(address: IpAddr, port: u16) -> io::Result<(UdpSocket, TcpListener)> {
    let said = |e: io::Error| io::Error::new(e.kind(), format!("listen for DNS on {address} port {port}: {e}"));
    let udp = UdpSocket::bind((address, port)).await.map_err(said)?;
    let tcp = TcpListener::bind((address, port)).await.map_err(said)?;
    Ok((udp, tcp))
}
