//! SPDY/3 frames: bytes in, frames out, and back. Frames come as the bytes do; a data frame is handed on in pieces, so
//! that nobody has to hold one whole.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Bytes of a control frame at most.
pub const CONTROL_MAX: usize = 64 * 1024;
/// The version in every control frame: 3, also in SPDY/3.1.
const VERSION: u16 = 3;
/// Bytes before every frame.
const HEAD: usize = 8;
/// Flag: the sender's half is done.
const FIN: u8 = 1;

/// What a peer did wrong. All of it ends the connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Another version of SPDY, or no SPDY.
    #[error("SPDY version {0} instead of 3")]
    Version(u16),
    /// More than a named limit.
    #[error("a {what} of {bytes} is over the limit")]
    TooLarge {
        /// Of what.
        what: &'static str,
        /// How much.
        bytes: usize,
    },
    /// A frame whose length does not fit its type.
    #[error("a control frame of type {0} has the wrong length")]
    Length(u16),
    /// A header block that is no zlib.
    #[error("a header block cannot be inflated")]
    Compression,
    /// An inflated block that is no list of headers.
    #[error("a header block is no list of headers")]
    Headers,
    /// Stream zero, or the same twice, or one that the peer may not choose.
    #[error("stream {0} cannot be opened")]
    StreamId(u32),
}

/// A frame. Header blocks stay compressed: who reads them keeps the zlib stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Opens a stream.
    SynStream {
        /// The new stream.
        id: u32,
        /// Whether the sender will send nothing on it.
        fin: bool,
        /// The headers, compressed.
        block: Bytes,
    },
    /// Accepts a stream.
    SynReply {
        /// The stream.
        id: u32,
        /// Whether the sender will send nothing on it.
        fin: bool,
        /// The headers, compressed.
        block: Bytes,
    },
    /// Ends a stream at once, both ways.
    RstStream {
        /// The stream.
        id: u32,
        /// Why; see the constants of [`reset`].
        status: u32,
    },
    /// Settings; nothing here depends on them.
    Settings,
    /// Asks for an answer with the same number.
    Ping(u32),
    /// No more streams will be accepted.
    GoAway {
        /// The last stream that was.
        last: u32,
        /// Why: 0 for the normal end.
        status: u32,
    },
    /// More headers of a stream.
    Headers {
        /// The stream.
        id: u32,
        /// The headers, compressed.
        block: Bytes,
    },
    /// The window of a stream grew; Kubernetes' peers neither send nor heed it.
    WindowUpdate {
        /// The stream.
        id: u32,
        /// By how many bytes.
        delta: u32,
    },
    /// Bytes of a stream: a whole data frame or a piece of one.
    Data {
        /// The stream.
        id: u32,
        /// Whether the sender's half is done after them.
        fin: bool,
        /// The bytes.
        bytes: Bytes,
    },
}

/// Why a stream was reset.
pub mod reset {
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: u32 = 1;
    /// Too many streams.
    pub const REFUSED_STREAM: u32 = 3;
    /// Whoever opened it no longer wants it.
    pub const CANCEL: u32 = 5;
}

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const SETTINGS: u16 = 4;
const PING: u16 = 6;
const GO_AWAY: u16 = 7;
const HEADERS: u16 = 8;
const WINDOW_UPDATE: u16 = 9;

/// Finds frames in bytes.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: BytesMut,
    data: Option<(u32, usize, bool)>,
}

impl Decoder {
    /// The buffer to read into; it holds less than one control frame between calls of [`Decoder::decode`].
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next frame, `None` when more bytes are needed.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn decode(&mut self) -> Result<Option<Frame>, Fault> {
        loop {
            if let Some((id, left, fin)) = self.data {
                return Ok(self.piece(id, left, fin));
            }
            if self.buffer.len() < HEAD {
                return Ok(None);
            }
            let (first, second) = (self.buffer.get_u32_at(0), self.buffer.get_u32_at(4));
            let (flags, length) = ((second >> 24) as u8, (second & 0x00ff_ffff) as usize);
            if first & 0x8000_0000 == 0 {
                if first == 0 {
                    return Err(Fault::StreamId(0));
                }
                self.buffer.advance(HEAD);
                self.data = Some((first, length, flags & FIN != 0));
                continue;
            }
            let version = ((first >> 16) & 0x7fff) as u16;
            if version != VERSION {
                return Err(Fault::Version(version));
            }
            if length > CONTROL_MAX {
                return Err(Fault::TooLarge { what: "control frame", bytes: length });
            }
            if self.buffer.len() < HEAD + length {
                return Ok(None);
            }
            self.buffer.advance(HEAD);
            let body = self.buffer.split_to(length).freeze();
            if let Some(frame) = control((first & 0xffff) as u16, flags, body)? {
                return Ok(Some(frame));
            }
        }
    }

