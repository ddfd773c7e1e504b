//! Docker on TCP, for the host's client: TLS with a client certificate of the cluster's authority ends here, and the
//! bytes go on to dockerd's socket, whose first caller wakes it. Nothing listens until somebody asks for it.
//!
//! Whoever gets through is root on the machine, so a certificate of the authority alone is not enough: it must name one
//! of two groups. A client without one is told so in HTTP, which its user can read, instead of by an alert of TLS.

use super::SOCKET;
use anyhow::{Context, Result};
use pki::tls::ClientTrust;
use pki::{AuthorityName, Pki, Role};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

/// The port, Docker's own for TLS.
pub const PORT: u16 = 2376;
/// There while the port is open; in memory, for a boot forgets it, and a restart of this process does not.
const OPENED: &str = "/run/skerry/docker.tcp";
/// The group of a certificate that is for Docker and nothing else.
pub const GROUP: &str = "skerry:docker";
/// Those who may do everything may do this too.
const ADMINISTRATORS: &str = "system:masters";
/// Connections at a time; a client has one or two, compose a dozen.
const CONNECTIONS_MAX: usize = 256;
/// A client that does not finish its handshake, or its request when it is to be refused, in this time is cut off.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Bytes of a request's head that are read before it is refused.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Out of file descriptors, mostly: how long to let some be closed.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// The way in, open or not. Cheap to clone.
#[derive(Clone)]
pub struct Front {
    address: SocketAddr,
    pki: Arc<Pki>,
    stop: CancellationToken,
    is_open: Arc<Mutex<bool>>,
}

/// TLS and who is believed.
struct Security {
    tls: TlsAcceptor,
    trust: ClientTrust,
}

impl Front {
    /// One that is shut, for this address.
    pub fn new(address: IpAddr, pki: Arc<Pki>, stop: CancellationToken) -> Front {
        Front { address: SocketAddr::new(address, PORT), pki, stop, is_open: Arc::default() }
    }

    /// Listens from now on, if it does not yet.
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn open(&self) -> Result<()> {
        let mut is_open = self.is_open.lock().await;
        if *is_open {
            return Ok(());
        }
        let authority = self.pki.authority(AuthorityName::Cluster);
        // The API server's certificate names this machine and the host's 127.0.0.1.
        // No authority is named to the client: it would keep a foreign certificate to itself, and not learn what is wrong.
        let tls = pki::tls::server(self.pki.slot(Role::ApiServer), Some(&[]), &[b"http/1.1"])?;
        let trust = ClientTrust::new(&[authority.certificate().clone()])?;
        let security = Arc::new(Security { tls: TlsAcceptor::from(Arc::new(tls)), trust });
        let listener = TcpListener::bind(self.address).await;
        let listener = listener.with_context(|| format!("listening on {} for Docker", self.address))?;
        tracing::info!(address = %self.address, "Docker answers on TCP, to client certificates");
        let stop = self.stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = accept(listener, security) => {}
            }
        });
        *is_open = true;
        std::fs::write(OPENED, b"").with_context(|| format!("noting in {OPENED} that Docker's port is open"))
    }

    /// Whether it was opened in this boot, by this process or an earlier one.
    pub fn was_open(&self) -> bool {
        std::path::Path::new(OPENED).exists()
    }
}

async fn accept(listener: TcpListener, security: Arc<Security>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(place) = places.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let security = security.clone();
                tokio::spawn(async move {
                    if let Err(error) = connection(&security, stream).await {
                        tracing::debug!(%peer, error = format!("{error:#}"), "a connection to Docker ended");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to Docker could not be accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

async fn connection(security: &Security, stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream =
        timeout(HANDSHAKE_MAX, security.tls.accept(stream)).await.context("the handshake took too long")??;
    if let Err(why) = judge(security, &stream) {
        tracing::warn!(why, "a client of Docker was refused");
        return timeout(HANDSHAKE_MAX, refuse(&mut stream, 403, &why)).await.context("a refused client dawdles")?;
    }
    match UnixStream::connect(SOCKET).await {
        Ok(mut docker) => {
            copy_bidirectional(&mut stream, &mut docker).await?;
            Ok(())
        }
        Err(error) => refuse(&mut stream, 503, &format!("Docker is not there: {SOCKET}: {error}")).await,
    }
}

/// Whether whoever showed this certificate may have Docker.
fn judge(security: &Security, stream: &TlsStream<TcpStream>) -> Result<(), String> {
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    if chain.is_empty() {
        return Err("Docker on this machine wants a client certificate: eval $(skerry docker-env) sets one".to_owned());
    }
    let identity = security.trust.identity(chain, SystemTime::now());
    let identity = identity.map_err(|error| {
        format!("the client certificate is not one of this cluster ({error:#}): eval $(skerry docker-env) sets one")
    })?;
    let allowed = |group: &String| group == GROUP || group == ADMINISTRATORS;
    match identity {
        Some(identity) if identity.groups.iter().any(allowed) => Ok(()),
        _ => Err(format!("the client certificate names neither the group {GROUP} nor {ADMINISTRATORS}")),
    }
}

/// Reads the head of one request and answers it as Docker would say no.
async fn refuse(stream: &mut TlsStream<TcpStream>, code: u16, why: &str) -> Result<()> {
    let head = head(stream).await?;
    let body = serde_json::json!({ "message": why }).to_string();
    let length = body.len();
    // The answer to HEAD has no body.
    let body = if head.starts_with(b"HEAD ") { String::new() } else { body };
    let reason = if code == 403 { "Forbidden" } else { "Service Unavailable" };
    let answer = format!(
        "HTTP/1.1 {code} {reason}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\
         \r\n{body}"
    );
    stream.write_all(answer.as_bytes()).await?;
    Ok(stream.shutdown().await?)
}

async fn head(stream: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut limited = stream.take(HEAD_BYTES_MAX as u64);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if limited.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_head_is_read_to_its_end_and_no_further_than_its_limit() {
        let mut request = &b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\nrest"[..];
        assert!(head(&mut request).await.unwrap().starts_with(b"GET /_ping"));
        let endless = vec![b'x'; 2 * HEAD_BYTES_MAX];
        assert_eq!(head(&mut endless.as_slice()).await.unwrap().len(), HEAD_BYTES_MAX);
    }
}
