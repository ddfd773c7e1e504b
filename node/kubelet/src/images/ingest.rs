//! The second step of a load: one blob into containerd's content store, which verifies it. What came before a
//! connection broke stays, and the next attempt goes on from there.

use super::begin::BLOB_BYTES_MAX;
use super::fault::{at, found};
use super::plan::Labels;
use super::{Blob, Digest, Fault, Images, Load, call, call_for};
use bytes::Bytes;
use containerd_client::services::v1::{AbortRequest, WriteAction, WriteContentRequest, WriteContentResponse};
use futures_util::{Stream, StreamExt};
use std::fmt::Display;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

/// Bytes of one message. containerd takes 16 MiB; a larger one saves nothing.
const CHUNK: usize = 256 << 10;
/// Messages that are sent before the first of them is answered: the next are received while containerd hashes this one.
const AHEAD_MAX: usize = 4;
/// How long containerd may take for one message. The last one puts gigabytes on a slow disk.
const ANSWER_WAIT: Duration = Duration::from_secs(600);
/// The first pause before a blob that another write holds is tried again; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest of these pauses. After it the other write is alive, and the sender is told.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long the sender may be silent. A write that nobody goes on with would keep the next load from its blob.
const PIECE_WAIT: Duration = Duration::from_secs(60);

/// The name of a blob's unfinished write. The same for every load, so that a later one goes on with it.
pub(super) fn reference(digest: &Digest) -> String {
    format!("skerry-{digest}")
}

