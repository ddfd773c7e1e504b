//! Reading ahead below TLS. It asks for 4 KiB at a time, and for whoever sends megabytes each of these calls costs more
//! than its bytes: a system call, and a message to the sender that there is room again.
//!
//! It must not know TLS or HTTP.

use std::io::Result;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are read at once from a client that sends many: four records of TLS. Held only until they run dry.
const AHEAD_BYTES: usize = 64 << 10;

/// A stream that is read ahead while it has more than is asked for.
#[derive(Debug)]
pub struct Ahead<S> {
    stream: S,
    /// What was read ahead; empty, without memory, while the stream has little to say.
    buffer: Vec<u8>,
    /// How much of it has been taken.
    taken: usize,
    /// Whether the last read got all that it asked for, so that there is probably more.
    busy: bool,
}

impl<S> Ahead<S> {
    /// Over a stream.
    pub fn new(stream: S) -> Ahead<S> {
        Ahead { stream, buffer: Vec::new(), taken: 0, busy: false }
    }

    /// Hands over what was read ahead, as far as it is asked for.
    fn take(&mut self, wanted: &mut ReadBuf<'_>) {
        let rest = &self.buffer[self.taken..];
        let length = rest.len().min(wanted.remaining());
        wanted.put_slice(&rest[..length]);
        self.taken += length;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Ahead<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, wanted: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        if this.taken < this.buffer.len() {
            this.take(wanted);
            return Poll::Ready(Ok(()));
        }
        if !this.busy {
            let room = wanted.remaining();
            ready!(Pin::new(&mut this.stream).poll_read(context, wanted))?;
            this.busy = wanted.remaining() == 0 && room > 0;
            return Poll::Ready(Ok(()));
        }
        this.buffer.resize(AHEAD_BYTES, 0);
        let mut space = ReadBuf::new(&mut this.buffer);
        let outcome = Pin::new(&mut this.stream).poll_read(context, &mut space);
        let length = space.filled().len();
        this.taken = 0;
        match outcome {
            Poll::Ready(Ok(())) if length > 0 => {
                this.buffer.truncate(length);
                this.take(wanted);
                Poll::Ready(Ok(()))
            }
            other => {
                this.buffer = Vec::new();
                this.busy = false;
                other
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Ahead<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[std::io::IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn all_arrives_in_order_and_the_memory_goes_when_nothing_more_comes() {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let mut near = Ahead::new(near);
        let sent: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
        far.write_all(&sent).await.unwrap();
        let mut got = vec![0; sent.len()];
        let mut at = 0;
        let mut held = 0;
        while at < got.len() {
            let end = got.len().min(at + 4096);
            at += near.read(&mut got[at..end]).await.unwrap();
            held = held.max(near.buffer.len());
        }
        assert_eq!(got, sent);
        assert_eq!(held, AHEAD_BYTES);
        let mut one = [0];
        assert!(futures_util::poll!(std::pin::pin!(near.read(&mut one))).is_pending(), "nothing was sent");
        assert_eq!(near.buffer.capacity(), 0);
        far.write_all(b"x").await.unwrap();
        assert_eq!((near.read(&mut one).await.unwrap(), one), (1, *b"x"));
        drop(far);
        assert_eq!(near.read(&mut one).await.unwrap(), 0);
    }
}
