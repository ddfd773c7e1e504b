//! gRPC as it is on HTTP/2: one message in a body, and failures. Enough to look into the calls that are ours to judge;
//! all others pass unread. See the protocol's own text, `PROTOCOL-HTTP2.md` of the grpc project.

use anyhow::{Context, Result, anyhow, bail};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::body::Incoming;
use prost::Message;
use std::convert::Infallible;

/// A body on its way.
pub type Body = UnsyncBoxBody<Bytes, hyper::Error>;

/// The call is refused for the state that things are in.
pub const FAILED_PRECONDITION: u32 = 9;
/// The other side has failed.
pub const INTERNAL: u32 = 13;
/// The other side cannot be reached now.
pub const UNAVAILABLE: u32 = 14;

/// A flag and a length go before each message.
const PREFIX: usize = 5;

/// A body with its one message, read whole.
pub struct Whole {
    /// All bytes, with the prefix.
    pub bytes: Bytes,
    /// What follows them.
    pub trailers: Option<HeaderMap>,
}

impl Whole {
    /// Reads a body of at most `bytes_max` bytes.
    ///
    /// # Errors
    /// When it is longer or breaks off.
    pub async fn read(body: Incoming, bytes_max: usize) -> Result<Whole> {
        let collected = Limited::new(body, bytes_max).collect().await.map_err(|error| anyhow!(error))?;
        let trailers = collected.trailers().cloned();
        Ok(Whole { bytes: collected.to_bytes(), trailers })
    }

    /// Its message.
    ///
    /// # Errors
    /// When it is none, or a compressed one: neither side of ours compresses.
    pub fn message<M: Message + Default>(&self) -> Result<M> {
        let [flag, a, b, c, d] = *self.bytes.first_chunk::<PREFIX>().context("no message")?;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if flag != 0 || self.bytes.len() != PREFIX + length {
            bail!("not one plain message");
        }
        M::decode(&self.bytes[PREFIX..]).context("decoding a message")
    }

    /// The body as it came.
    pub fn again(self) -> Body {
        let trailers = self.trailers;
        let full = Full::new(self.bytes).with_trailers(async move { trailers.map(Ok) });
        full.map_err(never).boxed_unsync()
    }
}

/// No error can come out of bytes that are there.
fn never(nothing: Infallible) -> hyper::Error {
    match nothing {}
}

/// A message with its prefix.
pub fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(PREFIX + length);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(length).expect("what was read within a limit is shorter"));
    message.encode(&mut bytes).expect("a buffer that grows takes everything");
    bytes.freeze()
}

/// An answer that is a success.
pub fn answer(message: &impl Message) -> Response<Body> {
    let trailers =
        HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
    let whole = Whole { bytes: framed(message), trailers: Some(trailers) };
    with_type(whole.again())
}

/// An answer that is a failure.
pub fn failure(code: u32, message: &str) -> Response<Body> {
    let mut response = with_type(Empty::new().map_err(never).boxed_unsync());
    let headers = response.headers_mut();
    headers.insert("grpc-status", HeaderValue::from(code));
    let escaped: String = message
        .bytes()
        .map(|byte| match byte {
            b' '..=b'~' if byte != b'%' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect();
    headers.insert("grpc-message", HeaderValue::try_from(escaped).expect("only printable letters are left"));
    response
}

fn with_type(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use containerd_client::services::v1::DeleteImageRequest;

    #[test]
    fn a_message_comes_out_as_it_went_in() {
        let message = DeleteImageRequest { name: "a:1".to_owned(), sync: true, target: None };
        let whole = Whole { bytes: framed(&message), trailers: None };
        assert_eq!(whole.message::<DeleteImageRequest>().unwrap(), message);
        for wrong in [&b""[..], &[1, 0, 0, 0, 0], &[0, 0, 0, 0, 9, 1]] {
            let whole = Whole { bytes: Bytes::copy_from_slice(wrong), trailers: None };
            assert!(whole.message::<DeleteImageRequest>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_failure_says_why_in_letters_that_headers_take() {
        let response = failure(FAILED_PRECONDITION, "100 % ä\n");
        assert_eq!(response.headers()["grpc-status"], "9");
        assert_eq!(response.headers()["grpc-message"], "100 %25 %C3%A4%0A");
    }
}
