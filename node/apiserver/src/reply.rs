//! Answers: bytes with a status code and a media type, or a stream.

use crate::call::Call;
use crate::codec;
use crate::negotiate::{Encoding, Form};
use crate::objects::{self, Place};
use crate::table;
use crate::write::Written;
use api::{Status, Tree};
use bytes::Bytes;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http_body_util::{BodyExt, Full};
use schema::Schema;
use store::Entry;

pub use client::{Body, BoxError};

/// A whole body.
#[must_use]
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// An answer with a media type.
#[must_use]
pub fn with_type(code: u16, media_type: &str, body: Body) -> http::Response<Body> {
    let mut response = http::Response::new(body);
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    let value = http::HeaderValue::from_str(media_type).unwrap_or(http::HeaderValue::from_static("text/plain"));
    response.headers_mut().insert(CONTENT_TYPE, value);
    response.headers_mut().insert(CACHE_CONTROL, http::HeaderValue::from_static("no-cache, private"));
    response
}

/// JSON bytes.
#[must_use]
pub fn json(code: u16, bytes: impl Into<Bytes>) -> http::Response<Body> {
    with_type(code, "application/json", full(bytes))
}

/// An object as JSON.
#[must_use]
pub fn object(code: u16, object: &Tree) -> http::Response<Body> {
    json(code, object.to_json())
}

/// Plain text.
#[must_use]
pub fn text(code: u16, text: impl Into<String>) -> http::Response<Body> {
    with_type(code, "text/plain; charset=utf-8", full(text.into()))
}

/// A failure.
#[must_use]
pub fn status(status: &Status) -> http::Response<Body> {
    let mut response = object(status.code, &status.to_tree());
    if status.retry_after_seconds > 0 {
        response.headers_mut().insert(RETRY_AFTER, status.retry_after_seconds.into());
    }
    response
}

/// Adds the warnings that a call collected, one header each, quoted as RFC 7234 has it.
pub fn warn(response: &mut http::Response<Body>, warnings: &[String]) {
    for warning in warnings {
        let quoted: String = warning
            .chars()
            .filter(|c| !c.is_control())
            .flat_map(|c| if matches!(c, '"' | '\\') { vec!['\\', c] } else { vec![c] })
            .collect();
        if let Ok(value) = http::HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response.headers_mut().append(http::header::WARNING, value);
        }
    }
}

/// A failure, in the first encoding that the client takes plainly.
#[must_use]
pub fn failure(status: &Status, accept: Option<&str>) -> http::Response<Body> {
    let encoding = Encoding::of_failure(accept);
    let schema = resources::schema_named(STATUS);
    match codec::encode(&status.to_tree(), encoding, Some(&schema)) {
        Ok(bytes) if encoding != Encoding::Json => {
            let mut response = self::status(status);
            *response.body_mut() = full(bytes);
            response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(encoding.media_type()));
            response
        }
        _ => self::status(status),
    }
}

/// The type of a failure.
pub const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";

/// A tree of any type of the facts table, in the encoding that the client takes.
///
/// # Errors
/// 406 when the client takes none.
pub fn other(call: &Call, code: u16, tree: &Tree, type_name: &str) -> Result<http::Response<Body>, Status> {
    in_encoding(code, tree, call.accepted(false)?.encoding, Some(&resources::schema_named(type_name)))
}

/// A tree in an encoding.
///
/// # Errors
/// 406 when the tree has no such form.
pub fn in_encoding(
    code: u16,
    tree: &Tree,
    encoding: Encoding,
    schema: Option<&Schema>,
) -> Result<http::Response<Body>, Status> {
    codec::encode(tree, encoding, schema).map(|bytes| with_type(code, encoding.media_type(), full(bytes)))
}

/// A whole body in an encoding other than the JSON that it is given in.
pub fn encoded(
    code: u16,
    json: Vec<u8>,
    encoding: Encoding,
    schema: Option<&Schema>,
) -> Result<http::Response<Body>, Status> {
    match encoding {
        Encoding::Json => Ok(self::json(code, json)),
        other => {
            let decoded =
                Tree::from_json(&json).map_err(|e| Status::internal(format!("own JSON cannot be read: {e}")))?;
            codec::encode(&decoded.tree, other, schema).map(|bytes| with_type(code, other.media_type(), full(bytes)))
        }
    }
}

/// An object of the call's resource, in the encoding and form that the client takes.
pub fn tree(call: &Call, tree: &Tree, code: u16) -> Result<http::Response<Body>, Status> {
    let accepted = call.accepted(false)?;
    match accepted.form {
        Form::Object => in_encoding(code, tree, accepted.encoding, Some(&call.resource.schema)),
        Form::Partial => {
            let schema = resources::schema_named(table::PARTIAL);
            in_encoding(code, &table::partial(tree), accepted.encoding, Some(&schema))
        }
        Form::Table => in_encoding(code, &table::of_object(call, tree)?, accepted.encoding, None),
    }
}

/// The object of an entry.
pub fn entry(call: &Call, entry: &Entry, code: u16) -> Result<http::Response<Body>, Status> {
    let accepted = call.accepted(false)?;
    if accepted.form == Form::Object && accepted.encoding == Encoding::Json {
        let mut out = Vec::with_capacity(entry.value.bytes.len() + 48);
        objects::put_json(&mut out, &call.resource, entry, Place::Alone)?;
        return Ok(json(code, out));
    }
    tree(call, &objects::tree(&call.resource, entry)?, code)
}

/// An object after a write.
pub fn written(call: &Call, written: &Written, code: u16) -> Result<http::Response<Body>, Status> {
    match &written.entry {
        Some(stored) => entry(call, stored, code),
        None => tree(call, &written.object, code),
    }
}
