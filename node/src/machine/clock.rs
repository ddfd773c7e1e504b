//! `POST /skerry/v1/clock` with `{"ms": …}`, milliseconds since 1970: sets the machine's wall clock, which stands still
//! while the machine is suspended. Init does it, and never sets it back. The answer says by how much it was behind:
//! `{"stepped_ms": …}`.

use super::logs::{SOCKET, ask};
use api::{Status, tree};
use apiserver::machine::{Answer, Request, Route};
use apiserver::reply;
use serde::Deserialize;
use std::path::Path;

/// Bytes of a request; one has about 20.
const REQUEST_BYTES_MAX: usize = 1 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    ms: i64,
}

/// The route.
pub fn set() -> Route {
    Route::new(http::Method::POST, "clock", answer)
}

async fn answer(request: Request) -> Answer {
    let body = request.whole(REQUEST_BYTES_MAX).await?;
    let Asked { ms } = serde_json::from_slice(&body)
        .map_err(|error| Status::bad_request(format!("the body is {{\"ms\"}}: {error}")))?;
    let answer = ask(Path::new(SOCKET), &tree!({"do": "clock", "ms": (ms)})).await;
    // Init's refusal is about the time that was given.
    let answer = answer.map_err(|why| if why.code == 404 { Status::bad_request(why.message) } else { why })?;
    let stepped = answer.get("stepped_ms").and_then(api::Tree::as_int).unwrap_or_default();
    tracing::info!(stepped_ms = stepped, "the wall clock was set");
    Ok(reply::object(200, &tree!({"stepped_ms": (stepped)})))
}
