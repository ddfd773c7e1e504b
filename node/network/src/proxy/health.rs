//! What balancers ask: whether this node has backends of a Service whose external traffic must stay on the node.
//! Answers as upstream's `pkg/proxy/healthcheck`.
//!
//! It must not know rules.

use super::endpoint::Endpoints;
use super::service::ServicePort;
use super::topology::Place;
use std::collections::BTreeMap;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

/// Bytes of a question; a balancer's fits many times.
const QUESTION_BYTES_MAX: usize = 8 << 10;
/// How long one question may take.
const QUESTION_TIME: Duration = Duration::from_secs(5);
/// Questions answered at a time on one port.
const QUESTIONS_MAX: usize = 16;

/// What is answered on one port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// The Service's namespace.
    pub namespace: String,
    /// The Service's name.
    pub service: String,
    /// Backends of this node.
    pub local: usize,
}

/// What is to be answered, by port.
#[must_use]
pub fn wanted(services: &[ServicePort], endpoints: &Endpoints, place: &Place) -> BTreeMap<u16, Health> {
    let mut all = BTreeMap::new();
    for service in services.iter().filter(|service| service.health_port != 0) {
        let backends = endpoints.get(&service.name).into_iter().flatten();
        let local = backends.filter(|(_, e)| e.ready && e.node == place.node).count();
        let (namespace, name) = (service.name.namespace.clone(), service.name.service.clone());
        let health = all.entry(service.health_port).or_insert(Health { namespace, service: name, local: 0 });
        health.local = health.local.max(local);
    }
    all
}

/// The whole answer.
fn answer(health: &Health) -> String {
    let status = if health.local > 0 { "200 OK" } else { "503 Service Unavailable" };
    let body = serde_json::json!({
        "service": {"namespace": health.namespace, "name": health.service},
        "localEndpoints": health.local,
        "serviceProxyHealthy": true,
    });
    let body = format!("{body}\n");
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n\
         X-Load-Balancing-Endpoint-Weight: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        health.local,
        body.len()
    )
}

struct Listening {
    health: watch::Sender<Health>,
    stop: CancellationToken,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The open ports.
#[derive(Default)]
pub struct Answers {
    open: BTreeMap<u16, Listening>,
}

impl Answers {
    /// Opens and closes ports until they are as wanted. A port that cannot be opened is told and tried again next time.
    pub async fn apply(&mut self, wanted: BTreeMap<u16, Health>) {
        self.open.retain(|port, _| wanted.contains_key(port));
        for (port, health) in wanted {
            if let Some(there) = self.open.get(&port) {
                there.health.send_replace(health);
                continue;
            }
            // One socket for both families.
            match TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))).await {
                Ok(listener) => {
                    let (sender, receiver) = watch::channel(health);
                    let stop = CancellationToken::new();
                    tokio::spawn(serve(listener, receiver, stop.clone()));
                    self.open.insert(port, Listening { health: sender, stop });
                }
                Err(error) => tracing::warn!(port, %error, "a health check port could not be opened"),
            }
        }
    }
}

async fn serve(listener: TcpListener, health: watch::Receiver<Health>, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(QUESTIONS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let health = health.borrow().clone();
                tokio::spawn(async move {
                    // Whoever hangs up early wanted no answer.
                    let _ = tokio::time::timeout(QUESTION_TIME, reply(stream, &health)).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a health check could not be accepted");
                tokio::time::sleep(QUESTION_TIME).await;
            }
        }
    }
}

async fn reply(mut stream: TcpStream, health: &Health) -> std::io::Result<()> {
    let mut question = Vec::new();
    let mut part = [0; 1024];
    while !question.windows(4).any(|end| end == b"\r\n\r\n") && question.len() < QUESTION_BYTES_MAX {
        let read = stream.read(&mut part).await?;
        if read == 0 {
            break;
        }
        question.extend_from_slice(&part[..read]);
    }
    stream.write_all(answer(health).as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::super::endpoint::Endpoint;
    use super::super::tests::{backend, service};
    use super::*;

    #[test]
    fn only_ready_backends_of_this_node_count() {
        let mut balanced = service();
        balanced.health_port = 31000;
        let on = |node: &str, ready| Endpoint { ready, node: node.to_owned(), ..Endpoint::default() };
        let backends =
            [(backend(2), on("here", true)), (backend(3), on("there", true)), (backend(4), on("here", false))];
        let endpoints = [(balanced.name.clone(), backends.into())].into();
        let all = wanted(&[balanced, service()], &endpoints, &Place { node: "here".to_owned(), zone: String::new() });
        let health = Health { namespace: "shop".to_owned(), service: "web".to_owned(), local: 1 };
        assert_eq!(all, [(31000, health.clone())].into());
        assert!(answer(&health).starts_with("HTTP/1.1 200 OK\r\n"));
        assert!(answer(&Health { local: 0, ..health }).starts_with("HTTP/1.1 503 "));
    }
}
