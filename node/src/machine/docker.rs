//! Docker from outside: `POST docker` with `{"request": "<PEM>"}`, a signing request, opens Docker's port and answers
//! `{"port", "certificate", "authority"}`, a certificate that is for Docker alone. `POST docker/build?…` builds an image:
//! query and body are those of Docker's own API, and so is the answer, as it comes.

use crate::docker::SOCKET;
use crate::docker::front::{self, Front, GROUP};
use anyhow::Context;
use api::Status;
use apiserver::machine::{Answer, BoxError, Request, Route};
use apiserver::reply;
use http::Method;
use http::header::{CONTENT_TYPE, HOST, HeaderValue};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use pki::csr::SigningRequest;
use pki::{AuthorityName, Pki};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::net::UnixStream;

/// Bytes of a signing request of one key; it has about 500.
const REQUEST_BYTES_MAX: usize = 16 << 10;
/// The user of the certificates.
const USER: &str = "skerry-docker";

/// Every path.
pub fn routes(pki: Arc<Pki>, front: &Front) -> Vec<Route> {
    let front = front.clone();
    let open = Route::new(Method::POST, "docker", move |request| open(pki.clone(), front.clone(), request));
    vec![open, Route::new(Method::POST, "docker/build", build)]
}

#[derive(Deserialize)]
struct Asked {
    request: String,
}

async fn open(pki: Arc<Pki>, front: Front, request: Request) -> Answer {
    is_there()?;
    let body = request.whole(REQUEST_BYTES_MAX).await?;
    let asked: Asked = serde_json::from_slice(&body)
        .map_err(|error| Status::bad_request(format!("the body is {{\"request\"}}: {error}")))?;
    let signing = SigningRequest::from_pem(asked.request.as_bytes())
        .map_err(|error| Status::bad_request(format!("request: {error:#}")))?;
    let failed = |error: anyhow::Error| Status::internal(format!("{error:#}"));
    front.open().await.map_err(failed)?;
    let authority = pki.authority(AuthorityName::Cluster);
    let certificate = signing.sign_as(&authority, USER, &[GROUP], SystemTime::now()).map_err(failed)?;
    let answer = json!({
        "port": front::PORT,
        "certificate": certificate,
        "authority": authority.certificate_pem(),
    });
    Ok(reply::json(201, answer.to_string()))
}

/// An image without Docker, or a machine that was told to leave it out, has no socket.
fn is_there() -> Result<(), Status> {
    if std::path::Path::new(SOCKET).exists() {
        return Ok(());
    }
    let why = "this machine has no Docker: its image was built --without-docker, or skerry.docker.enabled is no";
    Err(Status::new(404, "NotFound", why))
}

/// The body is as long as the folder that is built, and nobody needs it whole: it goes on as it comes.
async fn build(request: Request) -> Answer {
    is_there()?;
    let failed = |error: anyhow::Error| Status::new(503, "ServiceUnavailable", format!("{error:#}"));
    let answer = pass(request).await.map_err(failed)?;
    let (parts, body) = answer.into_parts();
    let body = body.map_err(|error| Box::new(error) as BoxError).boxed_unsync();
    let media_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("text/plain");
    Ok(reply::with_type(parts.status.as_u16(), media_type, body))
}

async fn pass(request: Request) -> anyhow::Result<http::Response<hyper::body::Incoming>> {
    let docker = UnixStream::connect(SOCKET).await.with_context(|| format!("connecting to {SOCKET}"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(docker)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a build's connection ended");
        }
    });
    let query = request.parts.uri.query().unwrap_or_default();
    let mut onward = http::Request::post(format!("/build?{query}")).header(HOST, HeaderValue::from_static("docker"));
    if let Some(value) = request.parts.headers.get(CONTENT_TYPE) {
        onward = onward.header(CONTENT_TYPE, value);
    }
    sender.send_request(onward.body(request.body)?).await.context("talking to dockerd")
}
