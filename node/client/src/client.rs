//! `Client`: one user's way to the API server, and the one place where a request becomes an answer or a `Status`.
//!
//! It must not know any kind; [`Api`] adds the verbs.

use crate::decode::lenient;
use crate::resource::{Object, ResourceRef};
use crate::transport::{Body, Transport, TransportError};
use crate::verbs::Api;
use api::{Status, Tree};
use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue, USER_AGENT};
use http_body_util::BodyExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of one whole answer. A page of 500 objects of 1.5 MB would not fit; such a page is asked for in parts.
pub const ANSWER_BYTES_MAX: usize = 256 << 20;

/// How often a request is repeated that the server put off (429, or 503 with a time), as client-go does.
pub const PUT_OFF_RETRIES_MAX: u32 = 10;

/// Seconds that a server's wish to wait is followed at most; longer waits are the caller's business.
pub const PUT_OFF_SECONDS_MAX: u32 = 30;

/// Plain JSON, in both directions.
pub(crate) const JSON: &str = "application/json";

/// One user's way to the API server. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    transport: Arc<dyn Transport>,
    user_agent: HeaderValue,
}

/// A request before it is bytes.
pub(crate) struct Request<'a> {
    pub method: http::Method,
    pub path: String,
    pub query: String,
    pub accept: &'a str,
    pub content_type: &'a str,
    pub body: Bytes,
}

impl<'a> Request<'a> {
    pub fn new(method: http::Method, path: String) -> Request<'a> {
        Request { method, path, query: String::new(), accept: JSON, content_type: "", body: Bytes::new() }
    }

    pub fn query(mut self, query: String) -> Request<'a> {
        self.query = query;
        self
    }

    pub fn accept(mut self, accept: &'a str) -> Request<'a> {
        self.accept = accept;
        self
    }

    pub fn body(mut self, content_type: &'a str, value: &impl Serialize) -> Result<Request<'a>, Status> {
        let bytes = serde_json::to_vec(value)
            .map_err(|why| Status::internal(format!("encoding the body of {} {}: {why}", self.method, self.path)))?;
        self.body = Bytes::from(bytes);
        self.content_type = content_type;
        Ok(self)
    }
}

impl Client {
    /// A client over a transport. `user_agent` names the component, `skerry/controllers` for example.
    #[must_use]
    pub fn new(transport: Arc<dyn Transport>, user_agent: &str) -> Client {
        let user_agent = HeaderValue::from_str(user_agent).unwrap_or(HeaderValue::from_static("skerry"));
        Client { transport, user_agent }
    }

    /// The verbs on a built-in kind.
    #[must_use]
    pub fn of<T: Object>(&self) -> Api<T> {
        Api::new(self.clone(), ResourceRef::of::<T>())
    }

    /// The verbs on any resource; `T` is `Tree`, `Partial`, or whatever decodes from it.
    #[must_use]
    pub fn on<T: DeserializeOwned>(&self, resource: ResourceRef) -> Api<T> {
        Api::new(self.clone(), resource)
    }

    /// GETs any path, as discovery does.
    ///
    /// # Errors
    /// The server's `Status`, or 503 when it did not answer.
    pub async fn get_path<T: DeserializeOwned>(&self, path: &str, accept: &str) -> Result<T, Status> {
        self.call(Request::new(http::Method::GET, path.to_owned()).accept(accept)).await
    }

    /// GETs a path whose answer is text, as a log is.
    ///
    /// # Errors
    /// As [`Client::get_path`]. What is no UTF-8 becomes the replacement character.
    pub async fn get_text(&self, path: &str) -> Result<String, Status> {
        let bytes = self.bytes(Request::new(http::Method::GET, path.to_owned()).accept("*/*")).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn call<T: DeserializeOwned>(&self, request: Request<'_>) -> Result<T, Status> {
        let what = format!("{} {}", request.method, request.path);
        let bytes = self.bytes(request).await?;
        lenient(&bytes).map_err(|why| Status::internal(format!("decoding the answer of {what}: {why}")))
    }

    /// Sends a request and reads the whole answer, undecoded.
    pub(crate) async fn bytes(&self, request: Request<'_>) -> Result<Bytes, Status> {
        let what = format!("{} {}", request.method, request.path);
        let mut put_off = 0;
        loop {
            let failure = match self.open(&request).await {
                Ok(body) => return read(body, &what).await,
                Err(status) => status,
            };
            let wait = failure.retry_after_seconds;
            let may_wait = matches!(failure.code, 429 | 503) && (1..=PUT_OFF_SECONDS_MAX).contains(&wait);
            if !may_wait || put_off == PUT_OFF_RETRIES_MAX {
                return Err(failure);
            }
            put_off += 1;
            tokio::time::sleep(Duration::from_secs(u64::from(wait))).await;
        }
    }

    /// Sends a request; the answer's body is still to be read. Error answers are read and become a `Status`.
    pub(crate) async fn open(&self, request: &Request<'_>) -> Result<Body, Status> {
        let what = format!("{} {}", request.method, request.path);
        let target = match request.query.as_str() {
            "" => request.path.clone(),
            query => format!("{}?{query}", request.path),
        };
        let mut head =
            http::Request::builder().method(request.method.clone()).uri(target).header(USER_AGENT, &self.user_agent);
        head = head.header(ACCEPT, request.accept);
        if !request.content_type.is_empty() {
            head = head.header(CONTENT_TYPE, request.content_type);
        }
        let whole = head.body(request.body.clone()).map_err(|why| Status::bad_request(format!("{what}: {why}")))?;
        let answer = self.transport.call(whole).await.map_err(|why| unanswered(&what, &why))?;
        let (head, body) = answer.into_parts();
        if head.status.is_success() {
            return Ok(body);
        }
        let bytes = read(body, &what).await?;
        Err(failure(&what, head.status.as_u16(), &head.headers, &bytes))
    }
}

fn unanswered(what: &str, why: &TransportError) -> Status {
    let mut text = format!("{what}: {why}");
    let mut source: Option<&(dyn Error + 'static)> = why.why.source();
    while let Some(deeper) = source {
        text.push_str(&format!(": {deeper}"));
        source = deeper.source();
    }
    Status::unavailable(text)
}

async fn read(mut body: Body, what: &str) -> Result<Bytes, Status> {
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|why| Status::unavailable(format!("reading the answer of {what}: {why}")))?;
        if let Ok(data) = frame.into_data() {
            all.extend_from_slice(&data);
        }
        if all.len() > ANSWER_BYTES_MAX {
            return Err(Status::too_large(format!("the answer of {what} has more than {ANSWER_BYTES_MAX} bytes")));
        }
    }
    Ok(all.freeze())
}

/// The `Status` in an error answer; one made from the code when a proxy, say, answered something else.
fn failure(what: &str, code: u16, headers: &http::HeaderMap, bytes: &[u8]) -> Status {
    let said = Tree::from_json(bytes).ok().map(|decoded| decoded.tree);
    let mut status = match said {
        Some(tree) if tree.str_at(&["kind"]) == Some("Status") => Status::from_tree(&tree),
        _ => {
            let text = String::from_utf8_lossy(&bytes[..bytes.len().min(512)]).into_owned();
            Status::new(code, "", format!("{what}: the server answered {code}: {text}"))
        }
    };
    if status.retry_after_seconds == 0 {
        let asked = headers.get(http::header::RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
        status.retry_after_seconds = asked.unwrap_or(0);
    }
    status
}
