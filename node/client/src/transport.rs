//! How a request reaches the API server: the one seam between a component and the server, in process or over HTTPS.
//!
//! It must not know any kind, verb or user: who asks is the transport's own business.

use bytes::Bytes;
use http_body_util::BodyExt;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;

/// What may go wrong while a body is read.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// An answer's body: frames as they come, so that a watch streams.
pub type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;

/// The future of one answer; it borrows the transport only.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<http::Response<Body>, TransportError>> + Send + 'a>>;

/// A way to the API server that speaks for one user.
///
/// Requests carry an origin-form target (`/api/v1/pods?limit=1`); a transport that needs a host adds it.
pub trait Transport: Send + Sync + 'static {
    /// Sends one request. The answer is there when its head is; the body may go on for long (watches).
    fn call(&self, request: http::Request<Bytes>) -> Answer<'_>;
}

/// The server did not answer at all. An answer with an error code is a `Status`, not this.
#[derive(Debug, thiserror::Error)]
#[error("{attempted}: {why}")]
pub struct TransportError {
    /// What was attempted, with the address.
    pub attempted: String,
    /// What stopped it.
    #[source]
    pub why: BoxError,
}

impl TransportError {
    /// A failure of something that was attempted.
    pub fn new(attempted: impl Into<String>, why: impl Into<BoxError>) -> TransportError {
        TransportError { attempted: attempted.into(), why: why.into() }
    }
}

/// A body that is there in whole.
pub fn whole(bytes: impl Into<Bytes>) -> Body {
    http_body_util::Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}
