//! A SPDY connection: one task reads, one writes, streams come and go.

use super::frame::{Decoder, Fault, Frame, encode, reset};
use super::headers::{Deflater, Headers, Inflater};
use crate::stream::{Arrival, Ask, PIECE_MAX, QUEUE, Stream};
use anyhow::{Context, Result, bail};
use bytes::BytesMut;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Streams open at once on one connection; a port-forward uses two for each of its connections.
pub const STREAMS_MAX: usize = 512;
/// Streams that the peer opened and nobody has accepted yet.
const BACKLOG: usize = 16;

/// Which end of the connection this is: the numbers of a client's streams are odd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Whoever asked for the upgrade.
    Client,
    /// Whoever granted it.
    Server,
}

/// A stream that the peer opened.
#[derive(Debug)]
pub struct Incoming {
    /// What it is for.
    pub headers: Headers,
    /// The stream. Dropping it unfinished resets it.
    pub stream: Stream,
}

/// What the writing task is told besides what streams ask.
#[derive(Debug)]
enum Order {
    Open(u32, Headers),
    Reply(u32),
    Reset(u32, u32),
    Pong(u32),
    GoAway,
}

struct Held {
    arrivals: Option<mpsc::Sender<Arrival>>,
    reply: Option<oneshot::Sender<()>>,
    local_done: bool,
}

type Streams = Arc<Mutex<HashMap<u32, Held>>>;

/// A connection. Dropping it ends it at once; [`Connection::close`] ends it after what was written is sent.
#[derive(Debug)]
pub struct Connection {
    side: Side,
    next: tokio::sync::Mutex<u32>,
    streams: Table,
    asks: mpsc::Sender<Ask>,
    resets: mpsc::UnboundedSender<u32>,
    orders: mpsc::Sender<Order>,
    incoming: tokio::sync::Mutex<mpsc::Receiver<Incoming>>,
    ended: CancellationToken,
    tasks: [JoinHandle<()>; 2],
}

/// The table of streams, with a `Debug` that does not take its lock.
#[derive(Clone)]
struct Table(Streams);

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Streams(..)")
    }
}

impl Table {
    fn with<R>(&self, act: impl FnOnce(&mut HashMap<u32, Held>) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Enters a stream; `None` when there are too many.
    fn enter(&self, id: u32, reply: Option<oneshot::Sender<()>>) -> Option<mpsc::Receiver<Arrival>> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        self.with(|streams| {
            if streams.len() >= STREAMS_MAX {
                return None;
            }
            streams.insert(id, Held { arrivals: Some(sender), reply, local_done: false });
            Some(receiver)
        })
    }

    /// The peer's half is done.
    fn remote_done(&self, id: u32) {
        self.with(|streams| {
            if let Some(held) = streams.get_mut(&id) {
                held.arrivals = None;
                if held.local_done {
                    streams.remove(&id);
                }
            }
        });
    }

    /// Our half is done.
    fn local_done(&self, id: u32) {
        self.with(|streams| {
            if let Some(held) = streams.get_mut(&id) {
                held.local_done = true;
                if held.arrivals.is_none() {
                    streams.remove(&id);
                }
            }
        });
    }

    fn arrivals(&self, id: u32) -> Option<mpsc::Sender<Arrival>> {
        self.with(|streams| streams.get(&id).and_then(|held| held.arrivals.clone()))
    }

    fn remove(&self, id: u32) -> Option<Held> {
        self.with(|streams| streams.remove(&id))
    }
}

