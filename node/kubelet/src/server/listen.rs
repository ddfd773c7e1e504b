//! The listener: TLS, one task a connection, and a stop that ends streams.

use super::{Runtime, Settings, Shared, View, answer};
use client::Boxed;
use client::Client;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::pki_types::CertificateDer;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// Connections at a time; streams and followed logs have one each. Bounds memory against a flood of clients.
const CONNECTIONS_MAX: usize = 1024;
/// A client that does not finish its handshake in this time is cut off.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// A client that does not send its request line and headers in this time is cut off.
const HEADERS_WAIT_MAX: Duration = Duration::from_secs(30);
/// How long a stop waits for requests that are under way.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// How long to wait before accepting again when the process is out of descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// Serves the kubelet's API until `stop`. `client` speaks to the API server as this node's user, which judges tokens and
/// permissions.
pub fn serve(
    listener: TcpListener,
    settings: Settings,
    client: Client,
    view: Arc<dyn View>,
    runtime: Arc<dyn Runtime>,
    stop: CancellationToken,
) -> Boxed<'static, ()> {
    Box::pin(accept(listener, settings, client, view, runtime, stop))
}

async fn accept(
    listener: TcpListener,
    settings: Settings,
    client: Client,
    view: Arc<dyn View>,
    runtime: Arc<dyn Runtime>,
    stop: CancellationToken,
) {
    let shared = Shared::new(settings, client, view, runtime, stop.clone());
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) =
            accepted.inspect_err(|error| tracing::warn!(%error, "a connection to the kubelet could not be accepted"))
        else {
            tokio::time::sleep(ACCEPT_AGAIN).await;
            continue;
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            tracing::warn!(limit = CONNECTIONS_MAX, "too many connections to the kubelet; one was closed");
            continue;
        };
        let served = shared.clone();
        shared.tasks.spawn(async move {
            connection(served, stream).await;
            drop(place);
        });
    }
    shared.tasks.close();
    if tokio::time::timeout(DRAIN_MAX, shared.tasks.wait()).await.is_err() {
        tracing::info!("connections to the kubelet are closed with requests under way");
    }
}

async fn connection(shared: Arc<Shared>, stream: TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let acceptor = TlsAcceptor::from(shared.settings.tls.clone());
    let stream = match tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => return tracing::debug!("a TLS handshake took too long"),
    };
    let chain: Option<Arc<[CertificateDer<'static>]>> =
        stream.get_ref().1.peer_certificates().map(|chain| chain.to_vec().into());
    let stopping = shared.stopping.clone();
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let (shared, chain) = (shared.clone(), chain.clone());
        async move {
            // Judged for each request: a certificate may run out while its connection lives.
            let now = shared.now().into();
            let judged = chain.as_deref().map(|chain| shared.settings.trust.identity(chain, now));
            let identity = judged.and_then(|judged| {
                judged.unwrap_or_else(|error| {
                    tracing::debug!(error = format!("{error:#}"), "a client certificate does not hold");
                    None
                })
            });
            Ok::<_, Infallible>(answer(&shared, identity.as_ref(), request).await)
        }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADERS_WAIT_MAX);
    let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection to the kubelet ended badly");
    }
}
