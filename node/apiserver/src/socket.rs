//! Bytes that come without end, as messages of a WebSocket: logs, and watches for browsers, which keep only a few plain
//! connections to one address.

use crate::reply::{Body, full};
use api::Status;
use bytes::Bytes;
use futures_util::Stream;
use http::header::{self, HeaderMap, HeaderValue};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

/// A connection to take over for a WebSocket.
pub struct Socket {
    connection: OnUpgrade,
    protocol: &'static str,
    base64: bool,
    accept: HeaderValue,
}

fn offered(headers: &HeaderMap) -> Vec<&str> {
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(wire::handshake::names).collect()
}

/// Whether a request wants a WebSocket.
pub fn is_wanted(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(header::UPGRADE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let mut connection = headers.get_all(header::CONNECTION).iter().filter_map(|v| v.to_str().ok());
    connection.any(|value| value.to_ascii_lowercase().contains("upgrade"))
        && upgrade.eq_ignore_ascii_case(wire::handshake::WEBSOCKET)
}

/// Whether it names a protocol that carries bytes.
pub fn carries_bytes(headers: &HeaderMap) -> bool {
    let offered = offered(headers);
    !offered.is_empty() && wire::reader::negotiate(&offered).is_some()
}

impl Socket {
    /// Takes the connection of a request that wants a WebSocket and can be given one.
    ///
    /// # Errors
    /// 400 for protocols that are not spoken, and without a key.
    pub fn take(parts: &mut http::request::Parts) -> Result<Option<Socket>, Status> {
        if !is_wanted(&parts.headers) {
            return Ok(None);
        }
        let Some(connection) = parts.extensions.remove::<OnUpgrade>() else { return Ok(None) };
        let offered = offered(&parts.headers);
        let (protocol, base64) = wire::reader::negotiate(&offered)
            .ok_or_else(|| Status::bad_request(format!("no WebSocket protocol of {offered:?} is spoken here")))?;
        let key = parts.headers.get(header::SEC_WEBSOCKET_KEY).and_then(|v| v.to_str().ok());
        let key = key.ok_or_else(|| Status::bad_request("Sec-WebSocket-Key is missing"))?;
        let accept = HeaderValue::from_str(&wire::handshake::accept_key(key)).map_err(Status::internal)?;
        Ok(Some(Socket { connection, protocol, base64, accept }))
    }

    /// The answer that begins the WebSocket; what `source` gives follows.
    pub fn carry<S, E>(self, source: S) -> http::Response<Body>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
    {
        let mut answer = http::Response::new(full(""));
        *answer.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
        answer.headers_mut().insert(header::SEC_WEBSOCKET_ACCEPT, self.accept);
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        answer.headers_mut().insert(header::UPGRADE, HeaderValue::from_static(wire::handshake::WEBSOCKET));
        if !self.protocol.is_empty() {
            answer.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(self.protocol));
        }
        let (connection, base64) = (self.connection, self.base64);
        tokio::spawn(async move {
            let sent = match connection.await {
                Ok(connection) => wire::reader::send(TokioIo::new(connection), base64, source).await,
                Err(error) => Err(error.into()),
            };
            if let Err(error) = sent {
                tracing::debug!(error = format!("{error:#}"), "a stream over a WebSocket broke off");
            }
        });
        answer
    }
}
