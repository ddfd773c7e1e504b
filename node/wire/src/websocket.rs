//! Streams over the channels of a WebSocket. The handshake has been done; this takes over the connection.

use crate::channel::{Event, Message, Protocol};
use crate::spdy::Side;
use crate::stream::{Arrival, Ask, QUEUE, Stream};
use anyhow::{Context, Result};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_util::sync::CancellationToken;

/// Bytes of a message at most; peers write pieces of 32 KiB, browsers what was pasted.
pub const MESSAGE_MAX: usize = 4 << 20;

/// The limits of every WebSocket here.
pub(crate) fn config() -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(Some(MESSAGE_MAX)).max_frame_size(Some(MESSAGE_MAX))
}

/// The last message. It says that all went well: clients take an end without a code for a failure.
pub(crate) fn goodbye() -> tungstenite::Message {
    let frame = tungstenite::protocol::CloseFrame {
        code: tungstenite::protocol::frame::coding::CloseCode::Normal,
        reason: Default::default(),
    };
    tungstenite::Message::Close(Some(frame))
}

pub(crate) fn role(side: Side) -> Role {
    match side {
        Side::Client => Role::Client,
        Side::Server => Role::Server,
    }
}

/// A connection whose channels have been handed out as streams. Dropping it ends it at once.
#[derive(Debug)]
pub struct Connection {
    closing: Option<oneshot::Sender<()>>,
    ended: CancellationToken,
    tasks: [JoinHandle<()>; 2],
}

/// Takes over an upgraded connection with channels 0 to `channels` - 1.
pub async fn channels<T>(io: T, side: Side, protocol: &'static Protocol, channels: u8) -> (Connection, Vec<Stream>)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sink, source) = WebSocketStream::from_raw_socket(io, role(side), Some(config())).await.split();
    let (asks, asked) = mpsc::channel(QUEUE);
    let (resets, mut dropped) = mpsc::unbounded_channel();
    let (closing, closed) = oneshot::channel();
    let (mut arrivals, mut streams) = (Vec::new(), Vec::new());
    for channel in 0..channels {
        let (sender, receiver) = mpsc::channel(QUEUE);
        arrivals.push(Some(sender));
        streams.push(Stream::new(u32::from(channel), asks.clone(), receiver, resets.clone()));
    }
    let ended = CancellationToken::new();
    let guard = ended.clone().drop_guard();
    let reading = tokio::spawn(async move {
        if let Err(error) = read(source, protocol, arrivals).await {
            tracing::debug!(error = format!("{error:#}"), "WebSocket connection ended");
        }
        drop(guard);
    });
    let writing = tokio::spawn(async move {
        // A channel that is given up needs no message; the list ends with the last stream.
        dropped.close();
        if let Err(error) = write(sink, side, protocol, asked, closed).await {
            tracing::debug!(error = format!("{error:#}"), "WebSocket connection broke while writing");
        }
    });
    (Connection { closing: Some(closing), ended, tasks: [reading, writing] }, streams)
}

impl Connection {
    /// Waits until the peer is gone.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Sends what was written, says goodbye, and ends the connection. A peer that does not read holds this up: the
    /// caller sets the limit in time.
    pub async fn close(mut self) {
        if self.closing.take().is_none_or(|closing| closing.send(()).is_err()) {
            tracing::debug!("WebSocket connection had ended before it was closed");
        }
        if let Err(error) = (&mut self.tasks[1]).await {
            tracing::warn!(%error, "writing task of a WebSocket connection failed");
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn read<T>(
    mut source: SplitStream<WebSocketStream<T>>,
    protocol: &Protocol,
    mut arrivals: Vec<Option<mpsc::Sender<Arrival>>>,
) -> Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(message) = source.next().await {
        let message = match message.context("reading from a WebSocket")? {
            tungstenite::Message::Binary(bytes) => Message::Binary(bytes),
            tungstenite::Message::Text(text) => Message::Text(text.as_str().to_owned()),
            tungstenite::Message::Close(_) => return Ok(()),
            _ => continue,
        };
        match protocol.decode(message)? {
            Event::Data(channel, bytes) if bytes.is_empty() => {
                // Says that the connection stands.
                tracing::trace!(channel, "empty message");
            }
            Event::Data(channel, bytes) => {
                let channel = arrivals.get(usize::from(channel)).and_then(Option::as_ref);
                if let Some(arrivals) = channel {
                    // A reader that is gone does not mind.
                    arrivals.send(Ok(bytes)).await.ok();
                }
            }
            Event::Close(channel) => {
                if let Some(arrivals) = arrivals.get_mut(usize::from(channel)) {
                    *arrivals = None;
                }
            }
        }
    }
    Ok(())
}

async fn write<T>(
    mut sink: SplitSink<WebSocketStream<T>, tungstenite::Message>,
    side: Side,
    protocol: &Protocol,
    mut asked: mpsc::Receiver<Ask>,
    mut closed: oneshot::Receiver<()>,
) -> Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let ask = tokio::select! {
            biased;
            ask = asked.recv() => ask,
            _ = &mut closed => None,
        };
        let event = match ask {
            None => break,
            Some(Ask::Data(channel, bytes)) => {
                Event::Data(u8::try_from(channel).context("a channel is a byte")?, bytes)
            }
            // Only a client closes channels; what a server has ended is ended by the Status.
            Some(Ask::Fin(_)) if side == Side::Server => continue,
            Some(Ask::Fin(channel)) => Event::Close(u8::try_from(channel).context("a channel is a byte")?),
        };
        let message = match protocol.encode(&event) {
            Some(Message::Binary(bytes)) => tungstenite::Message::Binary(bytes),
            Some(Message::Text(text)) => tungstenite::Message::Text(text.into()),
            None => continue,
        };
        sink.send(message).await.context("writing to a WebSocket")?;
    }
    sink.send(goodbye()).await.context("closing a WebSocket")
}
