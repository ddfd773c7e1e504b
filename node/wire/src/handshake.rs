//! The words of an upgrade: which header says what, and how a WebSocket's key is answered. It reads texts and knows no
//! HTTP library.

/// The token of SPDY in `Upgrade`.
pub const SPDY: &str = "SPDY/3.1";
/// The token of a WebSocket in `Upgrade`.
pub const WEBSOCKET: &str = "websocket";
/// The header that offers versions of the stream protocol over SPDY, and answers with the one that was chosen.
pub const STREAM_VERSION: &str = "x-stream-protocol-version";
/// The header of a refusal that lists the versions that would do.
pub const STREAM_VERSIONS_TAKEN: &str = "x-accepted-stream-protocol-versions";

/// The answer to `Sec-WebSocket-Key`.
#[must_use]
pub fn accept_key(key: &str) -> String {
    tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes())
}

/// The names of a comma-separated header.
pub fn names(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_rfc_6455_gets_its_answer() {
        assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn names_are_read_without_blanks() {
        assert_eq!(
            names(" v5.channel.k8s.io,v4.channel.k8s.io ,").collect::<Vec<_>>(),
            ["v5.channel.k8s.io", "v4.channel.k8s.io"]
        );
    }
}
