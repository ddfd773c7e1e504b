//! Short forms of operations and of what they show.

use bytes::Bytes;
use store::{Entry, Op, Value};

pub fn value(text: &str) -> Value {
    Value { bytes: Bytes::copy_from_slice(text.as_bytes()), splice: 0 }
}

pub fn create(key: &str, text: &str) -> Op {
    Op::Create { key: key.into(), value: value(text), extra: None }
}

pub fn update(key: &str, text: &str, expect_mod_revision: u64) -> Op {
    Op::Update { key: key.into(), value: value(text), extra: None, expect_mod_revision }
}

pub fn delete(key: &str) -> Op {
    Op::Delete { key: key.into(), expect_mod_revision: None, last: None }
}

pub fn text(entry: &Entry) -> String {
    String::from_utf8(entry.value.bytes.to_vec()).expect("tests store text")
}
