//! PATCH: JSON patch, merge patch and strategic merge patch, applied to the newest object until nobody else was
//! quicker. Server-side apply will be a fourth kind here.

use crate::admission::Operation;
use crate::call::Call;
use crate::codec;
use crate::reply::{self, Body};
use crate::server::Server;
use crate::write::{Part, change, check_name};
use api::status::GroupName;
use api::{FieldError, FieldPath, Status, Tree};

const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";

/// A patch that was read.
pub enum Patch {
    /// RFC 6902.
    Json(Tree),
    /// RFC 7396.
    Merge(Tree),
    /// Kubernetes' own, guided by the schema.
    Strategic(Tree),
}

/// Reads the patch of a call. The second value are the duplicate fields in it.
///
/// # Errors
/// 415 for an unknown kind of patch, 400 for one that cannot be read.
pub fn read(call: &Call) -> Result<(Patch, Vec<String>), Status> {
    let content_type = call.header(http::header::CONTENT_TYPE).unwrap_or_default();
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    let known: &[&str] =
        if call.resource.custom { &[JSON_PATCH, MERGE_PATCH] } else { &[JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH] };
    if !known.contains(&kind) {
        return Err(Status::unsupported_media_type());
    }
    let decoded = Tree::from_json(&call.body).map_err(|error| {
        let why = api::tree::json_fault(&call.body).unwrap_or(error.0);
        Status::bad_request(format!("error decoding patch: {why}"))
    })?;
    let duplicates = decoded.duplicates.iter().map(|path| format!("duplicate field \"{path}\"")).collect();
    let object = matches!(decoded.tree, Tree::Map(_));
    let patch = match kind {
        JSON_PATCH if matches!(decoded.tree, Tree::List(_)) => Patch::Json(decoded.tree),
        MERGE_PATCH if object => Patch::Merge(decoded.tree),
        STRATEGIC_PATCH if object => Patch::Strategic(decoded.tree),
        _ => {
            let found = decoded.tree.type_name();
            let wanted = if kind == JSON_PATCH { "[]handlers.jsonPatchOp" } else { "map[string]interface {}" };
            let why = format!("error decoding patch: json: cannot unmarshal {found} into Go value of type {wanted}");
            return Err(Status::bad_request(why));
        }
    };
    Ok((patch, duplicates))
}

impl Patch {
    /// The object after the patch, not yet decoded by its schema.
    ///
    /// # Errors
    /// 413 for too many operations, 422 for operations that do not fit, 400 for malformed ones.
    pub fn apply(&self, call: &Call, object: &Tree) -> Result<Tree, Status> {
        self.apply_with(&call.resource.schema, object)
    }

    /// As [`Patch::apply`], for an object of another kind than the resource's.
    ///
    /// # Errors
    /// As [`Patch::apply`].
    pub fn apply_with(&self, schema: &schema::Schema, object: &Tree) -> Result<Tree, Status> {
        match self {
            Patch::Json(operations) => codec::json_patch(object.clone(), operations),
            Patch::Merge(patch) => codec::merge_patch(object.clone(), patch),
            Patch::Strategic(patch) => codec::strategic_patch(schema, object.clone(), patch),
        }
    }
}

/// Answers a PATCH.
///
/// # Errors
/// Any of the path's: 400, 403, 404, 409, 413, 415, 422.
pub async fn patch(server: &Server, call: &Call, part: Part) -> Result<http::Response<Body>, Status> {
    call.accepted(false)?;
    let (patch, duplicates) = read(call)?;
    let written = change(server, call, part, Operation::Update, |old| {
        let patched = patch.apply(call, old)?;
        let object = decode(call, patched, &duplicates)?;
        check_name(call, &object)?;
        Ok(object)
    })
    .await?;
    reply::written(call, &written, 200)
}

/// Decodes a patched object; what the schema does not know is a warning or a refusal, as the client wishes.
pub fn decode(call: &Call, patched: Tree, duplicates: &[String]) -> Result<Tree, Status> {
    let shown = patched.clone();
    let (object, mut strict) =
        codec::decode_tree(&call.resource, patched).map_err(|why| invalid_patch(&shown, &why))?;
    strict.extend_from_slice(duplicates);
    match codec::Validation::of(call) {
        codec::Validation::Strict if !strict.is_empty() => {
            Err(invalid_patch(&shown, &format!("strict decoding error: {}", strict.join(", "))))
        }
        codec::Validation::Warn => {
            strict.into_iter().for_each(|warning| call.warn(warning));
            Ok(object)
        }
        _ => Ok(object),
    }
}

fn invalid_patch(patched: &Tree, why: &str) -> Status {
    let fault = FieldError::invalid(FieldPath::of(&["patch"]), patched.to_json_text(), why);
    Status::invalid(&GroupName::default(), "", &[fault])
}
