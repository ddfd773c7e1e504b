//! GET of one object.

use crate::call::Call;
use crate::list::not_older;
use crate::options::{INVALID_REVISION, revision};
use crate::reply::{self, Body};
use crate::server::Server;
use api::Status;

/// Answers a GET.
///
/// # Errors
/// 404 when it is not there, 504 when it is not there in that revision yet.
pub async fn get(server: &Server, call: &Call) -> Result<http::Response<Body>, Status> {
    call.accepted(false)?;
    let asked = revision(call.query.get("resourceVersion").unwrap_or_default());
    // Of one object, unlike a list, upstream lets this fault through as it is, as a fault of the server.
    let asked = asked.map_err(|status| {
        let why = status.message.strip_prefix(INVALID_REVISION).unwrap_or(&status.message);
        Status::new(500, "", why)
    })?;
    if let Some(revision) = asked {
        not_older(server, revision).await?;
    }
    let key = call.resource.key(&call.info.namespace, &call.info.name);
    match server.store.get(&key) {
        Some(entry) => reply::entry(call, &entry, 200),
        None => Err(Status::not_found(&call.resource.named(), &call.info.name)),
    }
}
