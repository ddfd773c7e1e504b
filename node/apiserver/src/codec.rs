//! Bodies to trees and back, by the resource's schema: the one place where the request path meets the schema engine.

use crate::call::Call;
use crate::catalog::Resource;
use crate::negotiate::Encoding;
use api::{Status, Tree, meta};
use schema::Schema;

/// What becomes of fields that the schema does not know or that are given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validation {
    /// Dropped silently.
    Ignore,
    /// Dropped with a warning.
    Warn,
    /// Refused.
    Strict,
}

impl Validation {
    /// What the client wishes; `Warn` when it says nothing. Other wishes were refused with the call's options.
    #[must_use]
    pub fn of(call: &Call) -> Validation {
        match call.query.get("fieldValidation").unwrap_or_default() {
            "Ignore" => Validation::Ignore,
            "Strict" => Validation::Strict,
            _ => Validation::Warn,
        }
    }
}

/// The body of a call as an object of its resource, defaulted.
///
/// # Errors
/// 400 for what cannot be read or is of another kind, 415 for an unknown media type.
pub fn decode(call: &Call) -> Result<Tree, Status> {
    let resource = &call.resource;
    let mut object = decode_as(call, &resource.schema, &resource.api_version(), &resource.kind)?;
    default(resource, &mut object);
    Ok(object)
}

/// The body of a call as an object of some kind.
///
/// # Errors
/// As [`decode`].
pub fn decode_as(call: &Call, schema: &Schema, api_version: &str, kind: &str) -> Result<Tree, Status> {
    let encoding = Encoding::of_body(call.header(http::header::CONTENT_TYPE))?;
    let (_, version) = meta::split_api_version(api_version);
    let unfit = |why: String| {
        Status::bad_request(format!("{kind} in version \"{version}\" cannot be handled as a {kind}: {why}"))
    };
    let decoded = match encoding {
        Encoding::Json => schema::decode_json(schema, &call.body),
        Encoding::Yaml => schema::decode_yaml(schema, &call.body),
        Encoding::Protobuf => schema::decode_protobuf(schema, &call.body),
    };
    let decoded = decoded.map_err(|fault| match unrecognized(encoding, &call.body) {
        Some(why) => {
            let shown = summary(&call.body);
            Status::bad_request(format!(
                "the object provided is unrecognized (must be of type {kind}): {why} ({shown})"
            ))
        }
        None => unfit(fault.0),
    })?;
    match Validation::of(call) {
        Validation::Strict => {
            if let Some(why) = decoded.strict_error() {
                return Err(unfit(why));
            }
        }
        Validation::Warn => decoded.strict.iter().for_each(|warning| call.warn(warning.as_str())),
        Validation::Ignore => {}
    }
    let mut object = decoded.tree;
    if !kind_fits(&object, api_version, kind) {
        return Err(unfit_kind(&object, api_version, kind));
    }
    object.set("apiVersion", api_version);
    object.set("kind", kind);
    Ok(object)
}

/// Why version and kind of a body cannot even be looked for, if they cannot.
fn unrecognized(encoding: Encoding, body: &[u8]) -> Option<String> {
    match encoding {
        Encoding::Json => schema::kind_of_json(body).err().map(|fault| fault.0),
        Encoding::Yaml => Tree::from_yaml(body).err().map(|fault| fault.to_string()),
        Encoding::Protobuf => schema::kind_of_protobuf(body).err().map(|fault| fault.0),
    }
}

/// Bytes of a body that a refusal shows; upstream's limit.
const SUMMARY_BYTES: usize = 30;

