//! Facts of the protobuf form. The vectors were worked out by hand from the rules of the wire format.

use super::*;
use crate::sample::widget;
use crate::{decode_json, normalize};
use api::tree;

fn round_trip(text: &str) -> Tree {
    let mut tree = decode_json(&widget(), text.as_bytes()).unwrap().tree;
    normalize(&widget(), &mut tree);
    let bytes = encode_protobuf(&widget(), &tree);
    let mut back = decode_protobuf(&widget(), &bytes).unwrap().tree;
    normalize(&widget(), &mut back);
    assert_eq!(back.to_json_text(), tree.to_json_text());
    tree
}

#[test]
fn every_shape_survives_the_round_trip() {
    round_trip("{}");
    round_trip(
        r#"{"apiVersion":"example.io/v1","kind":"Widget","metadata":{"name":"a","creationTimestamp":"2024-01-01T00:00:00Z",
        "labels":{"x":"y","":"z"},"deletionGracePeriodSeconds":0,"finalizers":["a","b"]},
        "spec":{"replicas":-3,"selector":{"a":"b"},"parts":[{"name":"p","path":"","size":"1500m","flag":true,
        "args":["","x"]},{"name":""}],"limits":{"cpu":"100m"},"data":{"k":"AAEC","e":""},"port":"http",
        "template":{"x":[1,null,"y"]},"timeout":"1m30s","extra":{"w":["a","b"]},"more":true,"numbers":[1,-1,0],
        "ratio":0.25,"paused":false,"inner":{"replicas":1,"more":{"replicas":2}},
        "renewed":"2024-01-01T00:00:00.000001Z","small":4000000000},
        "status":{"at":"1969-12-31T23:59:59Z","count":2}}"#,
    );
}

#[test]
fn the_envelope_and_the_fields_stand_as_go_writes_them() {
    let object = tree!({"apiVersion": "v1", "kind": "W", "metadata": {"name": "n"}});
    let bytes = encode_protobuf(&widget(), &object);
    assert_eq!(&bytes[..4], b"k8s\0");
    // typeMeta { apiVersion = "v1", kind = "W" }
    assert_eq!(&bytes[4..13], b"\x0a\x07\x0a\x02v1\x12\x01W");
    // raw { metadata { name, namespace, creationTimestamp }
    let metadata = b"\x0a\x07\x0a\x01n\x1a\x00\x42\x00";
    assert_eq!(bytes[13], 0x12);
    assert_eq!(&bytes[15..15 + metadata.len()], metadata);
    assert_eq!(&bytes[bytes.len() - 4..], b"\x1a\x00\x22\x00");
    assert_eq!(kind_of_protobuf(&bytes).unwrap(), TypeMeta { api_version: "v1".to_owned(), kind: "W".to_owned() });
}

#[test]
fn special_types_have_the_messages_of_upstream() {
    let object = tree!({"spec": {
        "port": 80i64, "timeout": "1ns", "limits": {"a": "1"}, "extra": {"b": ["c"]}, "numbers": [1i64, (-1i64)],
        "renewed": "1970-01-01T00:00:01.000002Z"
    }});
    let bytes = encode_message(&widget(), &object);
    let has = |part: &[u8]| assert!(bytes.windows(part.len()).any(|w| w == part), "{part:02x?} in {bytes:02x?}");
    has(b"\x32\x06\x08\x00\x10\x50\x1a\x00"); // port { type 0, int 80, text "" }
    has(b"\x42\x02\x08\x01"); // timeout { 1 }
    has(b"\x22\x08\x0a\x01a\x12\x03\x0a\x011"); // limits { a: { "1" } }
    has(b"\x4a\x08\x0a\x01b\x12\x03\x0a\x01c"); // extra { b: { ["c"] } }
    has(b"\x58\x01\x58\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"); // numbers, not packed
    has(b"\x8a\x01\x05\x08\x01\x10\xd0\x0f"); // renewed { 1 s, 2000 ns }
}

#[test]
fn unknown_numbers_are_skipped_and_packed_numbers_are_taken() {
    let spec = b"\x12\x08\x5a\x02\x01\x02\xfa\x3f\x01x";
    let tree = decode_message(&widget(), spec).unwrap();
    assert_eq!(tree.to_json_text(), r#"{"spec":{"numbers":[1,2]}}"#);
}

#[test]
fn broken_bodies_are_refused() {
    let whole = encode_protobuf(&widget(), &tree!({"spec": {"words": ["abc"]}}));
    // Behind its first ten bytes stands the object, before its last four the end of the envelope.
    for end in (0..10).chain(11..whole.len() - 4) {
        assert!(decode_protobuf(&widget(), &whole[..end]).is_err(), "{end}");
    }
    let prefix = decode_protobuf(&widget(), b"{}").unwrap_err().to_string();
    assert_eq!(prefix, "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]");
    // The inner spec is number 16 of a spec: nested without end.
    let mut deep = Vec::new();
    for _ in 0..400 {
        let mut out = Out::default();
        out.bytes(16, &deep);
        deep = out.finish(&[]);
    }
    let mut out = Out::default();
    out.bytes(2, &deep);
    assert_eq!(decode_message(&widget(), &out.finish(&[])).unwrap_err().to_string(), "exceeded max depth of 256");
}

#[test]
fn watch_frames_are_found_again() {
    let mut stream = watch_frame("ADDED", b"k8s\0x");
    stream.extend(watch_frame("DELETED", b"k8s\0y"));
    let Frame { event, rest } = next_frame(&stream).unwrap().unwrap();
    assert_eq!(event, b"\x0a\x05ADDED\x12\x07\x0a\x05k8s\0x");
    assert_eq!(next_frame(&rest[..rest.len() - 1]).unwrap(), None);
    assert!(next_frame(rest).unwrap().unwrap().rest.is_empty());
    assert!(next_frame(&[0xff; 8]).is_err());
}
