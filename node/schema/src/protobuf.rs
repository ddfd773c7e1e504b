//! The protobuf form of objects: the message of each type by its facts, the envelope around it (`k8s\0` and
//! `runtime.Unknown`), and the frames of a watch. It matches upstream's encoder byte for byte.

mod read;
mod wire;
mod write;

use crate::decode::{DecodeFault, Decoded, TypeMeta};
use crate::node::Schema;
use api::Tree;
use wire::{Cursor, Value};
use write::Out;

/// What every protobuf body begins with.
pub const MAGIC: &[u8; 4] = b"k8s\0";

/// Bytes that one frame of a watch may have, as upstream's reader allows.
pub const FRAME_MAX: usize = 16 << 20;

/// Encodes an object with its envelope; `apiVersion` and `kind` are those of the tree. Non-pointer scalars that are
/// absent are written as zero, as Go does.
#[must_use]
pub fn encode_protobuf(schema: &Schema, tree: &Tree) -> Vec<u8> {
    let mut out = Out::default();
    // runtime.Unknown: typeMeta = 1, raw = 2, contentEncoding = 3, contentType = 4; all are always written.
    out.text(4, "");
    out.text(3, "");
    out.message(2, |out| write::body(schema.root(), Some(tree), out));
    out.message(1, |out| {
        out.text(2, tree.str_at(&["kind"]).unwrap_or_default());
        out.text(1, tree.str_at(&["apiVersion"]).unwrap_or_default());
    });
    out.finish(MAGIC)
}

/// Encodes a value without envelope.
#[must_use]
pub fn encode_message(schema: &Schema, tree: &Tree) -> Vec<u8> {
    let mut out = Out::default();
    write::body(schema.root(), Some(tree), &mut out);
    out.finish(&[])
}

/// Decodes a body with its envelope.
///
/// # Errors
/// The body is no such message. Unknown numbers are skipped, as in Go.
pub fn decode_protobuf(schema: &Schema, bytes: &[u8]) -> Result<Decoded, DecodeFault> {
    let envelope = open(bytes)?;
    let mut tree = read::message(schema.root(), envelope.raw, 0)?;
    if let Some(fields) = schema.root().object() {
        for (name, value) in [("apiVersion", envelope.meta.api_version), ("kind", envelope.meta.kind)] {
            if !value.is_empty() && fields.field(name).is_some() {
                tree.set(name, value);
            }
        }
    }
    Ok(Decoded { tree, strict: Vec::new() })
}

/// Decodes a value without envelope.
///
/// # Errors
/// The bytes are no such message.
pub fn decode_message(schema: &Schema, bytes: &[u8]) -> Result<Tree, DecodeFault> {
    read::message(schema.root(), bytes, 0)
}

/// `apiVersion` and `kind` of a body with an envelope.
///
/// # Errors
/// The body has no envelope.
pub fn kind_of_protobuf(bytes: &[u8]) -> Result<TypeMeta, DecodeFault> {
    open(bytes).map(|envelope| envelope.meta)
}

struct Envelope<'a> {
    meta: TypeMeta,
    raw: &'a [u8],
}

fn open(bytes: &[u8]) -> Result<Envelope<'_>, DecodeFault> {
    let fault = |why: &str| Err(DecodeFault(why.to_owned()));
    if bytes.is_empty() {
        return fault("empty data");
    }
    let Some(body) = bytes.strip_prefix(MAGIC) else {
        return fault("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]");
    };
    if body.is_empty() {
        return fault("empty body");
    }
    let mut envelope = Envelope { meta: TypeMeta::default(), raw: &[] };
    let mut cursor = Cursor::new(body);
    while let Some((number, value)) = cursor.next()? {
        match (number, value) {
            (1, Value::Bytes(meta)) => {
                let mut cursor = Cursor::new(meta);
                while let Some((number, value)) = cursor.next()? {
                    match (number, value) {
                        (1, Value::Bytes(text)) => envelope.meta.api_version = wire::text(text),
                        (2, Value::Bytes(text)) => envelope.meta.kind = wire::text(text),
                        _ => {}
                    }
                }
            }
            (2, Value::Bytes(raw)) => envelope.raw = raw,
            _ => {}
        }
    }
    Ok(envelope)
}

/// One frame of a protobuf watch: its length in four bytes, then the event. `object` has its envelope.
#[must_use]
pub fn watch_frame(event: &str, object: &[u8]) -> Vec<u8> {
    let mut out = Out::default();
    out.message(2, |out| out.bytes(1, object));
    out.text(1, event);
    let length = u32::try_from(out.len()).expect("an object is far below 4 GiB");
    out.finish(&length.to_be_bytes())
}

/// One frame of a stream, and what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The event, without its length.
    pub event: &'a [u8],
    /// The bytes behind it.
    pub rest: &'a [u8],
}

/// The first frame of a stream; `None` while it is not there in full.
///
/// # Errors
/// The frame says that it is longer than [`FRAME_MAX`].
pub fn next_frame(stream: &[u8]) -> Result<Option<Frame<'_>>, DecodeFault> {
    let Some((head, rest)) = stream.split_first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*head) as usize;
    if length > FRAME_MAX {
        return Err(DecodeFault(format!("a frame of {length} bytes is longer than {FRAME_MAX}")));
    }
    Ok(rest.split_at_checked(length).map(|(event, rest)| Frame { event, rest }))
}

#[cfg(test)]
mod tests;