    fn piece(&mut self, id: u32, left: usize, fin: bool) -> Option<Frame> {
        let bytes = self.buffer.split_to(left.min(self.buffer.len())).freeze();
        let left = left - bytes.len();
        self.data = (left > 0).then_some((id, left, fin));
        if left > 0 && bytes.is_empty() {
            return None;
        }
        Some(Frame::Data { id, fin: fin && left == 0, bytes })
    }
}

trait At {
    fn get_u32_at(&self, place: usize) -> u32;
}

impl At for BytesMut {
    fn get_u32_at(&self, place: usize) -> u32 {
        u32::from_be_bytes([self[place], self[place + 1], self[place + 2], self[place + 3]])
    }
}

/// The control frame of a type; `None` for a type that is passed over.
fn control(kind: u16, flags: u8, mut body: Bytes) -> Result<Option<Frame>, Fault> {
    let needs = match kind {
        SYN_STREAM => 10,
        SYN_REPLY | HEADERS | PING | SETTINGS => 4,
        RST_STREAM | GO_AWAY | WINDOW_UPDATE => 8,
        _ => return Ok(None),
    };
    let exact = matches!(kind, PING | RST_STREAM | GO_AWAY | WINDOW_UPDATE);
    if body.len() < needs || exact && body.len() != needs {
        return Err(Fault::Length(kind));
    }
    let fin = flags & FIN != 0;
    let first = body.get_u32();
    let id = first & 0x7fff_ffff;
    if matches!(kind, SYN_STREAM | SYN_REPLY | RST_STREAM | HEADERS) && id == 0 {
        return Err(Fault::StreamId(0));
    }
    Ok(Some(match kind {
        SYN_STREAM => {
            // The associated stream, priority and slot mean nothing to Kubernetes.
            body.advance(6);
            Frame::SynStream { id, fin, block: body }
        }
        SYN_REPLY => Frame::SynReply { id, fin, block: body },
        HEADERS => Frame::Headers { id, block: body },
        RST_STREAM => Frame::RstStream { id, status: body.get_u32() },
        GO_AWAY => Frame::GoAway { last: id, status: body.get_u32() },
        WINDOW_UPDATE => Frame::WindowUpdate { id, delta: body.get_u32() },
        PING => Frame::Ping(first),
        _ => Frame::Settings,
    }))
}

fn control_head(out: &mut BytesMut, kind: u16, fin: bool, length: usize) {
    out.put_u16(0x8000 | VERSION);
    out.put_u16(kind);
    out.put_u32(u32::from(fin) << 24 | u32::try_from(length).unwrap_or(0x00ff_ffff) & 0x00ff_ffff);
}

