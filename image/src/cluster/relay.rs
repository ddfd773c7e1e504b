//! A plain port on 127.0.0.1 that leads to a machine's API, for a browser that does not know the machine's authority.
//! Each connection is carried over TLS as it is, after the machine has proved itself. Nothing is added: whoever comes
//! without a session of its own is nobody to the machine, as on its own port.

use anyhow::{Context, Result};
use pki::kubeconfig::Entry;
use rustls_pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;

/// Connections at a time: a page has six, and one for each thing that it follows.
const CONNECTIONS_MAX: usize = 256;
/// How long the machine may take to answer a connection; it may be emulated and busy.
const CONNECT_MAX: Duration = Duration::from_secs(20);
/// What a browser is told when the machine cannot be reached.
const UNREACHABLE: &[u8] = b"HTTP/1.1 502 Bad Gateway\r\nconnection: close\r\ncontent-type: text/plain\r\n\
    content-length: 34\r\n\r\nthe cluster's API does not answer\r\n";

/// The way to one machine.
#[derive(Clone)]
pub struct Relay {
    tls: TlsConnector,
    name: ServerName<'static>,
    address: String,
}

impl Relay {
    /// The way to the server of a kubeconfig's entry, trusting its authority alone.
    ///
    /// # Errors
    /// When the entry cannot be read.
    pub fn new(entry: &Entry) -> Result<Relay> {
        let authority =
            pki::pem::certificates(entry.authority.as_bytes()).context("reading the cluster's authority")?;
        // One protocol: the connection is carried as it is, and a browser speaks no other one without TLS.
        let tls = pki::tls::client(&authority, None, &[b"http/1.1"])?;
        let address = entry.server.strip_prefix("https://").unwrap_or(&entry.server).trim_end_matches('/').to_owned();
        let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host).trim_matches(['[', ']']);
        let name = ServerName::try_from(host.to_owned()).with_context(|| format!("{host:?} is no name of a server"))?;
        Ok(Relay { tls: TlsConnector::from(Arc::new(tls)), name, address })
    }

    /// Carries connections until the listener fails.
    ///
    /// # Errors
    /// When no more can be accepted.
    pub async fn run(self, listener: TcpListener) -> Result<()> {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let place = places.clone().acquire_owned().await.context("the relay is closed")?;
            let (stream, _) = listener.accept().await.context("accepting a connection")?;
            let relay = self.clone();
            tokio::spawn(async move {
                // A connection that breaks off concerns its two ends, and both have seen it.
                let _ = relay.carry(stream).await;
                drop(place);
            });
        }
    }

    async fn carry(&self, mut near: TcpStream) -> Result<()> {
        near.set_nodelay(true)?;
        let far = tokio::time::timeout(CONNECT_MAX, async {
            let far = TcpStream::connect(&self.address).await?;
            far.set_nodelay(true)?;
            self.tls.connect(self.name.clone(), far).await
        });
        let Ok(Ok(mut far)) = far.await else {
            near.write_all(UNREACHABLE).await?;
            return Ok(near.shutdown().await?);
        };
        copy_bidirectional(&mut near, &mut far).await?;
        Ok(())
    }
}

/// Listens on 127.0.0.1: on `port`, or on `usual` or any other free one when none is wished for.
///
/// # Errors
/// When the wished port is taken.
pub async fn listen(port: Option<u16>, usual: u16) -> Result<(TcpListener, u16)> {
    let at = |port: u16| TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port)));
    let listener = match port {
        Some(port) => at(port).await.with_context(|| format!("listening on 127.0.0.1:{port}"))?,
        None => match at(usual).await {
            Ok(listener) => listener,
            Err(_) => at(0).await.context("listening on a free port of 127.0.0.1")?,
        },
    };
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn a_browser_is_told_when_the_machine_cannot_be_reached() {
        let (taken, port) = listen(None, 0).await.unwrap();
        drop(taken);
        let folder = tempfile::tempdir().unwrap();
        let request = pki::Request {
            now: std::time::SystemTime::now(),
            node: "rock".to_owned(),
            addresses: Vec::new(),
            names: Vec::new(),
            service_addresses: Vec::new(),
            domain: "cluster.local".to_owned(),
        };
        let pki = pki::Pki::load_or_create(folder.path(), &request).unwrap();
        let entry = Entry {
            name: "skerry".to_owned(),
            server: format!("https://127.0.0.1:{port}"),
            authority: pki.authority(pki::AuthorityName::Cluster).certificate_pem(),
            certificate: String::new(),
            key: String::new().into(),
        };
        let (listener, own) = listen(None, 0).await.unwrap();
        tokio::spawn(Relay::new(&entry).unwrap().run(listener));
        let mut stream = TcpStream::connect(("127.0.0.1", own)).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 502 ") && answer.ends_with("does not answer\r\n"), "{answer}");
    }

    #[tokio::test]
    async fn the_usual_port_gives_way_and_a_wished_one_does_not() {
        let (taken, port) = listen(None, 0).await.unwrap();
        let (_other, free) = listen(None, port).await.unwrap();
        assert_ne!(free, port);
        assert!(listen(Some(port), 0).await.is_err());
        drop(taken);
    }
}