/// The beginning of a body: as it is when it looks like JSON, else in hexadecimal digits.
fn summary(body: &[u8]) -> String {
    let start = &body[..body.len().min(SUMMARY_BYTES)];
    let shown = match start {
        [] => "<empty>".to_owned(),
        [b'{', ..] => String::from_utf8_lossy(start).into_owned(),
        _ => start.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    if body.len() > SUMMARY_BYTES { format!("{shown} ...") } else { shown }
}

/// Whether the kind in the body is that of the endpoint; a body without one is taken to be right.
fn kind_fits(object: &Tree, api_version: &str, kind: &str) -> bool {
    let (own_version, own_kind) = (meta::api_version(object), meta::kind(object));
    (own_version.is_empty() || own_version == api_version) && (own_kind.is_empty() || own_kind == kind)
}

/// What upstream says of a body of another kind: the kind it knows cannot be converted, others it does not know.
fn unfit_kind(object: &Tree, api_version: &str, kind: &str) -> Status {
    let own_version = if meta::api_version(object).is_empty() { api_version } else { meta::api_version(object) };
    let own_kind = if meta::kind(object).is_empty() { kind } else { meta::kind(object) };
    let (own_group, own_short) = meta::split_api_version(own_version);
    let why = if resources::facts::type_of_kind(own_group, own_short, own_kind).is_some() {
        let (group, _) = meta::split_api_version(api_version);
        let package = group.split('.').next().filter(|p| !p.is_empty()).unwrap_or("core");
        format!("converting ({own_short}.{own_kind}) to ({package}.{kind}): unknown conversion")
    } else {
        format!(
            "no kind \"{own_kind}\" is registered for version \"{own_version}\" in scheme \"pkg/api/legacyscheme/scheme.go:30\""
        )
    };
    Status::bad_request(format!("{own_kind} in version \"{own_short}\" cannot be handled as a {kind}: {why}"))
}

/// A tree, such as a patched object, as an object of a resource: what it became, and what strict decoding objects to.
///
/// # Errors
/// Says what has the wrong type.
pub fn decode_tree(resource: &Resource, tree: Tree) -> Result<(Tree, Vec<String>), String> {
    let decoded = schema::decode_tree(&resource.schema, tree).map_err(|e| e.0)?;
    let mut object = decoded.tree;
    object.set("apiVersion", resource.api_version());
    object.set("kind", resource.kind.as_str());
    default(resource, &mut object);
    Ok((object, decoded.strict))
}

/// `DeleteOptions` in the body of a call.
///
/// # Errors
/// 400 when they cannot be read.
pub fn decode_delete_options(call: &Call) -> Result<Tree, Status> {
    let encoding = Encoding::of_body(call.header(http::header::CONTENT_TYPE))?;
    let schema = resources::schema_named("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions");
    let decoded = match encoding {
        Encoding::Json => schema::decode_json(&schema, &call.body),
        Encoding::Yaml => schema::decode_yaml(&schema, &call.body),
        Encoding::Protobuf => schema::decode_protobuf(&schema, &call.body),
    };
    let object = decoded.map_err(|fault| {
        let why = unrecognized(encoding, &call.body).unwrap_or(fault.0);
        Status::bad_request(why)
    })?;
    let (kind, version) = (meta::kind(&object.tree), meta::api_version(&object.tree));
    match kind {
        "" | "DeleteOptions" => Ok(object.tree),
        // Upstream's scheme of options knows no other kinds.
        _ => Err(Status::bad_request(format!(
            "no kind \"{kind}\" is registered for version \"{version}\" in scheme \"pkg/runtime/scheme.go:111\""
        ))),
    }
}

/// Fills in what was left out.
pub fn default(resource: &Resource, object: &mut Tree) {
    schema::default(&resource.schema, object);
    (resource.rules.default)(object);
}

/// Brings an object into the shape that Go's encoder would give it.
pub fn normalize(resource: &Resource, object: &mut Tree) {
    schema::normalize(&resource.schema, object);
}

/// A tree in another encoding.
///
/// # Errors
/// 406 when the tree has no such form.
pub fn encode(tree: &Tree, encoding: Encoding, schema: Option<&Schema>) -> Result<Vec<u8>, Status> {
    match (encoding, schema) {
        (Encoding::Json, _) => Ok(tree.to_json()),
        (Encoding::Yaml, _) => serde_saphyr::to_string(tree).map(String::into_bytes).map_err(Status::internal),
        (Encoding::Protobuf, Some(schema)) => Ok(schema::encode_protobuf(schema, tree)),
        (Encoding::Protobuf, None) => Err(Status::not_acceptable(&["application/json", "application/yaml"])),
    }
}

/// Applies a JSON patch.
///
/// # Errors
/// 413 for too many operations, 422 for one that does not fit.
pub fn json_patch(object: Tree, operations: &Tree) -> Result<Tree, Status> {
    schema::json_patch(object, operations).map_err(refused)
}

/// Applies a merge patch.
///
/// # Errors
/// 400 for one that is no object.
pub fn merge_patch(object: Tree, patch: &Tree) -> Result<Tree, Status> {
    schema::merge_patch(object, patch.clone()).map_err(refused)
}

/// Applies a strategic merge patch.
///
/// # Errors
/// 400 for a malformed one, 422 for one that does not fit.
pub fn strategic_patch(schema: &Schema, object: Tree, patch: &Tree) -> Result<Tree, Status> {
    schema::strategic_merge_patch(schema, object, patch.clone()).map_err(refused)
}

/// What a client is told about a patch that failed.
fn refused(fault: schema::PatchFault) -> Status {
    match fault {
        schema::PatchFault::Malformed(why) => Status::bad_request(why),
        schema::PatchFault::TooLarge(why) => Status::too_large(why),
        // Upstream drops the reason on the way and answers with the general words of the code.
        schema::PatchFault::Unprocessable(why) => {
            tracing::debug!(why, "a patch does not fit");
            Status::new(422, "Invalid", "the server rejected our request due to an error in our request").with_details()
        }
        schema::PatchFault::Internal(why) => Status::new(500, "", why),
    }
}
