//! Connections that the server opens itself: to kubelets, and to pods, services and nodes that it stands proxy for.
//!
//! It must not know which object a request is about: it gets a host, a port and how the connection is secured.

use crate::reply::Body;
use futures_util::future::BoxFuture;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use pki::Slot;
use rustls::pki_types::{CertificateDer, ServerName};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long TCP and TLS may take to come up, each; upstream's dialer waits as long.
const CONNECT_MAX: Duration = Duration::from_secs(30);

/// A connection's two directions.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Opens connections. Tests put a server of their own behind every address.
pub trait Dial: Send + Sync {
    /// Connects to a port of a host.
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Box<dyn Io>>>;
}

/// Opens TCP connections.
#[derive(Clone, Copy, Debug)]
pub struct Tcp;

impl Dial for Tcp {
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Box<dyn Io>>> {
        Box::pin(async move {
            let stream = TcpStream::connect((host, port)).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Io>)
        })
    }
}

/// How a connection is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Not at all.
    Plain,
    /// As to a kubelet: its certificate is the cluster's, and we show ours.
    Kubelet,
    /// As to a kubelet whose certificate the client does not mind.
    KubeletUnchecked,
    /// TLS with whoever answers, showing nothing: pods have certificates of their own making.
    Unchecked,
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// An address, without brackets, or a name.
    pub host: String,
    /// The port.
    pub port: u16,
    /// How.
    pub security: Security,
}

impl Target {
    /// `host:port`, with brackets where an address needs them.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// Opens the server's own connections.
#[derive(Clone)]
pub struct Outgoing {
    dial: Arc<dyn Dial>,
    kubelet: TlsConnector,
    kubelet_unchecked: TlsConnector,
    unchecked: TlsConnector,
}

impl Outgoing {
    /// Connections that show `own` to kubelets, whose certificates `authority` signs.
    ///
    /// # Errors
    /// When the authority is no certificate.
    pub fn new(
        dial: Arc<dyn Dial>,
        authority: &CertificateDer<'static>,
        own: Arc<Slot>,
    ) -> Result<Outgoing, Box<dyn std::error::Error + Send + Sync>> {
        let connector = |config| TlsConnector::from(Arc::new(config));
        let alpn = &pki::tls::ALPN_HTTP1;
        Ok(Outgoing {
            dial,
            kubelet: connector(pki::tls::client(std::slice::from_ref(authority), Some(own.clone()), alpn)?),
            kubelet_unchecked: connector(pki::tls::client_believing_anyone(Some(own), alpn)?),
            unchecked: connector(pki::tls::client_believing_anyone(None, alpn)?),
        })
    }

    /// Sends one request over a connection of its own, which lives as long as its answer is read or, after an upgrade,
    /// used. Requests through the server are few and streams take their connection with them, so none is kept.
    ///
    /// # Errors
    /// Says what could not be reached and why, in the words of Go's dialer.
    pub async fn send(
        &self,
        target: &Target,
        request: http::Request<Body>,
    ) -> Result<http::Response<hyper::body::Incoming>, String> {
        let io = self.connect(target).await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(io)).await.map_err(|error| format!("{}: {error}", target.authority()))?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "an outgoing connection ended badly");
            }
        });
        sender.send_request(request).await.map_err(|error| format!("{}: {error}", target.authority()))
    }

    async fn connect(&self, target: &Target) -> Result<Box<dyn Io>, String> {
        let said = |error: io::Error| format!("dial tcp {}: {}", target.authority(), words(&error));
        let late = || io::Error::from(io::ErrorKind::TimedOut);
        let dialled = tokio::time::timeout(CONNECT_MAX, self.dial.dial(&target.host, target.port)).await;
        let plain = dialled.unwrap_or_else(|_| Err(late())).map_err(said)?;
        let connector = match target.security {
            Security::Plain => return Ok(plain),
            Security::Kubelet => &self.kubelet,
            Security::KubeletUnchecked => &self.kubelet_unchecked,
            Security::Unchecked => &self.unchecked,
        };
        let name = ServerName::try_from(target.host.clone()).map_err(|_| format!("{:?} is no host", target.host))?;
        let secured = tokio::time::timeout(CONNECT_MAX, connector.connect(name, plain)).await;
        let secured = secured.unwrap_or_else(|_| Err(late())).map_err(|error| format!("tls: {error}"))?;
        Ok(Box::new(secured))
    }
}

fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
        _ => error.to_string(),
    }
}