/// Writes `frame` to `out`. Blocks and data must be below 16 MiB, which the callers' own limits see to.
pub fn encode(frame: &Frame, out: &mut BytesMut) {
    match frame {
        Frame::SynStream { id, fin, block } => {
            control_head(out, SYN_STREAM, *fin, 10 + block.len());
            out.put_u32(*id);
            out.put_u32(0);
            out.put_u16(0);
            out.put_slice(block);
        }
        Frame::SynReply { id, fin, block } => {
            control_head(out, SYN_REPLY, *fin, 4 + block.len());
            out.put_u32(*id);
            out.put_slice(block);
        }
        Frame::Headers { id, block } => {
            control_head(out, HEADERS, false, 4 + block.len());
            out.put_u32(*id);
            out.put_slice(block);
        }
        Frame::RstStream { id: one, status: two }
        | Frame::GoAway { last: one, status: two }
        | Frame::WindowUpdate { id: one, delta: two } => {
            let kind = match frame {
                Frame::RstStream { .. } => RST_STREAM,
                Frame::GoAway { .. } => GO_AWAY,
                _ => WINDOW_UPDATE,
            };
            control_head(out, kind, false, 8);
            out.put_u32(*one);
            out.put_u32(*two);
        }
        Frame::Settings => {
            control_head(out, SETTINGS, false, 4);
            out.put_u32(0);
        }
        Frame::Ping(id) => {
            control_head(out, PING, false, 4);
            out.put_u32(*id);
        }
        Frame::Data { id, fin, bytes } => {
            out.put_u32(id & 0x7fff_ffff);
            out.put_u32(u32::from(*fin) << 24 | u32::try_from(bytes.len()).unwrap_or(0x00ff_ffff));
            out.put_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames() -> Vec<Frame> {
        let block = Bytes::from_static(b"block");
        vec![
            Frame::SynStream { id: 1, fin: false, block: block.clone() },
            Frame::SynReply { id: 1, fin: true, block: block.clone() },
            Frame::Headers { id: 1, block },
            Frame::RstStream { id: 3, status: reset::CANCEL },
            Frame::Settings,
            Frame::Ping(7),
            Frame::WindowUpdate { id: 1, delta: 9 },
            Frame::Data { id: 1, fin: true, bytes: Bytes::from_static(b"hello") },
            Frame::Data { id: 1, fin: true, bytes: Bytes::new() },
            Frame::GoAway { last: 5, status: 0 },
        ]
    }

    fn encoded() -> BytesMut {
        let mut bytes = BytesMut::new();
        frames().iter().for_each(|frame| encode(frame, &mut bytes));
        bytes
    }

    #[test]
    fn frames_are_read_back() {
        let mut decoder = Decoder::default();
        decoder.buffer().extend_from_slice(&encoded());
        for wants in frames() {
            assert_eq!(decoder.decode(), Ok(Some(wants)));
        }
        assert_eq!(decoder.decode(), Ok(None));
    }

    #[test]
    fn bytes_may_come_one_by_one() {
        let (mut decoder, mut found) = (Decoder::default(), Vec::new());
        for byte in encoded() {
            decoder.buffer().put_u8(byte);
            while let Some(frame) = decoder.decode().unwrap() {
                found.push(frame);
            }
        }
        let letters: Vec<Frame> = b"hello"
            .iter()
            .map(|b| Frame::Data { id: 1, fin: *b == b'o', bytes: Bytes::copy_from_slice(&[*b]) })
            .collect();
        let mut wants = frames();
        wants.splice(7..8, letters);
        assert_eq!(found, wants);
    }

    fn refused(bytes: &[u8]) -> Fault {
        let mut decoder = Decoder::default();
        decoder.buffer().extend_from_slice(bytes);
        loop {
            match decoder.decode() {
                Err(fault) => return fault,
                Ok(frame) => assert!(frame.is_some(), "not refused"),
            }
        }
    }

    #[test]
    fn hostile_frames_are_refused_before_their_bytes_come() {
        assert_eq!(
            refused(&[0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff]),
            Fault::TooLarge { what: "control frame", bytes: 0xff_ffff }
        );
        assert_eq!(refused(&[0x80, 2, 0, 1, 0, 0, 0, 0]), Fault::Version(2));
        assert_eq!(refused(b"GET / HTTP/1.1\r\n".map(|b| b | 0x80).as_slice()), Fault::Version(0x47c5));
        assert_eq!(refused(&[0, 0, 0, 0, 0, 0, 0, 1, 9]), Fault::StreamId(0));
        assert_eq!(refused(&[0x80, 3, 0, 6, 0, 0, 0, 5, 0, 0, 0, 0, 0]), Fault::Length(6));
        assert_eq!(refused(&[0x80, 3, 0, 1, 0, 0, 0, 4, 0, 0, 0, 1]), Fault::Length(1));
        assert_eq!(refused(&[0x80, 3, 0, 3, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1]), Fault::StreamId(0));
    }

    #[test]
    fn unknown_control_frames_are_passed_over() {
        let mut decoder = Decoder::default();
        decoder.buffer().extend_from_slice(&[0x80, 3, 0, 99, 0, 0, 0, 2, 1, 2]);
        encode(&Frame::Ping(1), decoder.buffer());
        assert_eq!(decoder.decode(), Ok(Some(Frame::Ping(1))));
    }
}
