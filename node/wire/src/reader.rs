//! Bytes in one direction over a WebSocket: how a log is read by those who can open nothing else. As
//! `k8s.io/streaming/pkg/httpstream/wsstream/stream.go`.

use crate::spdy::Side;
use crate::websocket::{config, goodbye, role};
use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{SinkExt, Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Names of the subprotocol, and whether messages are base64.
const PROTOCOLS: [(&str, bool); 3] = [("binary.k8s.io", false), ("base64.binary.k8s.io", true), ("", false)];

/// The first known of the names that a client offers, and whether it is base64; a client that offers none gets bytes.
#[must_use]
pub fn negotiate(offered: &[&str]) -> Option<(&'static str, bool)> {
    let known = |name: &str| PROTOCOLS.into_iter().find(|(known, _)| *known == name);
    if offered.is_empty() { known("") } else { offered.iter().find_map(|name| known(name)) }
}

/// Sends what comes until it ends or the client leaves, and closes. The first message is empty: the connection stands.
///
/// # Errors
/// When the source breaks off or the client cannot be written to.
pub async fn send<T, S, E>(io: T, base64: bool, source: S) -> Result<()>
where
    T: AsyncRead + AsyncWrite + Send + Unpin,
    S: Stream<Item = Result<Bytes, E>> + Send,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (mut sink, mut arriving) =
        WebSocketStream::from_raw_socket(io, role(Side::Server), Some(config())).await.split();
    let message = |bytes: Bytes| {
        if base64 { Message::Text(STANDARD.encode(&bytes).into()) } else { Message::Binary(bytes) }
    };
    let write = async {
        sink.send(message(Bytes::new())).await.context("writing to a WebSocket")?;
        let mut source = std::pin::pin!(source);
        while let Some(bytes) = source.next().await {
            let bytes =
                bytes.map_err(|error| anyhow::anyhow!(error.into())).context("reading what a WebSocket sends")?;
            if !bytes.is_empty() {
                sink.send(message(bytes)).await.context("writing to a WebSocket")?;
            }
        }
        match sink.send(goodbye()).await {
            Ok(()) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => Ok(()),
            Err(error) => Err(error).context("closing a WebSocket"),
        }
    };
    // The client has nothing to say but that it leaves; pings are answered while this is read.
    let left = async { while let Some(Ok(_)) = arriving.next().await {} };
    tokio::select! {
        sent = write => sent,
        () = left => Ok(()),
    }
}
