//! The listener: TLS, the protocol that was agreed on, one task a connection, and a stop that lets requests finish.

use crate::ahead::Ahead;
use crate::chain::answer;
use crate::reply::BoxError;
use crate::server::Server;
use client::Boxed;
use http_body_util::BodyExt;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use pki::tls::ClientTrust;
use rustls::pki_types::CertificateDer;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// Connections at a time; each may carry many requests. Bounds memory against a flood of clients.
const CONNECTIONS_MAX: usize = 4096;
/// A client that does not finish its handshake in this time is cut off.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Streams of one HTTP/2 connection: client-go puts all watches of a process on one.
const STREAMS_MAX: u32 = 1000;
/// How long a stop waits for requests that are under way.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// A header block that is larger is refused, bytes.
const HEADERS_BYTES_MAX: u32 = 64 * 1024;
/// A client that does not send its request line and headers in this time is cut off.
const HEADERS_WAIT_MAX: Duration = Duration::from_secs(30);

/// The client's end of the connection that a request came over.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub std::net::SocketAddr);

/// How connections are secured, and whose client certificates count.
#[derive(Clone)]
pub struct Security {
    /// TLS, asking for client certificates and believing none.
    pub tls: Arc<rustls::ServerConfig>,
    /// Judges what clients showed.
    pub trust: Arc<ClientTrust>,
}

/// Serves until the server stops.
pub fn serve(server: Arc<Server>, listener: TcpListener, security: Security) -> Boxed<'static, ()> {
    Box::pin(accept(server, listener, security))
}

async fn accept(server: Arc<Server>, listener: TcpListener, security: Security) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let tracker = tokio_util::task::TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = server.stopping.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, peer)) =
            accepted.inspect_err(|error| tracing::warn!(%error, "a connection could not be accepted"))
        else {
            // Out of file descriptors, mostly: let some be closed.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            tracing::warn!(limit = CONNECTIONS_MAX, "too many connections; one was closed");
            continue;
        };
        let (server, security) = (server.clone(), security.clone());
        tracker.spawn(async move {
            connection(server, security, stream, Peer(peer)).await;
            drop(place);
        });
    }
    tracker.close();
    if tokio::time::timeout(DRAIN_MAX, tracker.wait()).await.is_err() {
        tracing::info!("connections are closed with requests under way");
    }
}

async fn connection(server: Arc<Server>, security: Security, stream: TcpStream, peer: Peer) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let acceptor = TlsAcceptor::from(security.tls);
    let stream = match tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(Ahead::new(stream))).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => return tracing::debug!("a TLS handshake took too long"),
    };
    let (_, session) = stream.get_ref();
    let http2 = session.alpn_protocol() == Some(b"h2");
    let chain: Option<Arc<[CertificateDer<'static>]>> = session.peer_certificates().map(|chain| chain.to_vec().into());
    let trust = security.trust;
    let stopping = server.stopping.clone();
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let (server, trust, chain) = (server.clone(), trust.clone(), chain.clone());
        async move {
            let mut request = request.map(|body| body.map_err(|e| Box::new(e) as BoxError).boxed_unsync());
            request.extensions_mut().insert(peer);
            // Judged for each request: a certificate may run out while its connection lives.
            let identity = match chain.as_deref().map(|chain| trust.identity(chain, server.world.clock.now().into())) {
                None => None,
                Some(Ok(identity)) => identity,
                Some(Err(error)) => {
                    tracing::debug!(%error, "a client certificate does not hold");
                    return Ok(crate::reply::status(&api::Status::unauthorized()));
                }
            };
            Ok::<_, Infallible>(answer(&server, identity.as_ref(), request).await)
        }
    });
    let io = TokioIo::new(stream);
    let result = if http2 {
        let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).max_concurrent_streams(STREAMS_MAX).max_header_list_size(HEADERS_BYTES_MAX);
        let connection = builder.serve_connection(io, service);
        tokio::pin!(connection);
        tokio::select! {
            result = connection.as_mut() => result,
            () = stopping.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    } else {
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEADERS_WAIT_MAX);
        let connection = builder.serve_connection(io, service).with_upgrades();
        tokio::pin!(connection);
        tokio::select! {
            result = connection.as_mut() => result,
            () = stopping.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended badly");
    }
}
