//! Answers of the kubelet's API: texts, JSON, streams, refusals.

use bytes::Bytes;
use client::{Body, BoxError, whole};
use http::header::{CONTENT_TYPE, HeaderValue};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::sync::mpsc;

/// An answer.
pub type Answer = http::Response<Body>;

/// Why a request is not answered as asked. The kubelet says so in plain text, as upstream's does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP's code.
    pub code: u16,
    /// What the client reads.
    pub message: String,
}

impl Refusal {
    /// A refusal.
    pub fn new(code: u16, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into() }
    }

    /// The refusal as an answer.
    #[must_use]
    pub fn answer(self) -> Answer {
        let mut answer = text(self.message);
        *answer.status_mut() = http::StatusCode::from_u16(self.code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
        answer
    }
}

fn with_type(kind: &'static str, body: Body) -> Answer {
    let mut answer = http::Response::new(body);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// Plain text.
pub fn text(text: impl Into<String>) -> Answer {
    with_type("text/plain; charset=utf-8", whole(text.into()))
}

/// Metrics in Prometheus' text form.
pub fn metrics(text: String) -> Answer {
    with_type(::metrics::MEDIA_TYPE, whole(text))
}

/// JSON.
pub fn json(value: &serde_json::Value) -> Answer {
    with_type("application/json", whole(value.to_string()))
}

/// Chunks as they come.
pub fn stream(kind: &'static str, chunks: mpsc::Receiver<anyhow::Result<Bytes>>) -> Answer {
    let frames = futures_util::stream::unfold(chunks, |mut chunks| async move {
        let chunk = chunks.recv().await?;
        Some((chunk.map(Frame::data).map_err(BoxError::from), chunks))
    });
    with_type(kind, StreamBody::new(frames).boxed_unsync())
}
