//! DELETE of a collection: every object that is selected, one after the other, as upstream does.

use crate::call::Call;
use crate::delete::{DeleteOptions, Deleted, delete_object};
use crate::list::page;
use crate::options::ListOptions;
use crate::reply::{self, Body};
use crate::server::Server;
use api::{Status, Tree, meta, tree};

/// Answers a DELETE of a collection with the objects that were in it.
///
/// # Errors
/// 400 and 422 for bad options, and the first deletion that fails.
pub async fn delete(server: &Server, call: &Call) -> Result<http::Response<Body>, Status> {
    let accepted = call.accepted(true)?;
    let options = DeleteOptions::read(call)?;
    let listed = page(server, call, &ListOptions::read(call, false)?).await?;
    let mut items: Vec<Tree> = Vec::with_capacity(listed.entries.len());
    for entry in &listed.entries {
        let object = crate::objects::tree(&call.resource, entry)?;
        match delete_object(server, call, (meta::namespace(&object), meta::name(&object)), &options).await {
            Ok(Deleted::Gone(mut last) | Deleted::Pending(mut last)) => {
                if !call.resource.custom {
                    last.remove("kind");
                    last.remove("apiVersion");
                }
                items.push(last);
            }
            // Somebody else was quicker.
            Err(status) if status.is_not_found() => {}
            Err(status) => return Err(status),
        }
    }
    let list = tree!({
        "kind": (call.resource.list_kind.as_str()),
        "apiVersion": (call.resource.api_version()),
        "metadata": {"resourceVersion": (server.store.revision().to_string())},
        "items": items
    });
    reply::in_encoding(200, &list, accepted.encoding, call.resource.list_schema.as_ref())
}