impl Images {
    /// Takes a blob from `offset` on, which is 0 or what `begin` said. Done when it is there, whoever brought it.
    ///
    /// # Errors
    /// `Invalid` when the content has another length or digest, `Conflict` when another load writes the same blob or
    /// has come further, `NotFound` when the load has expired; what containerd says.
    pub async fn ingest<E: Display>(
        &self,
        load: &Load,
        blob: &Blob,
        offset: u64,
        content: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<(), Fault> {
        if blob.size > BLOB_BYTES_MAX || offset > blob.size {
            let message = format!("{} bytes from byte {offset} on; at most {BLOB_BYTES_MAX} are taken", blob.size);
            return Err(Fault::invalid("size", message));
        }
        let write = async {
            let mut writer = Writer::open_unlocked(self, load, blob).await?;
            writer.begin(offset).await?;
            writer.fill(content).await?;
            writer.commit(Labels::new()).await
        };
        match write.await {
            Ok(()) => Ok(()),
            Err(Stop::Exists) => self.hold(load, "content", blob.digest.as_str()).await,
            Err(Stop::Unfit(message)) => {
                // Going on from wrong bytes would never succeed.
                self.forget(&blob.digest).await?;
                Err(Fault::invalid("content", format!("{}: {message}", blob.digest)))
            }
            Err(Stop::Fault(fault)) => Err(fault),
        }
    }

    /// Makes a blob this namespace's that lies in containerd's store already, with these labels. Whether containerd saw
    /// it there.
    pub(super) async fn register(&self, load: &Load, blob: &Blob, labels: &Labels) -> Result<bool, Fault> {
        let write = async {
            let mut writer = Writer::open_unlocked(self, load, blob).await?;
            // Told as written up to its end: all of it is there, and it is not hashed once more.
            if writer.offset != blob.size {
                return Ok(false);
            }
            writer.commit(labels.clone()).await.map(|()| true)
        };
        match write.await {
            Ok(seen) => Ok(seen),
            Err(Stop::Exists) => self.hold(load, "content", blob.digest.as_str()).await.map(|()| true),
            Err(Stop::Unfit(message)) => Err(Fault::invalid("content", format!("{}: {message}", blob.digest))),
            Err(Stop::Fault(fault)) => Err(fault),
        }
    }

    async fn forget(&self, digest: &Digest) -> Result<(), Fault> {
        let request = AbortRequest { r#ref: reference(digest) };
        found("content.Abort", self.client().content().abort(call(request)).await)?;
        Ok(())
    }
}

/// Why a write ended.
enum Stop {
    /// The blob is there.
    Exists,
    /// The content is not what its digest says.
    Unfit(String),
    /// Anything else.
    Fault(Fault),
}

impl From<tonic::Status> for Stop {
    fn from(status: tonic::Status) -> Stop {
        match status.code() {
            Code::AlreadyExists => Stop::Exists,
            Code::FailedPrecondition => Stop::Unfit(status.message().to_owned()),
            // A reference has one writer at a time; containerd says so with this code.
            Code::Unavailable if status.message().contains("locked") => {
                Stop::Fault(Fault::Conflict(format!("another load is writing this blob: {}", status.message())))
            }
            _ => Stop::Fault(Fault::of("content.Write", &status)),
        }
    }
}

/// A write under way: every message is answered, in the order in which they are sent.
struct Writer {
    blob: Blob,
    /// Bytes that are there, or on their way.
    offset: u64,
    /// Messages whose answers are still to come.
    unanswered: usize,
    sender: mpsc::Sender<WriteContentRequest>,
    answers: Streaming<WriteContentResponse>,
}

impl Writer {
    /// As `open`, but waits a little for a write that has just ended: containerd lets a blob go some milliseconds
    /// after the connection of its writer broke, and says nothing when it does.
    async fn open_unlocked(images: &Images, load: &Load, blob: &Blob) -> Result<Writer, Stop> {
        let mut pause = FIRST_PAUSE;
        loop {
            match Writer::open(images, load, blob).await {
                Err(Stop::Fault(Fault::Conflict(_))) if pause <= LONGEST_PAUSE => tokio::time::sleep(pause).await,
                other => return other,
            }
            pause *= 2;
        }
    }

    /// Opens or goes on with the write of a blob.
    async fn open(images: &Images, load: &Load, blob: &Blob) -> Result<Writer, Stop> {
        let (sender, receiver) = mpsc::channel(1);
        // containerd answers nothing, not even with headers, before the first message.
        let first = WriteContentRequest { r#ref: reference(&blob.digest), ..message(blob, WriteAction::Stat, 0) };
        sender.try_send(first).expect("an empty channel of one takes one");
        let answers =
            images.client().content().write(call_for(load, ReceiverStream::new(receiver))).await?.into_inner();
        let mut writer = Writer { blob: blob.clone(), offset: 0, unanswered: 0, sender, answers };
        let stat = writer.answer().await?;
        writer.offset = u64::try_from(stat.offset).unwrap_or(0);
        Ok(writer)
    }

    /// Agrees with the sender on where to go on.
    async fn begin(&mut self, offset: u64) -> Result<(), Stop> {
        if offset == self.offset {
            return Ok(());
        }
        if offset != 0 {
            let message = format!("{} of its bytes are here, so it cannot go on from byte {offset}", self.offset);
            return Err(Stop::Fault(Fault::Conflict(format!("{}: {message}", self.blob.digest))));
        }
        self.offset = 0;
        Ok(())
    }

    async fn fill<E: Display>(&mut self, content: impl Stream<Item = Result<Bytes, E>>) -> Result<(), Stop> {
        let mut content = std::pin::pin!(content);
        let mut chunk = Vec::with_capacity(CHUNK);
        let mut broken = None;
        loop {
            match timeout(PIECE_WAIT, content.next()).await {
                Ok(None) => break,
                Ok(Some(Ok(piece))) => chunk.extend_from_slice(&piece),
                Err(_) => {
                    broken = Some(format!("nothing came for {} s", PIECE_WAIT.as_secs()));
                    break;
                }
                Ok(Some(Err(error))) => {
                    broken = Some(error.to_string());
                    break;
                }
            }
            if self.offset + chunk.len() as u64 > self.blob.size {
                let message = format!("more content than the {} bytes promised", self.blob.size);
                return Err(Stop::Fault(Fault::invalid("content", message)));
            }
            if chunk.len() >= CHUNK {
                self.send(std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK))).await?;
            }
        }
        if !chunk.is_empty() {
            self.send(chunk).await?;
        }
        if self.offset == self.blob.size {
            return Ok(());
        }
        // The next load asks how far this one came.
        self.heard(0).await?;
        let why = broken.unwrap_or_else(|| "the content ended".to_owned());
        let message = format!("{why} after {} of {} bytes; send the rest", self.offset, self.blob.size);
        Err(Stop::Fault(Fault::invalid("content", message)))
    }

    async fn send(&mut self, data: Vec<u8>) -> Result<(), Stop> {
        let length = data.len() as u64;
        let request = WriteContentRequest { data, ..message(&self.blob, WriteAction::Write, self.offset) };
        self.tell(request).await;
        self.offset += length;
        self.heard(AHEAD_MAX).await
    }

    async fn commit(&mut self, labels: Labels) -> Result<(), Stop> {
        self.tell(WriteContentRequest { labels, ..message(&self.blob, WriteAction::Commit, self.offset) }).await;
        self.heard(0).await
    }

    async fn tell(&mut self, request: WriteContentRequest) {
        if self.sender.send(request).await.is_err() {
            // The call has ended; its last answer says why.
            tracing::debug!("containerd ended a write early");
        }
        self.unanswered += 1;
    }

    /// Waits until so few messages are unanswered.
    async fn heard(&mut self, unanswered: usize) -> Result<(), Stop> {
        while self.unanswered > unanswered {
            self.answer().await?;
            self.unanswered -= 1;
        }
        Ok(())
    }

    async fn answer(&mut self) -> Result<WriteContentResponse, Stop> {
        let late = || tonic::Status::deadline_exceeded(format!("no answer within {} s", ANSWER_WAIT.as_secs()));
        match timeout(ANSWER_WAIT, self.answers.next()).await.map_err(|_| late())? {
            Some(answer) => Ok(answer?),
            None => Err(at("content.Write")(tonic::Status::unavailable("the write ended without an answer")).into()),
        }
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Stop {
        Stop::Fault(fault)
    }
}

fn message(blob: &Blob, action: WriteAction, offset: u64) -> WriteContentRequest {
    // Sizes are below BLOB_BYTES_MAX.
    let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    WriteContentRequest {
        action: action.into(),
        total: signed(blob.size),
        expected: blob.digest.to_string(),
        offset: signed(offset),
        ..WriteContentRequest::default()
    }
}