impl Connection {
    /// Takes over an upgraded connection.
    pub fn new<T: AsyncRead + AsyncWrite + Send + 'static>(io: T, side: Side) -> Self {
        let (reader, writer) = tokio::io::split(io);
        let (asks, asked) = mpsc::channel(QUEUE);
        let (orders, ordered) = mpsc::channel(QUEUE);
        let (resets, dropped) = mpsc::unbounded_channel();
        let (arrived, incoming) = mpsc::channel(BACKLOG);
        let streams = Table(Streams::default());
        let reading = Reading {
            side,
            decoder: Decoder::default(),
            inflater: Inflater::default(),
            streams: streams.clone(),
            asks: asks.clone(),
            resets: resets.clone(),
            orders: orders.clone(),
            arrived,
            last: 0,
        };
        let writing = Writing { deflater: Deflater::default(), streams: streams.clone(), asked, ordered, dropped };
        let ending = streams.clone();
        let ended = CancellationToken::new();
        let guard = ended.clone().drop_guard();
        let read = tokio::spawn(async move {
            if let Err(error) = reading.run(reader).await {
                tracing::debug!(error = format!("{error:#}"), "SPDY connection ended");
            }
            // Everyone who waits for the peer learns that it is gone.
            ending.with(HashMap::clear);
            drop(guard);
        });
        let write = tokio::spawn(async move {
            if let Err(error) = writing.run(writer).await {
                tracing::debug!(error = format!("{error:#}"), "SPDY connection broke while writing");
            }
        });
        Self {
            side,
            next: tokio::sync::Mutex::new(if side == Side::Client { 1 } else { 2 }),
            streams,
            asks,
            resets,
            orders,
            incoming: tokio::sync::Mutex::new(incoming),
            ended,
            tasks: [read, write],
        }
    }

    /// Opens a stream and waits until the peer has accepted it: peers drop what comes before.
    ///
    /// # Errors
    /// When the peer refuses it, the connection is gone, or too many streams are open.
    pub async fn open(&self, headers: Headers) -> Result<Stream> {
        let (reply, replied) = oneshot::channel();
        let stream = {
            // Held while sending, because numbers must grow on the wire.
            let mut next = self.next.lock().await;
            let id = *next;
            let arrivals = self.streams.enter(id, Some(reply));
            let arrivals = arrivals.with_context(|| format!("opening a stream: {STREAMS_MAX} are open"))?;
            *next =
                id.checked_add(2).filter(|id| *id <= 0x7fff_ffff).context("opening a stream: numbers are used up")?;
            let sent = self.orders.send(Order::Open(id, headers)).await;
            sent.context("opening a stream: the connection has ended")?;
            Stream::new(id, self.asks.clone(), arrivals, self.resets.clone())
        };
        let accepted = tokio::select! {
            // A peer may accept, send all it has, and leave before we look: that it accepted counts first.
            biased;
            replied = replied => replied.is_ok(),
            () = self.ended.cancelled() => false,
        };
        if !accepted {
            bail!("opening stream {}: the peer refused it or went away", stream.id());
        }
        Ok(stream)
    }

    /// The next stream that the peer opens; `None` when the connection has ended. The peer has been told that it is
    /// accepted.
    pub async fn accept(&self) -> Option<Incoming> {
        self.incoming.lock().await.recv().await
    }

    /// Waits until the peer is gone.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Which end this is.
    #[must_use]
    pub fn side(&self) -> Side {
        self.side
    }

    /// Sends what was written, says goodbye, and ends the connection. A peer that does not read holds this up: the
    /// caller sets the limit in time.
    pub async fn close(mut self) {
        if self.orders.send(Order::GoAway).await.is_err() {
            tracing::debug!("SPDY connection had ended before it was closed");
        }
        if let Err(error) = (&mut self.tasks[1]).await {
            tracing::warn!(%error, "writing task of a SPDY connection failed");
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

struct Reading {
    side: Side,
    decoder: Decoder,
    inflater: Inflater,
    streams: Table,
    asks: mpsc::Sender<Ask>,
    resets: mpsc::UnboundedSender<u32>,
    orders: mpsc::Sender<Order>,
    arrived: mpsc::Sender<Incoming>,
    last: u32,
}

impl Reading {
    async fn run<T: AsyncRead>(mut self, mut io: ReadHalf<T>) -> Result<()> {
        loop {
            while let Some(frame) = self.decoder.decode()? {
                if !self.take(frame).await? {
                    return Ok(());
                }
            }
            self.decoder.buffer().reserve(PIECE_MAX);
            if io.read_buf(self.decoder.buffer()).await.context("reading from a SPDY connection")? == 0 {
                return Ok(());
            }
        }
    }

    /// Whether the connection goes on.
    async fn take(&mut self, frame: Frame) -> Result<bool> {
        match frame {
            Frame::SynStream { id, fin, block } => {
                let headers = self.inflater.headers(&block)?;
                self.opened(id, fin, headers).await?;
            }
            Frame::SynReply { id, fin, block } => {
                self.inflater.headers(&block)?;
                let reply = self.streams.with(|streams| streams.get_mut(&id).and_then(|held| held.reply.take()));
                // Whoever opened it may have given up waiting; then dropping the stream resets it.
                reply.map(|reply| reply.send(()).is_ok());
                if fin {
                    self.streams.remote_done(id);
                }
            }
            Frame::Headers { block, .. } => {
                self.inflater.headers(&block)?;
            }
            Frame::RstStream { id, .. } => {
                if let Some(arrivals) = self.streams.remove(id).and_then(|held| held.arrivals) {
                    // A reader that is gone does not mind.
                    arrivals.send(Err(io::ErrorKind::ConnectionReset)).await.ok();
                }
            }
            Frame::Data { id, fin, bytes } => self.data(id, fin, bytes).await,
            Frame::Ping(number) if (number % 2 == 1) != (self.side == Side::Client) => {
                self.orders.send(Order::Pong(number)).await.ok();
            }
            Frame::GoAway { .. } => return Ok(false),
            Frame::Ping(_) | Frame::Settings | Frame::WindowUpdate { .. } => {}
        }
        Ok(true)
    }

    async fn opened(&mut self, id: u32, fin: bool, headers: Headers) -> Result<()> {
        let theirs = (id % 2 == 1) == (self.side == Side::Server);
        if !theirs || id <= self.last {
            return Err(Fault::StreamId(id).into());
        }
        self.last = id;
        let Some(arrivals) = self.streams.enter(id, None) else {
            self.orders.send(Order::Reset(id, reset::REFUSED_STREAM)).await.ok();
            return Ok(());
        };
        if fin {
            self.streams.remote_done(id);
        }
        // Fails only when the writing task is gone, which ends the stream's writes as well.
        self.orders.send(Order::Reply(id)).await.ok();
        let stream = Stream::new(id, self.asks.clone(), arrivals, self.resets.clone());
        // Nobody accepts any more: the dropped stream is reset.
        self.arrived.send(Incoming { headers, stream }).await.ok();
        Ok(())
    }

    async fn data(&mut self, id: u32, fin: bool, bytes: bytes::Bytes) {
        // Bytes for a stream that is gone are dropped, as spdystream drops them.
        if let Some(arrivals) = self.streams.arrivals(id).filter(|_| !bytes.is_empty()) {
            arrivals.send(Ok(bytes)).await.ok();
        }
        if fin {
            self.streams.remote_done(id);
        }
    }
}

struct Writing {
    deflater: Deflater,
    streams: Table,
    asked: mpsc::Receiver<Ask>,
    ordered: mpsc::Receiver<Order>,
    dropped: mpsc::UnboundedReceiver<u32>,
}

impl Writing {
    async fn run<T: AsyncWrite>(mut self, mut io: WriteHalf<T>) -> Result<()> {
        let mut out = BytesMut::new();
        loop {
            // Orders go first: a stream is opened before it is written to.
            let last = tokio::select! {
                biased;
                Some(order) = self.ordered.recv() => self.order(order, &mut out),
                Some(id) = self.dropped.recv() => self.reset(id, reset::CANCEL, &mut out),
                Some(ask) = self.asked.recv() => self.ask(ask, &mut out),
                else => true,
            };
            io.write_all_buf(&mut out).await.context("writing to a SPDY connection")?;
            io.flush().await.context("writing to a SPDY connection")?;
            if last {
                return io.shutdown().await.context("closing a SPDY connection");
            }
        }
    }

    /// Whether this was the last.
    fn order(&mut self, order: Order, out: &mut BytesMut) -> bool {
        match order {
            Order::Open(id, headers) => {
                let block = self.deflater.block(&headers).into();
                encode(&Frame::SynStream { id, fin: false, block }, out);
            }
            Order::Reply(id) => {
                let block = self.deflater.block(&Headers::new()).into();
                encode(&Frame::SynReply { id, fin: false, block }, out);
            }
            Order::Reset(id, status) => encode(&Frame::RstStream { id, status }, out),
            Order::Pong(number) => encode(&Frame::Ping(number), out),
            Order::GoAway => {
                while let Ok(ask) = self.asked.try_recv() {
                    self.ask(ask, out);
                }
                encode(&Frame::GoAway { last: 0, status: 0 }, out);
                return true;
            }
        }
        false
    }

    fn ask(&mut self, ask: Ask, out: &mut BytesMut) -> bool {
        match ask {
            Ask::Data(id, bytes) => encode(&Frame::Data { id, fin: false, bytes }, out),
            Ask::Fin(id) => {
                encode(&Frame::Data { id, fin: true, bytes: bytes::Bytes::new() }, out);
                self.streams.local_done(id);
            }
        }
        false
    }

    fn reset(&mut self, id: u32, status: u32, out: &mut BytesMut) -> bool {
        if self.streams.remove(id).is_some() {
            encode(&Frame::RstStream { id, status }, out);
        }
        false
    }
}
