//! Port forwarding: for every connection a data and an error stream.

use crate::channel::Protocol;
use crate::spdy::{Connection, Headers, Incoming, Side, headers};
use crate::stream::Stream;
use crate::websocket;
use anyhow::{Context, Result};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The protocol's name in `X-Stream-Protocol-Version`.
pub const PROTOCOL: &str = "portforward.k8s.io";
/// Half pairs that wait for their other half; the oldest is given up for the next.
const HALVES_MAX: usize = 64;
/// Ports of one forwarding over WebSocket channels: two channels each, and a channel is a byte.
pub const PORTS_MAX: usize = 100;
/// Bytes of an error message at most.
const MESSAGE_MAX: u64 = 64 * 1024;

/// One forwarded connection.
#[derive(Debug)]
pub struct Forward {
    /// The port in the pod.
    pub port: u16,
    /// The connection's bytes.
    pub data: Stream,
    /// What went wrong, if anything.
    pub error: Stream,
}

impl Forward {
    /// Joins the connection with one to the port, until both have ended.
    ///
    /// # Errors
    /// When either breaks.
    pub async fn run<T: AsyncRead + AsyncWrite + Unpin>(mut self, mut target: T) -> Result<()> {
        let copied = tokio::io::copy_bidirectional(&mut self.data, &mut target).await;
        self.error.shutdown().await.context("ending a forwarded connection")?;
        copied.map(drop).with_context(|| format!("forwarding port {}", self.port))
    }

    /// Tells the client that the port cannot be reached.
    ///
    /// # Errors
    /// When the client is gone.
    pub async fn fail(mut self, message: &str) -> Result<()> {
        let context = || format!("reporting on port {}", self.port);
        self.error.write_all(message.as_bytes()).await.with_context(context)?;
        self.error.shutdown().await.with_context(context)?;
        self.data.shutdown().await.with_context(context)
    }

    /// The client's side: what the server reports; empty when nothing went wrong.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn report(error: Stream) -> Result<String> {
        let mut said = Vec::new();
        error.take(MESSAGE_MAX).read_to_end(&mut said).await.context("reading the report on a forwarded port")?;
        Ok(String::from_utf8_lossy(&said).into_owned())
    }
}

#[derive(Debug)]
struct Half {
    data: bool,
    port: u16,
    stream: Stream,
    age: u64,
}

/// A connection over which ports are forwarded: SPDY, upgraded itself or inside a [`crate::Tunnel`].
#[derive(Debug)]
pub struct Forwards {
    connection: Connection,
    halves: HashMap<String, Half>,
    age: u64,
    next: AtomicU64,
}

impl Forwards {
    /// Takes over an upgraded connection.
    pub fn new<T: AsyncRead + AsyncWrite + Send + 'static>(io: T, side: Side) -> Self {
        Self { connection: Connection::new(io, side), halves: HashMap::new(), age: 0, next: AtomicU64::new(0) }
    }

    /// The server's side: the next connection that the client wants forwarded; `None` when the client is gone. Streams
    /// that fit no connection are reset.
    pub async fn accept(&mut self) -> Option<Forward> {
        loop {
            let incoming = self.connection.accept().await?;
            if let Some(forward) = self.pair(incoming) {
                return Some(forward);
            }
        }
    }

    fn pair(&mut self, incoming: Incoming) -> Option<Forward> {
        let header = |name| headers::get(&incoming.headers, name);
        let port = header("port").and_then(|port| port.parse().ok()).filter(|port| *port > 0);
        let data = match header("streamType") {
            Some("data") => Some(true),
            Some("error") => Some(false),
            _ => None,
        };
        let (Some(port), Some(data)) = (port, data) else {
            tracing::debug!(headers = ?incoming.headers, "stream that forwards no port");
            return None;
        };
        // Clients without request ids open the error stream and then the data stream.
        let id = incoming.stream.id();
        let request = header("requestID").filter(|request| !request.is_empty()).map(str::to_owned);
        let request = request.unwrap_or_else(|| format!("stream {}", if data { id.saturating_sub(2) } else { id }));
        match self.halves.remove(&request) {
            Some(other) if other.data != data && other.port == port => {
                let (data, error) =
                    if data { (incoming.stream, other.stream) } else { (other.stream, incoming.stream) };
                Some(Forward { port, data, error })
            }
            // Two of a kind belong to nothing; both are reset by being dropped.
            Some(_) => None,
            None => {
                self.keep(request, Half { data, port, stream: incoming.stream, age: self.age });
                None
            }
        }
    }

    fn keep(&mut self, request: String, half: Half) {
        self.age += 1;
        if self.halves.len() >= HALVES_MAX {
            let oldest = self.halves.iter().min_by_key(|(_, half)| half.age).map(|(request, _)| request.clone());
            oldest.and_then(|request| self.halves.remove(&request));
        }
        self.halves.insert(request, half);
    }

    /// The client's side: a connection to `port`.
    ///
    /// # Errors
    /// When the server refuses it or is gone.
    pub async fn open(&self, port: u16) -> Result<Forward> {
        let request = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        let headers = |kind: &str| -> Headers {
            [("streamtype", kind), ("port", &port.to_string()), ("requestid", &request)]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into()
        };
        let error = self.connection.open(headers("error")).await.with_context(|| format!("forwarding port {port}"))?;
        let data = self.connection.open(headers("data")).await.with_context(|| format!("forwarding port {port}"))?;
        Ok(Forward { port, data, error })
    }

    /// Ends the connection after what was written is sent.
    pub async fn close(self) {
        self.connection.close().await;
    }
}

/// The server's side over WebSocket channels, where the ports are known beforehand: channel 2n carries the bytes of the
/// n-th port, channel 2n + 1 its errors, and the first message of each is the port, low byte first.
///
/// # Errors
/// When there are too many ports or the client is gone.
pub async fn serve_channels<T>(
    io: T,
    protocol: &'static Protocol,
    ports: &[u16],
) -> Result<(websocket::Connection, Vec<Forward>)>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    anyhow::ensure!(ports.len() <= PORTS_MAX, "{} ports in one forwarding; at most {PORTS_MAX}", ports.len());
    let count = u8::try_from(ports.len() * 2).context("a channel is a byte")?;
    let (connection, streams) = websocket::channels(io, Side::Server, protocol, count).await;
    let (mut streams, mut forwards) = (streams.into_iter(), Vec::new());
    for port in ports {
        let (Some(mut data), Some(mut error)) = (streams.next(), streams.next()) else { break };
        for stream in [&mut data, &mut error] {
            stream.write_all(&port.to_le_bytes()).await.context("naming a forwarded port")?;
        }
        forwards.push(Forward { port: *port, data, error });
    }
    Ok((connection, forwards))
}
