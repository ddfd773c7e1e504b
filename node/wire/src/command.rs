//! Remote commands (exec, attach): the streams of one command, over either transport, from either side.

use crate::channel::{self, Protocol};
use crate::spdy::{Connection, Headers, Side, headers};
use crate::status::{Outcome, STATUS_MAX};
use crate::stream::Stream;
use crate::websocket;
use anyhow::{Context, Result, bail};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// How long a peer may take to open the streams of a command.
pub const CREATION_MAX: Duration = Duration::from_secs(30);
/// How long a peer may take to read what is left when a command has ended.
pub const CLOSE_MAX: Duration = Duration::from_secs(30);
/// Bytes of one terminal size at most.
const SIZE_MAX: usize = 1024;

/// Which streams a command has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Want {
    /// Input.
    pub stdin: bool,
    /// Output.
    pub stdout: bool,
    /// Error output; with a terminal it is part of the output.
    pub stderr: bool,
    /// A terminal.
    pub tty: bool,
}

/// Version of the protocol over SPDY, from `X-Stream-Protocol-Version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// `channel.k8s.io`, or none named.
    V1,
    /// `v2.channel.k8s.io`
    V2,
    /// `v3.channel.k8s.io`: the terminal's size.
    V3,
    /// `v4.channel.k8s.io`: the Status.
    V4,
}

impl Version {
    /// Names, the best first.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("v4.channel.k8s.io", Self::V4),
        ("v3.channel.k8s.io", Self::V3),
        ("v2.channel.k8s.io", Self::V2),
        ("channel.k8s.io", Self::V1),
    ];

    /// The first known of the names that a client offers; version 1 when it offers none.
    #[must_use]
    pub fn negotiate(offered: &[&str]) -> Option<(&'static str, Self)> {
        let known = |name: &&str| Self::NAMES.into_iter().find(|(known, _)| known == &name.trim());
        if offered.is_empty() { Some(("", Self::V1)) } else { offered.iter().find_map(known) }
    }
}

#[derive(Debug)]
enum Carrier {
    Spdy(Connection),
    WebSocket(websocket::Connection),
}

/// The streams of a command. The server reads `stdin` and `resize` and writes the others; the client the other way round.
#[derive(Debug)]
pub struct Session {
    /// Input.
    pub stdin: Option<Stream>,
    /// Output.
    pub stdout: Option<Stream>,
    /// Error output.
    pub stderr: Option<Stream>,
    /// The terminal's size; see [`Sizes`].
    pub resize: Option<Stream>,
    error: Stream,
    status: bool,
    carrier: Carrier,
}

const KINDS: [&str; 5] = ["stdin", "stdout", "stderr", "error", "resize"];

/// Whether a stream of each of [`KINDS`] is opened.
fn kinds(want: Want, version: Version) -> [bool; 5] {
    [want.stdin, want.stdout, want.stderr && !want.tty, true, want.tty && version >= Version::V3]
}

impl Session {
    /// The server's side over SPDY: waits for the client to open the streams of `want`.
    ///
    /// # Errors
    /// When it opens others, the same twice, or none in time.
    pub async fn serve_spdy<T>(io: T, want: Want, version: Version) -> Result<Self>
    where
        T: AsyncRead + AsyncWrite + Send + 'static,
    {
        let connection = Connection::new(io, Side::Server);
        let wants = kinds(want, version);
        let mut found: [Option<Stream>; 5] = Default::default();
        let accept = async {
            while (0..5).any(|n| wants[n] && found[n].is_none()) {
                let incoming = connection.accept().await.context("the client left before it opened all streams")?;
                let kind = headers::get(&incoming.headers, "streamType").unwrap_or_default();
                let Some(n) = KINDS.iter().position(|known| *known == kind).filter(|n| wants[*n]) else {
                    bail!("the client opened a stream of type {kind:?}, which was not agreed");
                };
                if found[n].replace(incoming.stream).is_some() {
                    bail!("the client opened two streams of type {kind:?}");
                }
            }
            Ok(())
        };
        tokio::time::timeout(CREATION_MAX, accept).await.context("waiting for the streams of a command")??;
        Self::of(found, version >= Version::V4, Carrier::Spdy(connection))
    }

