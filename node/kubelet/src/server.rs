//! The kubelet's own API, port 10250: logs, remote commands, port forwarding, pods, statistics.
//!
//! Pure core: authorization's mapping of paths, the log reader's lines and tails, the forms of statistics.
//!
//! It must not know how pods are run: what it shows of them comes through [`View`], and what it does to them through
//! [`Runtime`].

mod access;
mod answer;
mod commands;
mod engine;
mod forward;
mod listen;
mod logs;
mod path;
mod query;
mod upgrade;
mod usage;
pub mod view;

pub use listen::serve;
pub use view::{Container, Measured, Ran, Running, Runtime, Sandbox, State, Streams, View};

/// The metrics that the server shows, one table a page.
pub mod tables {
    pub use super::usage::{OWN, RESOURCE, cadvisor_table};
}

use access::Access;
use answer::{Answer, Refusal};
use anyhow::Result;
use client::Client;
use commands::Which;
use hyper::upgrade::OnUpgrade;
use path::{Object, Route, route};
use pki::Identity;
use pki::tls::{ClientTrust, Slot};
use query::Query;
use rustls::pki_types::CertificateDer;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Commands and forwardings at a time: each holds two connections and some buffers.
const SESSIONS_MAX: usize = 256;
/// Logs that are followed at a time: each has an inotify instance, of which Linux grants a user 128.
const FOLLOWERS_MAX: usize = 96;

/// A connection of a client, once it is taken over.
type TakenOver = OnUpgrade;

/// The present time.
pub type Clock = Arc<dyn Fn() -> jiff::Timestamp + Send + Sync>;

/// What the server is told once, at its start.
#[derive(Clone)]
pub struct Settings {
    /// Name of this node.
    pub node: String,
    /// TLS, asking for client certificates and believing none; HTTP/1.1 only, because streams take connections over.
    pub tls: Arc<rustls::ServerConfig>,
    /// Judges the certificates that clients showed.
    pub trust: Arc<ClientTrust>,
    /// A folder on the file system whose room is the node's.
    pub root: PathBuf,
    /// The present time.
    pub clock: Clock,
    /// What other parts of the node show at `/metrics`.
    pub registry: Arc<::metrics::Registry>,
    /// What the probes count.
    pub probes: Arc<::metrics::Values>,
}

impl Settings {
    /// Settings with the certificate of `own`, for clients whose certificates `authority` signed. A renewal of `own`
    /// reaches new connections.
    ///
    /// # Errors
    /// When the authority is no certificate.
    pub fn new(
        node: &str,
        own: Arc<Slot>,
        authority: &CertificateDer<'static>,
        root: PathBuf,
        clock: Clock,
    ) -> Result<Settings> {
        // No hints about authorities: every client here has one certificate, and shows it when it is asked.
        let tls = pki::tls::server(own, Some(&[]), &pki::tls::ALPN_HTTP1)?;
        let trust = ClientTrust::new(std::slice::from_ref(authority))?;
        Ok(Settings {
            node: node.to_owned(),
            tls: Arc::new(tls),
            trust: Arc::new(trust),
            root,
            clock,
            registry: Arc::default(),
            probes: Arc::new(crate::probe::values()),
        })
    }
}

/// What all requests share.
struct Shared {
    settings: Settings,
    access: Access,
    view: Arc<dyn View>,
    runtime: Arc<dyn Runtime>,
    sessions: Arc<Semaphore>,
    followers: Arc<Semaphore>,
    usage: usage::Rates,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

impl Shared {
    fn new(
        settings: Settings,
        client: Client,
        view: Arc<dyn View>,
        runtime: Arc<dyn Runtime>,
        stopping: CancellationToken,
    ) -> Arc<Shared> {
        Arc::new(Shared {
            access: Access::new(client, &settings.node),
            settings,
            view,
            runtime,
            sessions: Arc::new(Semaphore::new(SESSIONS_MAX)),
            followers: Arc::new(Semaphore::new(FOLLOWERS_MAX)),
            usage: usage::Rates::default(),
            tasks: TaskTracker::new(),
            stopping,
        })
    }

    fn now(&self) -> jiff::Timestamp {
        (self.settings.clock)()
    }

    /// The pod that is meant.
    fn pod(&self, object: &Object) -> Result<Running, Refusal> {
        let running = self.view.running(&object.namespace, &object.name);
        let running = running.ok_or_else(|| Refusal::new(404, "pod does not exist"))?;
        let uid = running.pod.metadata.uid.as_deref().unwrap_or_default();
        if !object.uid.is_empty() && object.uid != uid {
            return Err(Refusal::new(404, "pod not found"));
        }
        Ok(running)
    }
}

/// Answers a request. `certificate` is whom the client's certificate names, if it showed one that holds.
async fn answer<B>(shared: &Arc<Shared>, certificate: Option<&Identity>, mut request: http::Request<B>) -> Answer {
    let client = hyper::upgrade::on(&mut request);
    let (parts, _) = request.into_parts();
    let path = parts.uri.path();
    if let Err(refusal) = shared.access.check(certificate, &parts.headers, &parts.method, path).await {
        return refusal.answer();
    }
    let route = match route(&parts.method, path) {
        Ok(route) => route,
        Err(404) => return Refusal::new(404, "404 page not found\n").answer(),
        Err(code) => return Refusal::new(code, "Method Not Allowed\n").answer(),
    };
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    run(shared, route, &query, &parts.headers, client).await.unwrap_or_else(|refusal| {
        tracing::debug!(path, code = refusal.code, message = refusal.message, "a request was refused");
        refusal.answer()
    })
}

async fn run(
    shared: &Arc<Shared>,
    route: Route,
    query: &Query,
    headers: &http::HeaderMap,
    client: TakenOver,
) -> Result<Answer, Refusal> {
    match route {
        Route::Health => Ok(answer::text("ok")),
        Route::Pods => Ok(usage::pods(&shared.view.pods())),
        Route::RunningPods => Ok(usage::pods(&usage::running(&*shared.view))),
        Route::Summary => usage::summary(shared).await,
        Route::Metrics => Ok(usage::own_metrics(shared)),
        Route::ResourceMetrics => usage::metrics(shared).await,
        Route::Cadvisor => usage::cadvisor(shared).await,
        Route::Probes => Ok(usage::probes(shared)),
        Route::Logs(object) => logs::run(shared, &object, query).await,
        Route::Exec(object) => {
            let command = query.all("command").map(str::to_owned).collect();
            commands::run(shared, &object, Which::Exec(command), query, headers, client).await
        }
        Route::Attach(object) => commands::run(shared, &object, Which::Attach, query, headers, client).await,
        Route::Run(object) => commands::to_end(shared, &object, query).await,
        Route::PortForward(object) => forward::run(shared, &object, query, headers, client).await,
    }
}
