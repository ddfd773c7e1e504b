//! Subresources that are a window on their object: a write takes over one part of it and nothing else.

use crate::admission::Operation;
use crate::call::Call;
use crate::codec;
use crate::patch;
use crate::read;
use crate::reply::{self, Body};
use crate::server::Server;
use crate::write::{Part, change, check_name};
use api::{Status, Tree};

/// Puts the part that the subresource is about from the new object into the old one.
pub type Overlay = fn(new: &Tree, old: &Tree) -> Tree;

fn take(new: &Tree, old: &Tree, path: &[&str]) -> Tree {
    let mut object = old.clone();
    match new.at(path) {
        Some(value) => object.set_at(path, value.clone()),
        None => {
            object.remove_at(path);
        }
    }
    if let Some(version) = new.at(&["metadata", "resourceVersion"]) {
        object.set_at(&["metadata", "resourceVersion"], version.clone());
    }
    object
}

/// `namespaces/finalize`
pub fn finalizers(new: &Tree, old: &Tree) -> Tree {
    take(new, old, &["spec", "finalizers"])
}

/// `pods/ephemeralcontainers`
pub fn ephemeral_containers(new: &Tree, old: &Tree) -> Tree {
    take(new, old, &["spec", "ephemeralContainers"])
}

/// `pods/resize`: the resources and resize policies of containers that are there already.
pub fn resize(new: &Tree, old: &Tree) -> Tree {
    let mut object = take(new, old, &["metadata", "resourceVersion"]);
    for list in ["containers", "initContainers"] {
        let wanted = new.list_at(&["spec", list]);
        let Some(containers) = object.at_mut(&["spec", list]).and_then(Tree::as_list_mut) else { continue };
        for container in containers {
            let Some(other) = wanted.iter().find(|c| c.str_at(&["name"]) == container.str_at(&["name"])) else {
                continue;
            };
            for field in ["resources", "resizePolicy"] {
                match other.get(field) {
                    Some(value) => container.set(field, value.clone()),
                    None => {
                        container.remove(field);
                    }
                }
            }
        }
    }
    object
}

/// `certificatesigningrequests/approval`
pub fn approval(new: &Tree, old: &Tree) -> Tree {
    let mut object = take(new, old, &["status", "conditions"]);
    object.set_at(&["metadata", "annotations"], new.at(&["metadata", "annotations"]).cloned().unwrap_or_default());
    object
}

/// Answers GET, PUT and PATCH.
///
/// # Errors
/// Any of the write path's.
pub async fn run(server: &Server, call: &Call, overlay: Overlay) -> Result<http::Response<Body>, Status> {
    match call.info.verb.as_str() {
        "get" => read::get(server, call).await,
        "update" => {
            let new = codec::decode(call)?;
            check_name(call, &new)?;
            let written = change(server, call, Part::Whole, Operation::Update, |old| Ok(overlay(&new, old))).await?;
            reply::written(call, &written, 200)
        }
        _ => {
            let (patch, duplicates) = patch::read(call)?;
            let written = change(server, call, Part::Whole, Operation::Update, |old| {
                let patched = patch.apply(call, old)?;
                let new = patch::decode(call, patched, &duplicates)?;
                Ok(overlay(&new, old))
            })
            .await?;
            reply::written(call, &written, 200)
        }
    }
}
