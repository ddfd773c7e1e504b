//! Taking a connection over for streams: what the client offers to speak, and the answer that grants it.

use super::answer::{Answer, Refusal};
use client::whole;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use wire::Version;
use wire::channel::{self, Protocol};
use wire::handshake::{self, SPDY, STREAM_VERSION, STREAM_VERSIONS_TAKEN, WEBSOCKET};

/// What is spoken on a connection once it is taken over.
#[derive(Clone, Copy, Debug)]
pub enum Speech {
    /// Streams of a command over SPDY.
    Spdy(&'static str, Version),
    /// Channels of a WebSocket.
    Channels(&'static Protocol),
    /// Port forwarding over SPDY.
    Forward,
    /// Port forwarding over SPDY inside a WebSocket.
    Tunnel,
}

fn values<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).flat_map(handshake::names).collect()
}

fn upgrade(headers: &HeaderMap) -> Result<&str, Refusal> {
    let wanted = values(headers, "connection").iter().any(|v| v.eq_ignore_ascii_case("upgrade"));
    let to = headers.get(header::UPGRADE).and_then(|v| v.to_str().ok()).filter(|_| wanted);
    to.ok_or_else(|| Refusal::new(400, "Upgrade request required"))
}

fn protocols(headers: &HeaderMap) -> Vec<&str> {
    values(headers, "sec-websocket-protocol")
}

/// What the streams of a command are carried by.
///
/// # Errors
/// 400 when no upgrade is asked for, 403 when nothing that is offered is spoken here.
pub fn command(headers: &HeaderMap) -> Result<Speech, Refusal> {
    if upgrade(headers)?.eq_ignore_ascii_case(WEBSOCKET) {
        let offered = protocols(headers);
        let chosen = channel::negotiate(&offered).ok_or_else(|| unknown(&offered, "channel.k8s.io of any version"))?;
        return Ok(Speech::Channels(chosen));
    }
    let offered = values(headers, STREAM_VERSION);
    let chosen = Version::negotiate(&offered);
    chosen.map(|(name, version)| Speech::Spdy(name, version)).ok_or_else(|| unknown(&offered, "v4.channel.k8s.io"))
}

/// What forwarded ports are carried by.
///
/// # Errors
/// As [`command`].
pub fn forward(headers: &HeaderMap) -> Result<Speech, Refusal> {
    if upgrade(headers)?.eq_ignore_ascii_case(WEBSOCKET) {
        let offered = protocols(headers);
        if offered.contains(&wire::tunnel::PORT_FORWARD) {
            return Ok(Speech::Tunnel);
        }
        // A channel cannot be closed in this protocol, as upstream has it.
        let known = |p: &&'static Protocol| !p.close && (p.status || p.name.is_empty());
        let chosen = channel::negotiate(&offered).filter(known);
        return chosen.map(Speech::Channels).ok_or_else(|| unknown(&offered, wire::tunnel::PORT_FORWARD));
    }
    let offered = values(headers, STREAM_VERSION);
    let spoken = offered.is_empty() || offered.contains(&wire::forward::PROTOCOL);
    if spoken { Ok(Speech::Forward) } else { Err(unknown(&offered, wire::forward::PROTOCOL)) }
}

fn unknown(offered: &[&str], spoken: &str) -> Refusal {
    let why = format!(
        "unable to upgrade: unable to negotiate protocol: client supports {offered:?}, server accepts {spoken}"
    );
    Refusal::new(403, why)
}

/// A refusal over SPDY also says in a header what would do, as older clients ask again by it.
pub fn refused(refusal: Refusal) -> Answer {
    let negotiation = refusal.code == 403;
    let mut answer = refusal.answer();
    if negotiation {
        let taken = Version::NAMES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        if let Ok(value) = HeaderValue::from_str(&taken) {
            answer.headers_mut().insert(HeaderName::from_static(STREAM_VERSIONS_TAKEN), value);
        }
    }
    answer
}

