//! Passing requests and connections on: which headers go along, and the bytes of an upgraded connection.

use crate::browser;
use crate::outgoing::Target;
use crate::reply::{Body, BoxError, full};
use crate::serve::Peer;
use crate::server::Server;
use api::Status;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http_body_util::BodyExt;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy, split};
use tokio_util::sync::CancellationToken;

/// How long the second direction of a connection may go on when the first has ended: time for what is under way.
const LINGER_MAX: Duration = Duration::from_secs(10);
/// What carries a token or a session where a header cannot be set; it is for us and nobody behind us.
const CREDENTIAL_PROTOCOLS: [&str; 2] = ["base64url.bearer.authorization.k8s.io.", browser::PAGE_PROTOCOL];
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Headers that belong to one connection, not to the request.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// Whether a request wants its connection for something else.
pub fn wants_upgrade(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|v| v.to_str().ok());
    values.into_iter().any(|v| v.to_ascii_lowercase().contains("upgrade"))
}

/// The headers of a request as they are passed on: without credentials, with the client's address.
pub fn headers(parts: &http::request::Parts) -> HeaderMap {
    let mut headers = parts.headers.clone();
    headers.remove(header::AUTHORIZATION);
    let theirs: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("impersonate-")).cloned().collect();
    for name in theirs {
        headers.remove(name);
    }
    without_credentials(&mut headers);
    browser::strip(&mut headers);
    if let Some(Peer(address)) = parts.extensions.get::<Peer>() {
        let before = headers.get(FORWARDED_FOR).and_then(|v| v.to_str().ok()).map(|v| format!("{v}, "));
        let value = format!("{}{}", before.unwrap_or_default(), address.ip().to_canonical());
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(FORWARDED_FOR, value);
        }
    }
    if let (false, Some(authority)) = (headers.contains_key(header::HOST), parts.uri.authority())
        && let Ok(value) = HeaderValue::from_str(authority.as_str())
    {
        headers.insert(header::HOST, value);
    }
    headers
}

fn without_credentials(headers: &mut HeaderMap) {
    let offered: Vec<String> = headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(wire::handshake::names)
        .map(str::to_owned)
        .collect();
    let is_credential = |name: &str| CREDENTIAL_PROTOCOLS.iter().any(|start| name.starts_with(start));
    if offered.iter().any(|name| is_credential(name)) {
        headers.remove(header::SEC_WEBSOCKET_PROTOCOL);
        let kept: Vec<&str> = offered.iter().map(String::as_str).filter(|name| !is_credential(name)).collect();
        if let (false, Ok(value)) = (kept.is_empty(), HeaderValue::from_str(&kept.join(", "))) {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, value);
        }
    }
}

/// Takes out what belongs to one connection, the headers that `Connection` names among it.
pub fn end_to_end(headers: &mut HeaderMap) {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|v| v.to_str().ok());
    let named: Vec<HeaderName> =
        values.flat_map(wire::handshake::names).filter_map(|name| HeaderName::try_from(name).ok()).collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// A body from elsewhere as a body of ours.
pub fn body(incoming: hyper::body::Incoming) -> Body {
    incoming.map_err(|error| Box::new(error) as BoxError).boxed_unsync()
}

