//! GET as probes and lifecycle hooks do it: no proxy, no trust in certificates, redirects only within the same host.
//! Behaviour as upstream's `pkg/probe/http`.
//!
//! It must not know why it asks.

mod url;

use super::Outcome;
use super::port::resolve;
use super::tcp::connect;
use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, USER_AGENT};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction};
use rustls_pki_types::ServerName;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use url::Url;

/// Bytes of an answer that are read, upstream's 10 KiB; the rest is left unread.
pub const BODY_BYTES_MAX: usize = 10 << 10;
/// Redirects that are followed, as Go's client does.
pub const REDIRECTS_MAX: usize = 10;
/// How a probe names itself.
pub const PROBE: &str = "kube-probe/1.36";
/// How a lifecycle hook names itself.
pub const HOOK: &str = "kube-lifecycle/1.36";

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its code.
    pub code: u16,
    /// The beginning of its body.
    pub body: String,
}

/// Probes.
pub async fn probe(action: &HTTPGetAction, container: &Container, pod_ip: &str, timeout: Duration) -> Outcome {
    let ask = match Ask::new(action, container, pod_ip, PROBE) {
        Ok(ask) => ask,
        Err(text) => return Outcome::Error(text),
    };
    let first = ask.url.to_string();
    match tokio::time::timeout(timeout, ask.follow()).await {
        Ok(Ok(answer)) => judge(answer),
        Ok(Err(text)) => Outcome::Failure(format!("Get {first:?}: {text}")),
        Err(_) => {
            let why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
            Outcome::Failure(format!("Get {first:?}: {why}"))
        }
    }
}

/// Sends a lifecycle hook's request.
///
/// # Errors
/// When there was no answer in time, or one that is an error (upstream's hooks count codes from 400 on as such).
pub async fn hook(
    action: &HTTPGetAction,
    container: &Container,
    pod_ip: &str,
    timeout: Duration,
) -> Result<Answer, String> {
    let ask = Ask::new(action, container, pod_ip, HOOK)?;
    let answer = tokio::time::timeout(timeout, ask.follow()).await;
    let answer = answer.map_err(|_| format!("no answer within {timeout:?}"))??;
    if answer.code >= 400 { Err(format!("HTTP hook failed with statuscode: {}", answer.code)) } else { Ok(answer) }
}

fn judge(answer: Answer) -> Outcome {
    match answer.code {
        200..300 => Outcome::Success,
        300..400 => Outcome::Warning(format!("Probe terminated redirects, Response body: {}", answer.body)),
        // The body is not shown: it may be that of a machine that the user should not see into.
        code => Outcome::Failure(format!("HTTP probe failed with statuscode: {code}")),
    }
}

/// One request, and where it goes.
struct Ask {
    url: Url,
    headers: HeaderMap,
    /// What the `Host` header says, unless it is the address.
    host: Option<HeaderValue>,
}

impl Ask {
    fn new(action: &HTTPGetAction, container: &Container, pod_ip: &str, agent: &'static str) -> Result<Ask, String> {
        let scheme = action.scheme.as_deref().unwrap_or("HTTP").to_lowercase();
        let host = action.host.as_deref().filter(|h| !h.is_empty()).unwrap_or(pod_ip);
        let port = resolve(&action.port, container)?;
        let path = action.path.as_deref().unwrap_or_default();
        let url = Url { secure: scheme == "https", host: host.to_owned(), port: Some(port), path: url::path(path) };
        let mut headers = HeaderMap::new();
        for header in action.http_headers.iter().flatten() {
            let name = HeaderName::from_bytes(header.name.as_bytes());
            let name = name.map_err(|why| format!("httpHeaders: {:?}: {why}", header.name))?;
            let value = HeaderValue::from_bytes(header.value.as_bytes());
            headers.append(name, value.map_err(|why| format!("httpHeaders: {}: {why}", header.name))?);
        }
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(agent));
        match headers.get(ACCEPT).map(HeaderValue::is_empty) {
            None => drop(headers.insert(ACCEPT, HeaderValue::from_static("*/*"))),
            Some(true) => drop(headers.remove(ACCEPT)),
            Some(false) => (),
        }
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        let host = headers.remove(HOST);
        Ok(Ask { url, headers, host })
    }

    /// Asks, and asks again where it is sent within the same host.
    async fn follow(mut self) -> Result<Answer, String> {
        let first = self.url.host.clone();
        for _ in 0..REDIRECTS_MAX {
            let response = self.send().await?;
            let code = response.status().as_u16();
            let sent_on = matches!(code, 301 | 302 | 303 | 307 | 308);
            let to = response.headers().get(LOCATION).filter(|_| sent_on).and_then(|to| to.to_str().ok());
            match to.and_then(|to| self.url.join(to)) {
                Some(next) if next.host == first => {
                    self.url = next;
                    self.host = None;
                }
                _ => return Ok(Answer { code, body: beginning(response.into_body()).await? }),
            }
        }
        Err(format!("stopped after {REDIRECTS_MAX} redirects"))
    }

    async fn send(&self) -> Result<Response<Incoming>, String> {
        let stream = connect(&self.url.address()).await?;
        if !self.url.secure {
            return exchange(stream, self.request()?).await;
        }
        let name = ServerName::try_from(self.url.host.clone()).map_err(|why| why.to_string())?;
        let secured = trusting_anyone()?.connect(name, stream).await.map_err(|why| why.to_string())?;
        exchange(secured, self.request()?).await
    }

    fn request(&self) -> Result<Request<Empty<Bytes>>, String> {
        let mut request =
            Request::builder().uri(self.url.path.as_str()).body(Empty::new()).map_err(|e| e.to_string())?;
        *request.headers_mut() = self.headers.clone();
        let own = HeaderValue::from_str(&self.url.authority()).map_err(|e| e.to_string())?;
        request.headers_mut().insert(HOST, self.host.clone().unwrap_or(own));
        Ok(request)
    }
}

/// A container that is probed has a certificate that nobody signed; what is learnt is only whether it answers.
fn trusting_anyone() -> Result<TlsConnector, String> {
    static CONFIG: OnceLock<Arc<rustls::ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(TlsConnector::from(config.clone()));
    }
    let made = pki::tls::client_believing_anyone(None, &[b"http/1.1"]).map_err(|why| format!("{why:#}"))?;
    Ok(TlsConnector::from(CONFIG.get_or_init(|| Arc::new(made)).clone()))
}

async fn exchange<S>(stream: S, request: Request<Empty<Bytes>>) -> Result<Response<Incoming>, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let said = |why: hyper::Error| if why.is_incomplete_message() { "EOF".to_owned() } else { why.to_string() };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(said)?;
    // It ends with the answer, which says `Connection: close`, or when the body is dropped.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(said)
}

async fn beginning(mut body: Incoming) -> Result<String, String> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(|why| why.to_string())?.into_data() {
            bytes.extend_from_slice(&data);
        }
        if bytes.len() >= BODY_BYTES_MAX {
            bytes.truncate(BODY_BYTES_MAX);
            break;
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests;
