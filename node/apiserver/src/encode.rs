//! Objects as bytes: stored once without their resourceVersion, spliced and concatenated on the way out. The stored
//! form begins `{"kind":…,"apiVersion":…,"metadata":{`, so a list item can drop the first two by an offset.

use api::Tree;
use bytes::Bytes;

const METADATA: &[u8] = b"\"metadata\":{";

/// An object as it is stored: JSON without resourceVersion, and where that goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// JSON.
    pub bytes: Bytes,
    /// The offset just behind `"metadata":{`.
    pub splice: u32,
}

/// Encodes an object for the store. Its metadata must hold more than the resourceVersion, which is left out; every
/// stored object has a uid.
#[must_use]
pub fn encode(object: &Tree) -> Encoded {
    let mut out = Vec::with_capacity(512);
    out.push(b'{');
    for field in ["kind", "apiVersion"] {
        if let Some(value) = object.get(field) {
            put_field(&mut out, field, value);
            out.push(b',');
        }
    }
    out.extend_from_slice(METADATA);
    let splice = u32::try_from(out.len()).expect("kind and apiVersion are short");
    let metadata = object.map_at(&["metadata"]);
    let mut first = true;
    for (name, value) in metadata.into_iter().flatten().filter(|(name, _)| name.as_str() != "resourceVersion") {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        put_field(&mut out, name, value);
    }
    debug_assert!(!first, "a stored object has metadata beside its resourceVersion");
    out.push(b'}');
    let known = ["kind", "apiVersion", "metadata"];
    for (name, value) in object.as_map().into_iter().flatten().filter(|(name, _)| !known.contains(&name.as_str())) {
        out.push(b',');
        put_field(&mut out, name, value);
    }
    out.push(b'}');
    Encoded { bytes: out.into(), splice }
}

fn put_field(out: &mut Vec<u8>, name: &str, value: &Tree) {
    serde_json::to_writer(&mut *out, name).expect("writing to memory does not fail");
    out.push(b':');
    serde_json::to_writer(&mut *out, value).expect("writing to memory does not fail");
}

/// Appends the object with its resourceVersion.
pub fn splice(out: &mut Vec<u8>, bytes: &[u8], at: u32, revision: u64) {
    let at = at as usize;
    out.extend_from_slice(&bytes[..at]);
    put_revision(out, revision);
    out.extend_from_slice(&bytes[at..]);
}

/// Appends the object with its resourceVersion and without kind and apiVersion, as items of built-in lists are.
pub fn splice_item(out: &mut Vec<u8>, bytes: &[u8], at: u32, revision: u64) {
    out.push(b'{');
    out.extend_from_slice(METADATA);
    put_revision(out, revision);
    out.extend_from_slice(&bytes[at as usize..]);
}

fn put_revision(out: &mut Vec<u8>, revision: u64) {
    out.extend_from_slice(b"\"resourceVersion\":\"");
    out.extend_from_slice(revision.to_string().as_bytes());
    out.extend_from_slice(b"\",");
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_resource_version_is_spliced_in_and_an_item_drops_its_kind() {
        let object = tree!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"},
            "metadata": {"name": "x", "resourceVersion": "3"}
        });
        let encoded = encode(&object);
        assert_eq!(
            text(|out| splice(out, &encoded.bytes, encoded.splice, 7)),
            r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"resourceVersion":"7","name":"x"},"data":{"a":"b"}}"#
        );
        assert_eq!(
            text(|out| splice_item(out, &encoded.bytes, encoded.splice, 7)),
            r#"{"metadata":{"resourceVersion":"7","name":"x"},"data":{"a":"b"}}"#
        );
    }
}
