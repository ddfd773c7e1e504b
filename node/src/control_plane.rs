//! The control plane: store, API server, controllers and scheduler, wired and started in the order in which they need
//! each other, and stopped in the reverse one.

use crate::arguments::Arguments;
use crate::components;
use anyhow::{Context, Result, anyhow, bail};
use apiserver::clock::World;
use apiserver::serve::Security;
use apiserver::server::{Config, Server};
use apiserver::version::Version;
use apiserver::{bootstrap, builtin, serve};
use pki::{AuthorityName, Pki, Role};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The issuer of service-account tokens, which is also the audience of this API.
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// The version that clients are told.
const VERSION: &str = "v1.36.4+skerry";
/// The internal address of the first node, on link `cluster0`.
const FIRST_NODE: Ipv4Addr = Ipv4Addr::new(10, 250, 0, 1);
/// How long each component is waited for when the process stops.
const STOP_MAX: Duration = Duration::from_secs(10);

/// The running control plane.
pub struct ControlPlane {
    server: Arc<Server>,
    /// Ended in this order: clients before the listener.
    tasks: Vec<JoinHandle<()>>,
}

impl ControlPlane {
    /// Stops everything, the store last.
    pub async fn stop(self) {
        self.server.stopping.cancel();
        for task in self.tasks {
            if tokio::time::timeout(STOP_MAX, task).await.is_err() {
                tracing::warn!("a component did not stop in time");
            }
        }
        self.server.store.close().await;
    }
}

/// Starts the control plane; when this returns the API answers.
///
/// # Errors
/// Says what could not be opened, read or listened on, and what to do.
pub async fn start(arguments: &Arguments) -> Result<ControlPlane> {
    if !arguments.no_kubelet {
        bail!("this build has no kubelet yet: start it with --no-kubelet");
    }
    let advertise = advertise(arguments);
    let service = first_service_address(&arguments.service_cidr)?;
    let pki = Pki::load_or_create(&arguments.data.join("pki"), &request(arguments, advertise, service))?;
    let listener = listen(arguments).await?;
    let store_file = arguments.data.join("store.redb");
    let backend = store::Embedded::new(&store_file).with_context(|| format!("opening {}", store_file.display()))?;
    let config = Config {
        issuer: ISSUER.to_owned(),
        audiences: vec![ISSUER.to_owned()],
        external_url: format!("https://{}", SocketAddr::new(advertise, arguments.port)),
        advertise,
        port: arguments.port,
        service_cidr: arguments.service_cidr.clone(),
        ca_pem: pki.authority(AuthorityName::Cluster).certificate_pem(),
        version: Version { git: VERSION.to_owned(), commit: String::new(), built: String::new() },
    };
    let server =
        builtin::open(Box::new(backend), World::system(), pki.tokens(), config).await.map_err(|e| anyhow!(e))?;
    bootstrap::run(&server).await.context("creating the objects that every cluster has")?;
    let listener = tokio::spawn(serve::serve(server.clone(), listener, security(&pki)?));
    tracing::info!(address = %arguments.bind, port = arguments.port, "the API is served");
    if let Some(path) = &arguments.kubeconfig_out {
        write_kubeconfig(path, arguments, &pki)?;
    }
    let tasks = vec![components::controllers(&server), components::scheduler(&server), listener];
    Ok(ControlPlane { server, tasks })
}

/// The address that Endpoints of the API show, which may not be a loopback one: by default the fixed internal address
/// of the first node.
fn advertise(arguments: &Arguments) -> IpAddr {
    let usable = |ip: &IpAddr| !ip.is_loopback() && !ip.is_unspecified();
    let bind = Some(arguments.bind).filter(usable);
    arguments.advertise.or(bind).unwrap_or(FIRST_NODE.into())
}

/// The first address of the Service range, which the API has inside the cluster.
fn first_service_address(cidr: &str) -> Result<Ipv4Addr> {
    let base = cidr.split('/').next().and_then(|ip| ip.parse::<Ipv4Addr>().ok());
    let base = base.ok_or_else(|| anyhow!("--service-cidr {cidr}: give an IPv4 range such as 10.96.0.0/16"))?;
    Ok(Ipv4Addr::from(u32::from(base) + 1))
}

fn request(arguments: &Arguments, advertise: IpAddr, service: Ipv4Addr) -> pki::Request {
    let mut addresses = vec![advertise, arguments.bind, IpAddr::V4(Ipv4Addr::LOCALHOST)];
    addresses.retain(|address| !address.is_unspecified());
    addresses.sort();
    addresses.dedup();
    pki::Request {
        now: SystemTime::now(),
        node: arguments.name.clone(),
        addresses,
        names: vec!["localhost".to_owned()],
        service_addresses: vec![service.into()],
        domain: "cluster.local".to_owned(),
    }
}

async fn listen(arguments: &Arguments) -> Result<TcpListener> {
    let address = SocketAddr::new(arguments.bind, arguments.port);
    TcpListener::bind(address)
        .await
        .with_context(|| format!("listening on {address} (another server may have the port: choose one with --port)"))
}

fn security(pki: &Pki) -> Result<Security> {
    let authority = pki.authority(AuthorityName::Cluster);
    let tls = pki::tls::server(pki.slot(Role::ApiServer), Some(&[authority.subject()]), &[b"h2", b"http/1.1"])?;
    let trust = pki::tls::ClientTrust::new(&[authority.certificate().clone()])?;
    Ok(Security { tls: Arc::new(tls), trust: Arc::new(trust) })
}

fn write_kubeconfig(path: &std::path::Path, arguments: &Arguments, pki: &Pki) -> Result<()> {
    let address = SocketAddr::new(arguments.bind, arguments.port);
    let authority = pki.authority(AuthorityName::Cluster).certificate_pem();
    let pair = pki.slot(Role::Admin).pem();
    let entry = pki::kubeconfig::Entry::from_pair(&arguments.name, &format!("https://{address}"), &authority, &pair)?;
    let text = pki::kubeconfig::write(&entry)?;
    pki::folder::replace(path, text.as_bytes(), 0o600)
}
