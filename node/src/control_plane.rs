//! The control plane: store, API server, controllers and scheduler, wired and started in the order in which they need
//! each other, and stopped in the reverse one.

use crate::components;
use crate::docker::front::Front;
use crate::machine::{self, Means};
use crate::parts::{self, Around};
use crate::pid1::Pid1;
use crate::renewal;
use crate::settings::Settings;
use crate::store_key;
use anyhow::{Context, Result, anyhow, bail};
use apiserver::catalog::Catalog;
use apiserver::clock::World;
use apiserver::outgoing::{Outgoing, Tcp};
use apiserver::serve::Security;
use apiserver::server::{Config, Server};
use apiserver::version::Version;
use apiserver::{bootstrap, builtin, serve};
use controllers::Gate;
use kubelet::images::Images;
use pki::login::Code;
use pki::{AuthorityName, Pki, Role};
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// The issuer of service-account tokens, which is also the audience of this API.
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// The version that clients are told.
pub const VERSION: &str = "v1.36.4+skerry";
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

/// Starts the control plane with the catalog of [`builtin::catalog`]; when this returns the API answers.
///
/// # Errors
/// Says what could not be opened, read or listened on, and what to do.
pub async fn start(settings: &Settings, pid1: &Pid1, catalog: Catalog) -> Result<ControlPlane> {
    let service = settings.first_service_address()?;
    let pki = Arc::new(Pki::load_or_create(&settings.data.join("pki"), &request(settings, service))?);
    let listener = listen(settings).await?;
    let store_file = settings.data.join("store.redb");
    let backend = store::Embedded::new(&store_file).with_context(|| format!("opening {}", store_file.display()))?;
    let config = Config {
        issuer: ISSUER.to_owned(),
        audiences: vec![ISSUER.to_owned()],
        external_url: format!("https://{}", SocketAddr::new(settings.advertise, settings.port)),
        advertise: settings.advertise,
        port: settings.port,
        service_cidr: settings.service_cidr.clone(),
        ca_pem: pki.authority(AuthorityName::Cluster).certificate_pem(),
        version: Version { git: VERSION.to_owned(), commit: String::new(), built: String::new() },
    };
    let keys = store_key::keys(settings)?;
    let (backend, outgoing) = (Box::new(backend), outgoing(&pki)?);
    let opened = builtin::open(backend, World::system(), pki.tokens(), config, keys, outgoing, catalog).await;
    let server = opened.map_err(|e| anyhow!(e))?;
    let images = images(settings)?;
    let docker = docker(settings, &pki, &server);
    let names = vec![settings.name.clone(), settings.advertise.to_string()];
    let (dashboard, sessions) = machine::dashboard::routes(&server, names);
    let means = Means {
        pki: pki.clone(),
        data: settings.data.clone(),
        login: login(settings, pid1)?,
        images: images.clone(),
        docker: docker.clone(),
        dashboard,
    };
    let first =
        server.machine.set(machine::routes(means)).is_ok() && server.authenticator.sessions.set(sessions).is_ok();
    if !first {
        bail!("the machine's paths were set twice");
    }
    bootstrap::run(&server).await.context("creating the objects that every cluster has")?;
    let listener = tokio::spawn(serve::serve(server.clone(), listener, security(&pki)?));
    tracing::info!(address = %settings.bind, port = settings.port, "the API is served");
    pid1.milestone("api", json!({"port": settings.port}));
    if let Some(path) = &settings.kubeconfig_out {
        write_kubeconfig(path, settings, &pki)?;
    }
    if let (Some(front), Some(images)) = (docker, images) {
        parts::docker::start(settings, pid1, &server.stopping, front, images);
    }
    // A control plane alone is up already.
    let up = if settings.kubelet { Gate::closed() } else { Gate::default() };
    let mut tasks = vec![components::controllers(&server, &up), components::scheduler(&server)];
    if settings.kubelet {
        let around = Around { settings, server: &server, pki: &pki, registry: Arc::default(), pid1, up: &up };
        tasks.extend(parts::start(&around).await?);
        pid1.bridged();
    }
    tasks.push(tokio::spawn(renewal::keep(pki.clone(), server.stopping.clone())));
    tasks.push(listener);
    Ok(ControlPlane { server, tasks })
}

