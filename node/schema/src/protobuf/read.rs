//! Protobuf to trees. Zero values of fields that are no pointers vanish, because Go always sends them.

use super::wire::{Cursor, Value, text};
use crate::decode::DecodeFault;
use crate::node::{Bits, Field, Node, Object, Raw, Wire};
use api::time::{Instant, format_duration};
use api::tree::DEPTH_MAX;
use api::{Map, Name, Quantity, Tree};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

fn wrong(node: &Node) -> DecodeFault {
    DecodeFault(format!("proto: wrong wireType for a value of type {}", node.go_type()))
}

/// The tree of a message.
pub(super) fn message(node: &Node, bytes: &[u8], depth: usize) -> Result<Tree, DecodeFault> {
    if depth > DEPTH_MAX {
        return Err(DecodeFault(format!("exceeded max depth of {DEPTH_MAX}")));
    }
    match node {
        Node::Object(object) => {
            let mut slots = vec![Tree::Null; object.fields().fields.len()];
            entries(&object.fields().wire, object, bytes, &mut slots, depth)?;
            Ok(assemble(object, slots))
        }
        Node::Either(object) => either(object, bytes, depth),
        Node::Time | Node::MicroTime => timestamp(matches!(node, Node::MicroTime), bytes),
        Node::Duration => {
            let nanos = single(bytes)?.map_or(Ok(0), |v| number(node, v))?;
            Ok(Tree::Text(format_duration(nanos)))
        }
        Node::Quantity => {
            let written = single(bytes)?.map_or(Ok(String::new()), |v| string(node, v))?;
            if written.is_empty() {
                return Ok(Tree::text("0"));
            }
            Quantity::canonical(&written).map(Tree::Text).map_err(|e| DecodeFault(e.to_string()))
        }
        Node::IntOrString => int_or_string(node, bytes),
        Node::Raw(kind) => raw(*kind, node, bytes),
        Node::List(list) => {
            let mut items = Vec::new();
            let mut cursor = Cursor::new(bytes);
            while let Some((number, value)) = cursor.next()? {
                if number == 1 {
                    items.push(one(&list.item, value, depth)?);
                }
            }
            Ok(Tree::List(items))
        }
        _ => Err(wrong(node)),
    }
}

/// The last value under number 1.
fn single(bytes: &[u8]) -> Result<Option<Value<'_>>, DecodeFault> {
    let mut found = None;
    let mut cursor = Cursor::new(bytes);
    while let Some((number, value)) = cursor.next()? {
        if number == 1 {
            found = Some(value);
        }
    }
    Ok(found)
}

fn number(node: &Node, value: Value<'_>) -> Result<i64, DecodeFault> {
    match value {
        Value::Varint(value) => Ok(value.cast_signed()),
        _ => Err(wrong(node)),
    }
}

fn string(node: &Node, value: Value<'_>) -> Result<String, DecodeFault> {
    match value {
        Value::Bytes(bytes) => Ok(text(bytes)),
        _ => Err(wrong(node)),
    }
}

/// One value that is not repeated.
fn one(node: &Node, value: Value<'_>, depth: usize) -> Result<Tree, DecodeFault> {
    match (node, value) {
        (Node::Bool, Value::Varint(value)) => Ok(Tree::Bool(value != 0)),
        #[allow(clippy::cast_possible_truncation, reason = "Go cuts a 32-bit number off, too")]
        (Node::Int(bits), Value::Varint(value)) => Ok(Tree::Int(match bits {
            Bits::Signed32 => i64::from(value as i32),
            Bits::Unsigned32 => i64::from(value as u32),
            Bits::Signed64 | Bits::Unsigned64 => value.cast_signed(),
        })),
        (Node::Float, Value::Fixed64(bits)) => Ok(Tree::Float(f64::from_bits(bits))),
        (Node::Float, Value::Fixed32(bits)) => Ok(Tree::Float(f32::from_bits(bits).into())),
        (Node::Text, Value::Bytes(bytes)) => Ok(Tree::Text(text(bytes))),
        (Node::Bytes, Value::Bytes(bytes)) => Ok(Tree::Text(STANDARD.encode(bytes))),
        (Node::Bool | Node::Int(_) | Node::Float | Node::Text | Node::Bytes, _) => Err(wrong(node)),
        (_, Value::Bytes(bytes)) => message(node, bytes, depth + 1),
        _ => Err(wrong(node)),
    }
}

fn entries(wire: &[Wire], object: &Object, bytes: &[u8], slots: &mut [Tree], depth: usize) -> Result<(), DecodeFault> {
    let mut cursor = Cursor::new(bytes);
    while let Some((number, value)) = cursor.next()? {
        let Ok(place) = wire.binary_search_by_key(&number, Wire::number) else { continue };
        match &wire[place] {
            Wire::Field { index, .. } => {
                put(&object.fields().fields[*index].node, value, &mut slots[*index], depth)?;
            }
            Wire::Message { wire, .. } => {
                let Value::Bytes(inner) = value else { return Err(wrong(&Node::Object(object.clone()))) };
                entries(wire, object, inner, slots, depth)?;
            }
        }
    }
    Ok(())
}

