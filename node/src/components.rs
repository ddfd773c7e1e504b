//! The components that are clients of the API: each runs as its own user and is started again when it dies. What they
//! do is in their own crates; here they get their connection, their clock and their end.

use apiserver::inprocess::InProcess;
use apiserver::server::Server;
use client::Client;
use controllers::Gate;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long a component that died waits before it runs again.
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// The groups that a user has by its name, as its certificate or token would say.
fn groups(user: &str) -> Vec<String> {
    match user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':')) {
        Some((namespace, _)) => {
            vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]
        }
        None if user.starts_with("system:node:") => vec!["system:nodes".to_owned()],
        None => Vec::new(),
    }
}

/// A client in this process that speaks for a user.
pub fn connect(server: &Arc<Server>, user: &str) -> Client {
    let groups = groups(user);
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    let agent = user.rsplit(':').next().unwrap_or(user);
    Client::new(Arc::new(InProcess::new(server.clone(), user, &groups)), agent)
}

/// Runs the controllers; those that nobody waits for from when the machine is up.
pub fn controllers(server: &Arc<Server>, up: &Gate) -> JoinHandle<()> {
    let (server, stop) = (server.clone(), server.stopping.clone());
    let clock: controllers::context::Clock = {
        let world = server.world.clone();
        Arc::new(move || world.clock.now())
    };
    let settings =
        controllers::Settings { root_ca_pem: server.config.ca_pem.clone(), up: up.clone(), ..Default::default() };
    server.monitor.registry.add(settings.metrics.clone());
    keep("controllers", stop.clone(), move || {
        let server = server.clone();
        controllers::run(move |user| connect(&server, user), clock.clone(), settings.clone(), stop.clone())
    })
}

/// Runs the scheduler.
pub fn scheduler(server: &Arc<Server>) -> JoinHandle<()> {
    let (server, stop) = (server.clone(), server.stopping.clone());
    let world = server.world.clone();
    let clock: scheduler::Clock = Arc::new(move || world.clock.now());
    let metrics = Arc::new(scheduler::metrics::values());
    server.monitor.registry.add(metrics.clone());
    keep("scheduler", stop.clone(), move || {
        scheduler::run(connect(&server, scheduler::USER), clock.clone(), metrics.clone(), stop.clone())
    })
}

/// Runs a component until the process stops, again and again when it dies.
pub fn keep<F>(name: &'static str, stop: CancellationToken, start: impl Fn() -> F + Send + 'static) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move {
        while !stop.is_cancelled() {
            match tokio::spawn(start()).await {
                Ok(()) if stop.is_cancelled() => return,
                Ok(()) => tracing::error!(component = name, "a component ended by itself and is started again"),
                Err(error) => tracing::error!(component = name, %error, "a component died and is started again"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(RESTART_AFTER) => {}
            }
        }
    })
}