/// Sends an upgrade to `target` and joins the two connections when it is granted; a refusal is passed on.
///
/// # Errors
/// 500 when the target cannot be reached or answers with neither.
pub async fn upgrade(
    server: &Server,
    target: &Target,
    uri: &str,
    mut parts: http::request::Parts,
    incoming: Body,
) -> Result<http::Response<Body>, Status> {
    let failed = |why: String| Status::new(500, "", why);
    let headers = headers(&parts);
    let client = parts.extensions.remove::<OnUpgrade>();
    let client = client.ok_or_else(|| failed("request connection cannot be hijacked".to_owned()))?;
    let mut request = http::Request::new(incoming);
    *request.method_mut() = parts.method;
    *request.uri_mut() = uri.parse().map_err(|_| Status::bad_request(format!("{uri:?} is no path")))?;
    *request.headers_mut() = headers;
    let answer = server.outgoing.send(target, request).await;
    let mut answer = answer.map_err(|why| failed(format!("error dialing backend: {why}")))?;
    if answer.status() == http::StatusCode::SWITCHING_PROTOCOLS {
        let backend = hyper::upgrade::on(&mut answer);
        tokio::spawn(join(client, backend, server.stopping.clone()));
        return Ok(answer.map(|_| full("")));
    }
    if answer.status().as_u16() < 400 {
        return Err(failed(format!("invalid upgrade response: status code {}", answer.status().as_u16())));
    }
    let mut answer = answer.map(body);
    end_to_end(answer.headers_mut());
    Ok(answer)
}

async fn join(client: OnUpgrade, backend: OnUpgrade, stopping: CancellationToken) {
    match tokio::try_join!(client, backend) {
        Ok((client, backend)) => copy_both(TokioIo::new(client), TokioIo::new(backend), stopping).await,
        Err(error) => tracing::debug!(%error, "a connection could not be taken over"),
    }
}

async fn copy_both<A, B>(client: A, backend: B, stopping: CancellationToken)
where
    A: AsyncRead + AsyncWrite,
    B: AsyncRead + AsyncWrite,
{
    let ((mut from_client, mut to_client), (mut from_backend, mut to_backend)) = (split(client), split(backend));
    let up = async {
        copy(&mut from_client, &mut to_backend).await?;
        to_backend.shutdown().await
    };
    let down = async {
        copy(&mut from_backend, &mut to_client).await?;
        to_client.shutdown().await
    };
    tokio::pin!(up, down);
    let ended = tokio::select! {
        first = &mut up => first.and(tokio::time::timeout(LINGER_MAX, down).await.unwrap_or(Ok(()))),
        first = &mut down => first.and(tokio::time::timeout(LINGER_MAX, up).await.unwrap_or(Ok(()))),
        () = stopping.cancelled() => Ok(()),
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection that was passed on broke");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(pairs: &[(&str, &str)]) -> http::request::Parts {
        let mut request = http::Request::builder().uri("/x");
        for (name, value) in pairs {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        parts.extensions.insert(Peer("192.0.2.7:999".parse().unwrap()));
        parts
    }

    #[test]
    fn credentials_stay_here_and_the_clients_address_goes_along() {
        let passed = headers(&parts(&[
            ("authorization", "Bearer x"),
            ("impersonate-user", "eve"),
            ("impersonate-extra-a", "b"),
            ("sec-websocket-protocol", "base64url.bearer.authorization.k8s.io.YWJj, v4.channel.k8s.io"),
            ("x-forwarded-for", "10.0.0.1"),
            ("accept", "text/plain"),
        ]));
        let text = |name: &str| passed.get(name).and_then(|v| v.to_str().ok());
        assert_eq!(text("authorization"), None);
        assert_eq!(text("impersonate-user"), None);
        assert_eq!(text("impersonate-extra-a"), None);
        assert_eq!(text("sec-websocket-protocol"), Some("v4.channel.k8s.io"));
        assert_eq!(text("x-forwarded-for"), Some("10.0.0.1, 192.0.2.7"));
        assert_eq!(text("accept"), Some("text/plain"));
    }

    #[test]
    fn headers_of_one_connection_end_here() {
        let mut headers =
            parts(&[("connection", "x-own, close"), ("x-own", "1"), ("te", "trailers"), ("a", "b")]).headers;
        end_to_end(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn an_upgrade_is_asked_for_in_any_case() {
        assert!(wants_upgrade(&parts(&[("connection", "keep-alive, Upgrade")]).headers));
        assert!(!wants_upgrade(&parts(&[("connection", "keep-alive")]).headers));
    }
}
