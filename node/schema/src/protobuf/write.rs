//! Trees to protobuf. Written back to front, so that the length of a message is known when it is needed.

use crate::node::{Node, Object, Raw, Wire};
use api::time::{Instant, parse_duration};
use api::{Map, Tree};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The message so far, last byte first.
#[derive(Default)]
pub(super) struct Out(Vec<u8>);

impl Out {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The message in its order, behind a head.
    pub fn finish(mut self, head: &[u8]) -> Vec<u8> {
        self.reversed(head);
        self.0.reverse();
        self.0
    }

    fn reversed(&mut self, bytes: &[u8]) {
        self.0.extend(bytes.iter().rev());
    }

    fn raw_varint(&mut self, mut value: u64) {
        let mut buffer = [0u8; 10];
        let mut used = 0;
        loop {
            buffer[used] = (value & 0x7f) as u8;
            value >>= 7;
            used += 1;
            if value == 0 {
                break;
            }
            buffer[used - 1] |= 0x80;
        }
        self.reversed(&buffer[..used]);
    }

    fn tag(&mut self, number: u32, kind: u64) {
        self.raw_varint(u64::from(number) << 3 | kind);
    }

    pub fn varint(&mut self, number: u32, value: u64) {
        self.raw_varint(value);
        self.tag(number, 0);
    }

    fn double(&mut self, number: u32, value: f64) {
        self.reversed(&value.to_le_bytes());
        self.tag(number, 1);
    }

    pub fn bytes(&mut self, number: u32, value: &[u8]) {
        self.reversed(value);
        self.raw_varint(value.len() as u64);
        self.tag(number, 2);
    }

    pub fn text(&mut self, number: u32, value: &str) {
        self.bytes(number, value.as_bytes());
    }

    pub fn message(&mut self, number: u32, body: impl FnOnce(&mut Out)) {
        let before = self.0.len();
        body(self);
        self.raw_varint((self.0.len() - before) as u64);
        self.tag(number, 2);
    }
}

/// One field. `value` is `None` where the tree has none.
fn field(number: u32, node: &Node, pointer: bool, value: Option<&Tree>, out: &mut Out) {
    let value = value.filter(|v| !v.is_null());
    if pointer && value.is_none() {
        return;
    }
    match node {
        Node::Bool => out.varint(number, u64::from(value.and_then(Tree::as_bool).unwrap_or_default())),
        // Negative numbers take ten bytes, as protobuf has it.
        Node::Int(_) => out.varint(number, value.and_then(Tree::as_int).unwrap_or_default().cast_unsigned()),
        Node::Float => out.double(number, value.map_or(0.0, float)),
        Node::Text => out.text(number, value.and_then(Tree::as_str).unwrap_or_default()),
        Node::Bytes => {
            if let Some(text) = value.and_then(Tree::as_str) {
                // Decoding has checked it; what server code set wrongly becomes empty.
                out.bytes(number, &STANDARD.decode(text).unwrap_or_default());
            }
        }
        Node::List(list) => {
            let Some(items) = value.and_then(Tree::as_list) else { return };
            let write = |number: u32, out: &mut Out| {
                for item in items.iter().rev() {
                    field(number, &list.item, false, Some(item), out);
                }
            };
            if list.wrapped { out.message(number, |out| write(1, out)) } else { write(number, out) }
        }
        Node::Map(inner) => {
            let Some(map) = value.and_then(Tree::as_map) else { return };
            let entries: Vec<_> = map.iter().collect();
            for (key, item) in entries.into_iter().rev() {
                out.message(number, |out| {
                    field(2, inner, false, Some(item), out);
                    out.text(1, key);
                });
            }
        }
        _ => out.message(number, |out| body(node, value, out)),
    }
}

#[allow(clippy::cast_precision_loss, reason = "the field is a double")]
fn float(value: &Tree) -> f64 {
    match value {
        Tree::Int(whole) => *whole as f64,
        Tree::Float(float) => *float,
        _ => 0.0,
    }
}

/// The body of a message.
pub(super) fn body(node: &Node, value: Option<&Tree>, out: &mut Out) {
    let value = value.filter(|v| !v.is_null());
    match node {
        Node::Object(object) => {
            let empty = Map::new();
            let map = value.and_then(Tree::as_map).unwrap_or(&empty);
            entries(&object.fields().wire, object, map, out);
        }
        Node::Either(object) => either(object, value, out),
        Node::Time => timestamp(value.and_then(|v| Instant::parse(v.as_str()?).ok()), false, out),
        Node::MicroTime => timestamp(value.and_then(|v| Instant::parse_micro(v.as_str()?).ok()), true, out),
        Node::Duration => {
            let nanos = value.and_then(|v| parse_duration(v.as_str()?).ok()).unwrap_or_default();
            out.varint(1, nanos.cast_unsigned());
        }
        Node::Quantity => out.text(1, value.and_then(Tree::as_str).unwrap_or("0")),
        Node::IntOrString => {
            let text = value.and_then(Tree::as_str);
            out.text(3, text.unwrap_or_default());
            out.varint(2, value.and_then(Tree::as_int).unwrap_or_default().cast_unsigned());
            out.varint(1, u64::from(text.is_some()));
        }
        Node::Raw(Raw::Extension | Raw::Json | Raw::Fields) => {
            if let Some(value) = value {
                out.bytes(1, &value.to_json());
            }
        }
        Node::List(_) | Node::Map(_) => field(1, node, true, value, out),
        Node::Bool | Node::Int(_) | Node::Float | Node::Text | Node::Bytes | Node::Any => {}
    }
}

fn entries(wire: &[Wire], object: &Object, map: &Map, out: &mut Out) {
    for entry in wire.iter().rev() {
        match entry {
            Wire::Field { number, index } => {
                let known = &object.fields().fields[*index];
                field(*number, &known.node, known.pointer, map.get(&known.name), out);
            }
            Wire::Message { number, wire } => out.message(*number, |out| entries(wire, object, map, out)),
        }
    }
}

/// A choice: a switch is on when there is an object, too (`JSONSchemaPropsOrBool`).
fn either(object: &Object, value: Option<&Tree>, out: &mut Out) {
    let fields = object.fields();
    for entry in fields.wire.iter().rev() {
        let Wire::Field { number, index } = entry else { continue };
        let known = &fields.fields[*index];
        let fits = match (&known.node, value) {
            (Node::Bool, value) => {
                let on = !matches!(value, None | Some(Tree::Bool(false)));
                out.varint(*number, u64::from(on));
                continue;
            }
            (Node::Object(_), Some(Tree::Map(_))) | (Node::List(_), Some(Tree::List(_))) => true,
            _ => false,
        };
        if fits {
            field(*number, &known.node, true, value, out);
        }
    }
}

fn timestamp(instant: Option<Instant>, micro: bool, out: &mut Out) {
    let Some(instant) = instant.filter(|i| !i.is_zero()) else { return };
    let nanos = if micro { instant.nanos / 1000 * 1000 } else { 0 };
    out.varint(2, u64::from(nanos));
    out.varint(1, instant.seconds.cast_unsigned());
}