/// The answer that grants it.
///
/// # Errors
/// 400 when a WebSocket's key is missing.
pub fn granted(speech: Speech, headers: &HeaderMap) -> Result<Answer, Refusal> {
    let mut answer = http::Response::new(whole(""));
    *answer.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
    let out = answer.headers_mut();
    out.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    let socket = matches!(speech, Speech::Channels(_) | Speech::Tunnel);
    out.insert(header::UPGRADE, HeaderValue::from_static(if socket { WEBSOCKET } else { SPDY }));
    if socket {
        let key = headers.get(header::SEC_WEBSOCKET_KEY).and_then(|v| v.to_str().ok());
        let key = key.ok_or_else(|| Refusal::new(400, "Sec-WebSocket-Key is missing"))?;
        let accept = HeaderValue::from_str(&handshake::accept_key(key));
        out.insert(header::SEC_WEBSOCKET_ACCEPT, accept.map_err(|error| Refusal::new(500, error.to_string()))?);
    }
    let (named, name) = match speech {
        Speech::Spdy(name, _) => (HeaderName::from_static(STREAM_VERSION), name),
        Speech::Forward => (HeaderName::from_static(STREAM_VERSION), wire::forward::PROTOCOL),
        Speech::Channels(protocol) => (header::SEC_WEBSOCKET_PROTOCOL, protocol.name),
        Speech::Tunnel => (header::SEC_WEBSOCKET_PROTOCOL, wire::tunnel::PORT_FORWARD),
    };
    if !name.is_empty() {
        out.insert(named, HeaderValue::from_static(name));
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v))).collect()
    }

    const SOCKET: [(&str, &str); 3] =
        [("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")];

    fn socket(protocols: &'static str) -> HeaderMap {
        headers(&[&SOCKET[..], &[("sec-websocket-protocol", protocols)]].concat())
    }

    fn check(speech: Result<Speech, Refusal>, headers: &HeaderMap, field: &str) -> String {
        let answer = speech.and_then(|speech| granted(speech, headers));
        let text = |answer: Answer| answer.headers().get(field).map(|v| v.to_str().unwrap().to_owned());
        answer.map_or_else(|refusal| refusal.code.to_string(), |answer| text(answer).unwrap_or_default())
    }

    #[test]
    fn the_clients_first_known_protocol_is_granted() {
        let name = "sec-websocket-protocol";
        let offered = socket("v5.channel.k8s.io, v4.channel.k8s.io");
        assert_eq!(check(command(&offered), &offered, name), "v5.channel.k8s.io");
        assert_eq!(check(command(&offered), &offered, "sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let spdy = headers(&[
            ("connection", "Upgrade"),
            ("upgrade", "SPDY/3.1"),
            (STREAM_VERSION, "v9.channel.k8s.io, v3.channel.k8s.io"),
        ]);
        assert_eq!(check(command(&spdy), &spdy, STREAM_VERSION), "v3.channel.k8s.io");
        let chat = socket("chat");
        assert_eq!(check(command(&chat), &chat, name), "403");
        assert_eq!(check(command(&HeaderMap::new()), &HeaderMap::new(), name), "400");
    }

    #[test]
    fn ports_are_forwarded_over_spdy_a_tunnel_or_channels() {
        let name = "sec-websocket-protocol";
        let tunnel = socket("SPDY/3.1+portforward.k8s.io");
        assert_eq!(check(forward(&tunnel), &tunnel, name), "SPDY/3.1+portforward.k8s.io");
        let channels = socket("v4.channel.k8s.io");
        assert_eq!(check(forward(&channels), &channels, name), "v4.channel.k8s.io");
        let v5 = socket("v5.channel.k8s.io");
        assert_eq!(check(forward(&v5), &v5, name), "403");
        let spdy =
            headers(&[("connection", "upgrade"), ("upgrade", "SPDY/3.1"), (STREAM_VERSION, "portforward.k8s.io")]);
        assert_eq!(check(forward(&spdy), &spdy, STREAM_VERSION), "portforward.k8s.io");
    }
}
