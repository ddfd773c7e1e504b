//! Images without a registry: loads, the list, and removal. The steps are told in `kubelet::images`; here they are paths.
//!
//! `POST images/missing` with `{"blobs":[{"digest","size"}]}` gives `{"load","missing":[{"digest","offset"}]}`;
//! `PUT images/blobs/DIGEST?load=&size=&offset=` takes one blob; or, when the question had `"window":true` and the answer
//! has `"window":{"places":[{"at","length"}]}`, `POST images/pieces` with `{"load","serial","pieces","manifest"}` takes what
//! was written there. `POST images` with `{"load","names","manifest"}` makes the image.
//!
//! `GET images` lists; `DELETE images/NAME` removes; `GET images/contents/NAME` says what an image is made of,
//! `GET images/blobs/DIGEST` gives one part; `POST images/tags` with `{"source","name"}` gives an image one more name;
//! `POST images/pulls` with `{"name"}` has it pulled.

use api::Status;
use apiserver::machine::{Answer, BoxError, Request, Route};
use apiserver::reply;
use futures_util::StreamExt;
use http::Method;
use http::header::CONTENT_LENGTH;
use http_body_util::{BodyDataStream, BodyExt, StreamBody};
use hyper::body::Frame;
use kubelet::images::{Arrived, Blob, Digest, Fault, Images, Load, Target};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::future::Future;

/// Bytes of a question or of the last step: 512 blobs of some 120 bytes, and names.
const QUESTION_BYTES_MAX: usize = 256 << 10;
/// When to come again after the container engine did not answer, seconds: it restarts in less.
const RETRY_SECONDS: u32 = 2;

/// Every path.
pub fn routes(images: &Images) -> Vec<Route> {
    vec![
        route(images, Method::POST, "images/missing", missing),
        route(images, Method::PUT, "images/blobs/", ingest),
        route(images, Method::POST, "images/pieces", pieces),
        route(images, Method::POST, "images", finish),
        route(images, Method::GET, "images", list),
        route(images, Method::GET, "images/contents/", contents),
        route(images, Method::GET, "images/blobs/", blob),
        route(images, Method::POST, "images/tags", tag),
        route(images, Method::POST, "images/pulls", pull),
        route(images, Method::DELETE, "images/", remove),
    ]
}

fn route<F>(images: &Images, method: Method, path: &'static str, run: fn(Images, Request) -> F) -> Route
where
    F: Future<Output = Answer> + Send + 'static,
{
    let images = images.clone();
    Route::new(method, path, move |request| run(images.clone(), request))
}

#[derive(Deserialize)]
struct Question {
    blobs: Vec<Blob>,
    /// Whether the caller can write to this machine's disk, and would rather do that.
    #[serde(default)]
    window: bool,
}

async fn missing(images: Images, request: Request) -> Answer {
    let question: Question = parse(request).await?;
    let begun = match question.window {
        true => images.begin_at_hand(&question.blobs).await,
        false => images.begin(&question.blobs).await,
    };
    said(&begun.map_err(status)?)
}

async fn pieces(images: Images, request: Request) -> Answer {
    let arrived: Arrived = parse(request).await?;
    images.arrive(arrived).await.map_err(status)?;
    said(&json!({}))
}

async fn ingest(images: Images, request: Request) -> Answer {
    let Request { parts, rest, query, body, .. } = request;
    let number = |key: &str| -> Result<u64, Status> {
        let value = query.number(key)?.unwrap_or(0);
        u64::try_from(value).map_err(|_| Status::bad_request(format!("{key}: {value} is less than 0")))
    };
    let (size, offset) = (number("size")?, number("offset")?);
    let length = parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| offset.checked_add(length) != Some(size)) {
        let message = format!("size: the body does not end at byte {size} when it begins at byte {offset}");
        return Err(Status::bad_request(message));
    }
    let load = Load::parse(query.text("load").unwrap_or_default()).map_err(status)?;
    let blob = Blob { digest: Digest::parse(&rest).map_err(status)?, size };
    images.ingest(&load, &blob, offset, BodyDataStream::new(body)).await.map_err(status)?;
    said(&json!({ "digest": blob.digest }))
}

async fn finish(images: Images, request: Request) -> Answer {
    let target: Target = parse(request).await?;
    let finished = images.finish(&target).await.map_err(status)?;
    tracing::info!(image = %finished.id, names = ?finished.names, "an image was loaded");
    said(&finished)
}

async fn list(images: Images, _: Request) -> Answer {
    said(&json!({ "images": images.list().await.map_err(status)? }))
}

async fn contents(images: Images, request: Request) -> Answer {
    said(&images.contents(&request.rest).await.map_err(status)?)
}

async fn blob(images: Images, request: Request) -> Answer {
    let digest = Digest::parse(&request.rest).map_err(status)?;
    let pieces = images.blob(&digest).await.map_err(status)?;
    let pieces = pieces.ok_or_else(|| status(Fault::NotFound(format!("no blob {digest}"))))?;
    let frames = pieces.map(|piece| piece.map(Frame::data).map_err(|fault| Box::new(fault) as BoxError));
    Ok(reply::with_type(200, "application/octet-stream", StreamBody::new(frames).boxed_unsync()))
}

#[derive(Deserialize)]
struct Tag {
    source: String,
    name: String,
}

async fn tag(images: Images, request: Request) -> Answer {
    let Tag { source, name } = parse(request).await?;
    let name = images.tag(&source, &name).await.map_err(status)?;
    said(&json!({ "name": name }))
}

#[derive(Deserialize)]
struct Pull {
    name: String,
}

async fn pull(images: Images, request: Request) -> Answer {
    let Pull { name } = parse(request).await?;
    let id = images.pull(&name).await.map_err(status)?;
    said(&json!({ "id": id }))
}

async fn remove(images: Images, request: Request) -> Answer {
    let removed = images.remove(&request.rest).await.map_err(status)?;
    tracing::info!(image = request.rest, ?removed, "an image was removed");
    said(&json!({ "removed": removed }))
}

async fn parse<T: DeserializeOwned>(request: Request) -> Result<T, Status> {
    let body = request.whole(QUESTION_BYTES_MAX).await?;
    serde_json::from_slice(&body).map_err(|error| Status::bad_request(format!("the body: {error}")))
}

fn said(answer: &impl Serialize) -> Answer {
    let bytes = serde_json::to_vec(answer).map_err(|error| Status::internal(format!("writing an answer: {error}")))?;
    Ok(reply::json(200, bytes))
}

/// A fault as the API reports it.
fn status(fault: Fault) -> Status {
    let text = fault.to_string();
    match fault {
        Fault::Invalid { field, message } => Status::bad_request(text).because("FieldValueInvalid", message, field),
        Fault::NotFound(_) => Status::new(404, "NotFound", text),
        Fault::Conflict(_) => Status::new(409, "Conflict", text),
        Fault::Unavailable { .. } => Status::new(503, "ServiceUnavailable", text).retry_after(RETRY_SECONDS),
        Fault::Failed { .. } => Status::internal(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_has_the_code_that_tells_a_client_what_to_do() {
        for (fault, code) in [
            (Fault::invalid("names", "none"), 400),
            (Fault::NotFound("x".to_owned()), 404),
            (Fault::Conflict("x".to_owned()), 409),
            (Fault::Unavailable { call: "images.List", message: "x".to_owned() }, 503),
            (Fault::Failed { call: "images.List", message: "x".to_owned() }, 500),
        ] {
            assert_eq!(status(fault.clone()).code, code, "{fault}");
        }
        assert_eq!(status(Fault::invalid("names", "none")).causes[0].field, "names");
    }
}
