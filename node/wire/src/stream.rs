//! One stream of many: bytes both ways, each way closed on its own, whatever carries it.
//!
//! What a peer sends is kept up to [`QUEUE`] pieces; then the whole connection waits, as neither transport here has a
//! window per stream that Kubernetes' peers would heed.

use bytes::{Buf, Bytes};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

/// Bytes that one write takes at most: what Go's copies use.
pub const PIECE_MAX: usize = 32 * 1024;
/// Pieces that wait to be read on one stream, and to be sent on one connection.
pub const QUEUE: usize = 8;

/// What a stream asks of its connection.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Sends bytes.
    Data(u32, Bytes),
    /// Ends our half.
    Fin(u32),
}

/// What comes for a stream: bytes, or the news that the peer gave it up.
pub(crate) type Arrival = Result<Bytes, io::ErrorKind>;

/// A stream.
#[derive(Debug)]
pub struct Stream {
    id: u32,
    asks: PollSender<Ask>,
    arrivals: mpsc::Receiver<Arrival>,
    rest: Bytes,
    resets: mpsc::UnboundedSender<u32>,
    finished: bool,
    ended: bool,
}

impl Stream {
    /// `resets` is told when the stream is dropped before both halves were done; its queue is bounded by the number of
    /// streams, because each tells it once.
    pub(crate) fn new(
        id: u32,
        asks: mpsc::Sender<Ask>,
        arrivals: mpsc::Receiver<Arrival>,
        resets: mpsc::UnboundedSender<u32>,
    ) -> Self {
        let asks = PollSender::new(asks);
        Self { id, asks, arrivals, rest: Bytes::new(), resets, finished: false, ended: false }
    }

    /// The number by which the connection knows the stream.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.rest.is_empty() && !self.ended {
            match ready!(self.arrivals.poll_recv(cx)) {
                Some(Ok(bytes)) => self.rest = bytes,
                Some(Err(kind)) => {
                    self.ended = true;
                    self.finished = true;
                    return Poll::Ready(Err(kind.into()));
                }
                None => self.ended = true,
            }
        }
        let take = self.rest.len().min(buf.remaining());
        buf.put_slice(&self.rest[..take]);
        self.rest.advance(take);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.finished {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let piece = &bytes[..bytes.len().min(PIECE_MAX)];
        ready!(self.asks.poll_reserve(cx)).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        let ask = Ask::Data(self.id, Bytes::copy_from_slice(piece));
        self.asks.send_item(ask).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.finished {
            return Poll::Ready(Ok(()));
        }
        // A connection that is gone has no half left to close.
        if ready!(self.asks.poll_reserve(cx)).is_ok() {
            let ask = Ask::Fin(self.id);
            if self.asks.send_item(ask).is_err() {
                tracing::debug!(stream = self.id, "connection ended before the stream");
            }
        }
        self.finished = true;
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if !self.finished && self.resets.send(self.id).is_err() {
            tracing::trace!(stream = self.id, "connection ended before the stream");
        }
    }
}