    /// The client's side over SPDY (version 4).
    ///
    /// # Errors
    /// When the server refuses a stream or does not answer in time.
    pub async fn connect_spdy<T>(io: T, want: Want) -> Result<Self>
    where
        T: AsyncRead + AsyncWrite + Send + 'static,
    {
        let connection = Connection::new(io, Side::Client);
        let wants = kinds(want, Version::V4);
        let mut found: [Option<Stream>; 5] = Default::default();
        // The order of client-go: the error stream first.
        for n in [3, 0, 1, 2, 4].into_iter().filter(|n| wants[*n]) {
            let headers = Headers::from([("streamtype".to_owned(), KINDS[n].to_owned())]);
            let opened = tokio::time::timeout(CREATION_MAX, connection.open(headers)).await;
            let opened = opened.with_context(|| format!("waiting for the {} stream", KINDS[n]))?;
            found[n] = Some(opened.with_context(|| format!("opening the {} stream", KINDS[n]))?);
        }
        Self::of(found, true, Carrier::Spdy(connection))
    }

    /// Either side over WebSocket channels.
    ///
    /// # Errors
    /// When the connection ends at once.
    pub async fn websocket<T>(io: T, side: Side, protocol: &'static Protocol, want: Want) -> Result<Self>
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (connection, streams) = websocket::channels(io, side, protocol, channel::RESIZE + 1).await;
        let wants = kinds(want, Version::V4);
        let mut found: [Option<Stream>; 5] = Default::default();
        // The numbers of the channels are the places in KINDS.
        for (n, stream) in streams.into_iter().enumerate().filter(|(n, _)| wants[*n]) {
            found[n] = Some(stream);
        }
        let first = [1, 2, 3].into_iter().find(|n| found[*n].is_some()).unwrap_or(3);
        if let Some(stream) = found[first].as_mut().filter(|_| side == Side::Server) {
            // Upstream's servers say with an empty message that the connection stands.
            stream.write(&[]).await.context("writing the first message")?;
        }
        Self::of(found, protocol.status, Carrier::WebSocket(connection))
    }

    fn of(found: [Option<Stream>; 5], status: bool, carrier: Carrier) -> Result<Self> {
        let [stdin, stdout, stderr, error, resize] = found;
        Ok(Self { stdin, stdout, stderr, resize, error: error.context("no error stream")?, status, carrier })
    }

    /// The server's end: says how the command ended, and ends the connection after all that was written is sent.
    ///
    /// # Errors
    /// When the client is gone or does not read.
    pub async fn finish(mut self, outcome: &Outcome) -> Result<()> {
        let said = if self.status { outcome.to_json() } else { outcome.to_text() };
        let end = async {
            self.error.write_all(&said).await.context("writing how the command ended")?;
            let outputs = [&mut self.stdin, &mut self.stdout, &mut self.stderr, &mut self.resize];
            for stream in outputs.into_iter().flatten().chain([&mut self.error]) {
                stream.shutdown().await.context("ending a stream")?;
            }
            self.carrier.close().await;
            Ok(())
        };
        tokio::time::timeout(CLOSE_MAX, end).await.context("waiting for the client to read the end of a command")?
    }

    /// The client's end: waits until the server says how the command ended.
    pub async fn outcome(&mut self) -> Outcome {
        let mut said = Vec::new();
        // What came before a broken connection is still looked at.
        if let Err(error) = (&mut self.error).take(STATUS_MAX as u64).read_to_end(&mut said).await {
            tracing::debug!(%error, "error stream of a command broke");
        }
        Outcome::from_json(&said)
    }

    /// Waits until the peer's connection is gone.
    pub async fn ended(&self) {
        self.carrier.ended().await;
    }
}

impl Carrier {
    async fn close(self) {
        match self {
            Self::Spdy(connection) => connection.close().await,
            Self::WebSocket(connection) => connection.close().await,
        }
    }

    async fn ended(&self) {
        match self {
            Self::Spdy(connection) => connection.ended().await,
            Self::WebSocket(connection) => connection.ended().await,
        }
    }
}

