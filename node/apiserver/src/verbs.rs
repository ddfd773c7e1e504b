//! Which handler answers a request for a resource: by subresource, then by verb.

use crate::call::Call;
use crate::reply::Body;
use crate::server::Server;
use crate::write::{self, Part};
use crate::{collection, computed, delete, list, patch, read, reviews, subresources, watch};
use api::Status;

/// Answers a request.
///
/// # Errors
/// 404 for an unknown subresource, 405 for a verb that is not served, and what the handler says.
pub async fn run(server: &Server, call: &Call) -> Result<http::Response<Body>, Status> {
    if !call.info.subresource.is_empty() {
        return subresources::run(server, call).await;
    }
    let resource = &call.resource;
    let verb = call.info.verb.as_str();
    if !resource.allows(verb) {
        return Err(refuse());
    }
    check_options(call)?;
    if let Some(computed) = computed::find(resource) {
        return computed::run(server, call, computed).await;
    }
    if !resource.stored() {
        return reviews::run(server, call).await;
    }
    match verb {
        "get" => read::get(server, call).await,
        "list" => list::list(server, call).await,
        "watch" => watch::watch(server, call).await,
        "create" if call.info.name.is_empty() => write::create(server, call).await,
        "update" if !call.info.name.is_empty() => write::update(server, call, Part::Main).await,
        "patch" if !call.info.name.is_empty() => patch::patch(server, call, Part::Main).await,
        "delete" => delete::delete(server, call).await,
        "deletecollection" => collection::delete(server, call).await,
        _ => Err(refuse()),
    }
}

/// Refuses a write with options that make no sense, after what cannot be answered at all.
///
/// # Errors
/// 406 and 422.
pub fn check_options(call: &Call) -> Result<(), Status> {
    if !matches!(call.info.verb.as_str(), "create" | "update" | "patch") {
        return Ok(());
    }
    call.accepted(false)?;
    call.check_options()
}

/// 405 in upstream's words.
pub fn refuse() -> Status {
    Status::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
        .with_details()
}
