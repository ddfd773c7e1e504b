//! `/scale`: replicas of a kind that has them, as `autoscaling/v1` Scale.

use crate::admission::Operation;
use crate::call::Call;
use crate::codec;
use crate::negotiate::Form;
use crate::objects;
use crate::patch;
use crate::reply::{self, Body};
use crate::server::Server;
use crate::table;
use crate::write::{Part, change, check_name};
use api::selector::LabelSelector;
use api::{FieldError, FieldPath, Status, Tree, meta, tree};

const VERSION: &str = "autoscaling/v1";

/// The Scale of an object.
fn scale(object: &Tree) -> Tree {
    let mut metadata = Tree::map();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object.at(&["metadata", field]) {
            metadata.set(field, value.clone());
        }
    }
    let selector = object.at(&["spec", "selector"]);
    let plain = selector.is_some_and(|s| s.get("matchLabels").is_none() && s.get("matchExpressions").is_none());
    let selector = if plain {
        LabelSelector::from_map(selector.and_then(Tree::as_map)).to_string()
    } else {
        LabelSelector::from_tree(selector).map(|s| s.to_string()).unwrap_or_default()
    };
    let number = |path: &[&str]| object.int_at(path).unwrap_or(0);
    let mut spec = Tree::map();
    if number(&["spec", "replicas"]) != 0 {
        spec.set("replicas", number(&["spec", "replicas"]));
    }
    let mut status = tree!({"replicas": (number(&["status", "replicas"]))});
    if !selector.is_empty() {
        status.set("selector", selector);
    }
    tree!({"kind": "Scale", "apiVersion": VERSION, "metadata": metadata, "spec": spec, "status": status})
}

/// The object with the replicas of a Scale.
fn scaled(call: &Call, wanted: &Tree, old: &Tree) -> Result<Tree, Status> {
    let kind = api::status::GroupName::new("autoscaling", "Scale");
    let replicas = wanted.int_at(&["spec", "replicas"]).unwrap_or(0);
    if replicas < 0 {
        let why = "must be greater than or equal to 0";
        let fault = FieldError::invalid(FieldPath::of(&["spec", "replicas"]), replicas, why);
        return Err(Status::invalid(&kind, &call.info.name, &[fault]));
    }
    let uid = meta::uid(wanted);
    if !uid.is_empty() && uid != meta::uid(old) {
        let why = crate::write::other_uid(call, uid, meta::uid(old));
        return Err(Status::conflict(&call.resource.named(), &call.info.name, why));
    }
    let mut object = old.clone();
    object.set_at(&["spec", "replicas"], replicas);
    match meta::resource_version(wanted) {
        "" => {
            object.remove_at(&["metadata", "resourceVersion"]);
        }
        version => object.set_at(&["metadata", "resourceVersion"], version),
    }
    Ok(object)
}

/// Answers GET, PUT and PATCH.
///
/// # Errors
/// Any of the write path's.
pub async fn run(server: &Server, call: &Call) -> Result<http::Response<Body>, Status> {
    let schema = resources::schema_named("io.k8s.api.autoscaling.v1.Scale");
    let object = match call.info.verb.as_str() {
        "get" => {
            let entry = server.store.get(&call.resource.key(&call.info.namespace, &call.info.name));
            let entry = entry.ok_or_else(|| Status::not_found(&call.resource.named(), &call.info.name))?;
            objects::tree(&call.resource, &entry)?
        }
        "update" => {
            let wanted = codec::decode_as(call, &schema, VERSION, "Scale")?;
            check_name(call, &wanted)?;
            change(server, call, Part::Main, Operation::Update, |old| scaled(call, &wanted, old)).await?.object
        }
        _ => {
            let (patch, _) = patch::read(call)?;
            let make = |old: &Tree| {
                let patched = patch.apply_with(&schema, &scale(old))?;
                let decoded = schema::decode_tree(&schema, patched).map_err(|e| Status::bad_request(e.0))?;
                scaled(call, &decoded.tree, old)
            };
            change(server, call, Part::Main, Operation::Update, make).await?.object
        }
    };
    let (shown, accepted) = (scale(&object), call.accepted(false)?);
    match accepted.form {
        Form::Object => reply::in_encoding(200, &shown, accepted.encoding, Some(&schema)),
        Form::Partial => reply::other(call, 200, &table::partial(&shown), table::PARTIAL),
        Form::Table => reply::in_encoding(200, &table::of_scale(call, &shown)?, accepted.encoding, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_shows_replicas_and_selector() {
        let object = tree!({
            "metadata": {"name": "a", "namespace": "b", "uid": "u", "labels": {"x": "y"}},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}},
            "status": {"replicas": 2}
        });
        let shown = scale(&object);
        assert_eq!(shown.get("metadata").unwrap().to_json_text(), r#"{"name":"a","namespace":"b","uid":"u"}"#);
        assert_eq!(shown.int_at(&["spec", "replicas"]), Some(3));
        assert_eq!(shown.str_at(&["status", "selector"]), Some("app=web"));
        let plain = tree!({"metadata": {}, "spec": {"selector": {"app": "web"}}});
        assert_eq!(scale(&plain).str_at(&["status", "selector"]), Some("app=web"));
    }
}