async fn copy(from: Option<Stream>, to: Option<Stream>) -> Result<()> {
    if let (Some(mut from), Some(mut to)) = (from, to) {
        match tokio::io::copy(&mut from, &mut to).await {
            // Upstream's servers reset all streams when the command has ended, and their clients take that for the end.
            // Where it was the other side that is gone, the next line says so.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
            copied => drop(copied.context("copying a stream of a command")?),
        }
        to.shutdown().await.context("ending a stream of a command")?;
    }
    Ok(())
}

/// Reads to the end, or to the reset that upstream's servers send in its place.
async fn read_all(from: impl AsyncRead + Unpin, into: &mut Vec<u8>) -> Result<()> {
    match from.take(STATUS_MAX as u64).read_to_end(into).await {
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(()),
        read => read.map(drop).context("reading how the command ended"),
    }
}

/// Joins a client's session (`near`, of which we are the server) with that of a container runtime (`far`, of which we
/// are the client), until the command has ended or either side is gone.
///
/// # Errors
/// When a side breaks off.
pub async fn bridge(near: Session, far: Session) -> Result<()> {
    let Session { stdin, stdout, stderr, resize, error, status, carrier } = near;
    let Session {
        stdin: far_in,
        stdout: far_out,
        stderr: far_err,
        resize: far_size,
        error: far_error,
        carrier: far_end,
        ..
    } = far;
    let to_far = async {
        // Input may end long before the command does, and a command may end without having read all of it.
        for fed in <[_; 2]>::from(tokio::join!(copy(stdin, far_in), copy(resize, far_size))) {
            if let Err(error) = fed {
                tracing::debug!(error = format!("{error:#}"), "a command takes no more input");
            }
        }
        std::future::pending::<std::convert::Infallible>().await
    };
    let to_near = async {
        let mut said = Vec::new();
        tokio::try_join!(read_all(far_error, &mut said), copy(far_out, stdout), copy(far_err, stderr))?;
        Ok::<_, anyhow::Error>(said)
    };
    let said = tokio::select! {
        ended = to_near => ended?,
        never = to_far => match never {},
        () = carrier.ended() => bail!("the client left before the command ended"),
    };
    drop(far_end);
    let outcome = Outcome::from_json(&said);
    Session { stdin: None, stdout: None, stderr: None, resize: None, error, status, carrier }.finish(&outcome).await
}

/// A terminal's size, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

impl Size {
    /// As the resize stream carries it.
    #[must_use]
    pub fn to_json(self) -> Vec<u8> {
        format!("{{\"Width\":{},\"Height\":{}}}\n", self.width, self.height).into_bytes()
    }
}

/// Reads sizes from a resize stream.
#[derive(Debug)]
pub struct Sizes<R> {
    stream: R,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Sizes<R> {
    /// Reads from `stream`.
    pub fn new(stream: R) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// The next size; `None` when the stream has ended.
    ///
    /// # Errors
    /// When something else than sizes comes.
    pub async fn next(&mut self) -> Result<Option<Size>> {
        loop {
            let mut found = serde_json::Deserializer::from_slice(&self.buffer).into_iter::<serde_json::Value>();
            match found.next() {
                Some(Ok(value)) => {
                    let used = found.byte_offset();
                    self.buffer.drain(..used);
                    let side = |name: &str| value[name].as_u64().and_then(|n| u16::try_from(n).ok());
                    let (Some(width), Some(height)) = (side("Width"), side("Height")) else {
                        bail!("{value} is no size of a terminal");
                    };
                    return Ok(Some(Size { width, height }));
                }
                Some(Err(error)) if !error.is_eof() => return Err(error).context("reading the size of a terminal"),
                Some(Err(_)) | None if self.buffer.len() > SIZE_MAX => {
                    bail!("the size of a terminal has over {SIZE_MAX} bytes")
                }
                Some(Err(_)) | None => {}
            }
            if self.stream.read_buf(&mut self.buffer).await.context("reading the size of a terminal")? == 0 {
                return Ok(None);
            }
        }
    }
}