/// The one-time code, and the note of its use: gone with the boot in a machine, beside the store elsewhere.
fn login(settings: &Settings, pid1: &Pid1) -> Result<Option<machine::login::Settings>> {
    let used = Arc::new(Notify::new());
    let code = match &settings.login_file {
        Some(file) => {
            let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
            Some(Code::parse(text.trim()).with_context(|| format!("--login-code {}", file.display()))?)
        }
        None if settings.machine && settings.login_code.is_none() && !Path::new(SPENT).exists() => {
            Some(show_code(pid1, used.clone())?)
        }
        None => settings.login_code.clone(),
    };
    let (opened, spent) = match settings.machine {
        true => (Duration::ZERO, SPENT.into()),
        false => (sys::clock::since_start(), settings.data.join("login.spent")),
    };
    Ok(code.map(|code| machine::login::Settings { code, opened, spent, used }))
}

/// The note of a code's use in a machine: gone with the boot.
const SPENT: &str = "/run/skerry/login.spent";

/// A code for whoever sits before a machine that nobody gave one. On screens only: serial lines are kept and read. It
/// goes from there when it counts no more.
fn show_code(pid1: &Pid1, used: Arc<Notify>) -> Result<Code> {
    let code = Code::generate()?;
    pid1.show(&format!(
        "To get a kubeconfig, once and within ten minutes of the boot:\n  skerry login HOST:6443 --code {}\nHOST is the \
         address above. Behind NAT it is 127.0.0.1 with the port that the host forwards to 6443.",
        *code.to_text()
    ));
    let left = pki::login::WINDOW.saturating_sub(sys::clock::since_start());
    let pid1 = pid1.clone();
    tokio::spawn(async move {
        pid1.show(tokio::select! {
            () = used.notified() => "The code for a kubeconfig was used. Restart the machine for another one.",
            () = tokio::time::sleep(left) => "The code for a kubeconfig has expired. Restart the machine for another one.",
        });
    });
    Ok(code)
}

/// The way to Docker from outside, where there is one.
fn docker(settings: &Settings, pki: &Arc<Pki>, server: &Arc<Server>) -> Option<Front> {
    settings.docker.then(|| Front::new(settings.bind, pki.clone(), server.stopping.clone()))
}

fn request(settings: &Settings, service: Ipv4Addr) -> pki::Request {
    let mut addresses = vec![settings.advertise, settings.bind, IpAddr::V4(Ipv4Addr::LOCALHOST)];
    addresses.retain(|address| !address.is_unspecified());
    addresses.sort();
    addresses.dedup();
    pki::Request {
        now: SystemTime::now(),
        node: settings.name.clone(),
        addresses,
        names: vec!["localhost".to_owned()],
        service_addresses: vec![service.into()],
        domain: settings.domain.clone(),
    }
}

async fn listen(settings: &Settings) -> Result<TcpListener> {
    let address = SocketAddr::new(settings.bind, settings.port);
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

/// How the API server reaches kubelets, and what it is asked to be a proxy for.
fn outgoing(pki: &Pki) -> Result<Outgoing> {
    let authority = pki.authority(AuthorityName::Cluster);
    let own = pki.slot(Role::ApiServerKubeletClient);
    Outgoing::new(Arc::new(Tcp), authority.certificate(), own).map_err(|error| anyhow!(error))
}

fn write_kubeconfig(path: &std::path::Path, settings: &Settings, pki: &Pki) -> Result<()> {
    let address = SocketAddr::new(settings.bind, settings.port);
    let authority = pki.authority(AuthorityName::Cluster).certificate_pem();
    let pair = pki.slot(Role::Admin).pem();
    let entry = pki::kubeconfig::Entry::from_pair(&settings.name, &format!("https://{address}"), &authority, &pair)?;
    let text = pki::kubeconfig::write(&entry)?;
    pki::folder::replace(path, text.as_bytes(), 0o600)
}

/// The images that the API loads: on the machine with a window for its host.
fn images(settings: &Settings) -> Result<Option<Images>> {
    let Some(socket) = settings.containerd.as_deref() else { return Ok(None) };
    let images = Images::at(socket)?;
    let is_ours = socket == Path::new(parts::images::SOCKET);
    Ok(Some(if is_ours {
        images.with_window(&settings.data.join("landing"), Path::new(parts::images::CONTENT))
    } else {
        images
    }))
}