/// Puts one value into its slot; repeated ones add up.
fn put(node: &Node, value: Value<'_>, slot: &mut Tree, depth: usize) -> Result<(), DecodeFault> {
    match node {
        Node::List(list) if !list.wrapped => {
            if slot.is_null() {
                *slot = Tree::List(Vec::new());
            }
            let items = slot.as_list_mut().ok_or_else(|| wrong(node))?;
            match (&list.item, value) {
                // Numbers may come packed.
                (Node::Bool | Node::Int(_), Value::Bytes(bytes)) => {
                    let mut cursor = Cursor::new(bytes);
                    while !cursor.is_empty() {
                        items.push(one(&list.item, Value::Varint(cursor.varint()?), depth)?);
                    }
                }
                (item, value) => items.push(one(item, value, depth)?),
            }
        }
        Node::Map(inner) => {
            let Value::Bytes(bytes) = value else { return Err(wrong(node)) };
            let (mut key, mut found) = (String::new(), Tree::Null);
            let mut cursor = Cursor::new(bytes);
            while let Some((number, value)) = cursor.next()? {
                match number {
                    1 => key = string(node, value)?,
                    2 => put(inner, value, &mut found, depth + 1)?,
                    _ => {}
                }
            }
            let found = if found.is_null() { inner.zero() } else { found };
            slot.make_map().insert(Name::new(&key), found);
        }
        _ => *slot = one(node, value, depth)?,
    }
    Ok(())
}

fn assemble(object: &Object, slots: Vec<Tree>) -> Tree {
    let fields = object.fields().fields.iter().zip(slots);
    let kept = fields.filter(|(field, value)| !unset(field, value));
    Tree::Map(Map::from_fields(kept.map(|(field, value)| (field.name.clone(), value)).collect()))
}

/// Whether a value is what Go sends for a field that was never set.
fn unset(field: &Field, value: &Tree) -> bool {
    value.is_null()
        || (!field.pointer && value.is_empty() && !matches!(field.node, Node::Bytes | Node::List(_) | Node::Map(_)))
}

fn either(object: &Object, bytes: &[u8], depth: usize) -> Result<Tree, DecodeFault> {
    let fields = object.fields();
    let mut slots = vec![Tree::Null; fields.fields.len()];
    entries(&fields.wire, object, bytes, &mut slots, depth)?;
    let rank = |tree: &Tree| match tree {
        Tree::Null => 0,
        Tree::Bool(_) => 1,
        _ => 2,
    };
    Ok(slots.into_iter().max_by_key(rank).unwrap_or_default())
}

fn timestamp(micro: bool, bytes: &[u8]) -> Result<Tree, DecodeFault> {
    if bytes.is_empty() {
        return Ok(Tree::Null);
    }
    let (mut seconds, mut nanos) = (0i64, 0u32);
    let mut cursor = Cursor::new(bytes);
    while let Some((number, value)) = cursor.next()? {
        match (number, value) {
            (1, Value::Varint(value)) => seconds = value.cast_signed(),
            (2, Value::Varint(value)) => nanos = u32::try_from(value).unwrap_or_default(),
            _ => {}
        }
    }
    let instant = Instant { seconds, nanos: nanos.min(999_999_999) };
    Ok(Tree::Text(if micro { instant.to_micro_text() } else { instant.to_text() }))
}

fn int_or_string(node: &Node, bytes: &[u8]) -> Result<Tree, DecodeFault> {
    let (mut is_text, mut whole, mut written) = (false, 0i64, String::new());
    let mut cursor = Cursor::new(bytes);
    while let Some((place, value)) = cursor.next()? {
        match place {
            1 => is_text = number(node, value)? != 0,
            2 => whole = number(node, value)?,
            3 => written = string(node, value)?,
            _ => {}
        }
    }
    Ok(if is_text { Tree::Text(written) } else { Tree::Int(whole) })
}

fn raw(kind: Raw, node: &Node, bytes: &[u8]) -> Result<Tree, DecodeFault> {
    let Some(value) = single(bytes)? else { return Ok(Tree::Null) };
    let Value::Bytes(bytes) = value else { return Err(wrong(node)) };
    if bytes.is_empty() {
        return Ok(Tree::Null);
    }
    if kind == Raw::Extension && bytes.starts_with(super::MAGIC) {
        return Err(DecodeFault("an embedded object must be JSON, not protobuf".to_owned()));
    }
    Tree::from_json(bytes).map(|d| d.tree).map_err(|e| DecodeFault(format!("an embedded object is no JSON: {e}")))
}
