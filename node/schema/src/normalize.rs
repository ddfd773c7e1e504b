//! What a round trip through Go's structs does to an object: empty fields go, zero values that are always written
//! come, fields that the schema does not know go.

use crate::facts::Omit;
use crate::node::Schema;
use crate::node::{Field, Node, Object, Struct};
use api::{Map, Name, Tree};
use std::cmp::Ordering;

/// Brings an object into the form in which it is stored and answered. Doing it twice changes nothing.
pub fn normalize(schema: &Schema, tree: &mut Tree) {
    value(schema.root(), tree);
}

fn value(node: &Node, tree: &mut Tree) {
    match (node, tree) {
        (Node::Object(object), tree @ (Tree::Map(_) | Tree::Null)) => structure(object.fields(), tree),
        (Node::List(list), Tree::List(items)) => {
            for item in items {
                element(&list.item, item);
            }
        }
        (Node::Map(inner), Tree::Map(map)) => {
            for (_, item) in map.iter_mut() {
                element(inner, item);
            }
        }
        (Node::Either(object), tree) => either(object, tree),
        _ => {}
    }
}

fn element(node: &Node, tree: &mut Tree) {
    if tree.is_null() {
        *tree = node.zero();
    }
    value(node, tree);
}

fn either(object: &Object, tree: &mut Tree) {
    for field in &object.fields().fields {
        match (&field.node, &*tree) {
            (Node::Object(_), Tree::Map(_)) | (Node::List(_), Tree::List(_)) => return value(&field.node, tree),
            _ => {}
        }
    }
}

fn structure(fields: &Struct, tree: &mut Tree) {
    let map = std::mem::take(tree.make_map());
    let mut given = map.into_fields().into_iter().peekable();
    let mut kept: Vec<(Name, Tree)> = Vec::with_capacity(given.len() + 2);
    for field in &fields.fields {
        // Both are sorted: what is smaller than the field is unknown to the schema.
        let mut found = None;
        while let Some((name, _)) = given.peek() {
            match name.cmp(&field.name) {
                Ordering::Less => _ = given.next(),
                Ordering::Equal => found = given.next(),
                Ordering::Greater => break,
            }
        }
        let (name, value) = found.map_or((None, None), |(name, value)| (Some(name), Some(value)));
        if let Some(value) = one(field, value) {
            kept.push((name.unwrap_or_else(|| field.name.clone()), value));
        }
    }
    *tree = Tree::Map(Map::from_fields(kept));
}

/// The value of a field as it is written, or `None` when it is left out.
fn one(field: &Field, found: Option<Tree>) -> Option<Tree> {
    let present = found.filter(|v| !v.is_null());
    let Some(mut tree) = present else {
        let written = match field.omit {
            Omit::Never => true,
            Omit::Empty => !field.pointer && field.node.is_struct(),
            Omit::Zero => false,
        };
        return written.then(|| if field.pointer { Tree::Null } else { zero(&field.node) });
    };
    value(&field.node, &mut tree);
    // Upstream's storage does not tell an empty list from none.
    if field.omit == Omit::Never && !field.pointer && matches!(field.node, Node::List(_)) && tree.is_empty() {
        tree = zero(&field.node);
    }
    let dropped = match field.omit {
        _ if field.pointer => false,
        Omit::Never => false,
        Omit::Empty => !field.node.is_struct() && tree.is_empty(),
        Omit::Zero => is_zero(&field.node, &tree),
    };
    (!dropped).then_some(tree)
}

/// The zero value of a type as Go writes it.
fn zero(node: &Node) -> Tree {
    let mut tree = node.zero();
    value(node, &mut tree);
    tree
}

/// Whether a normalized value is Go's zero value.
fn is_zero(node: &Node, tree: &Tree) -> bool {
    match (node, tree) {
        (_, Tree::Null) => true,
        (Node::Object(object), Tree::Map(map)) => {
            let fields = object.fields();
            map.iter().all(|(name, value)| match fields.field(name) {
                Some(field) if field.pointer => value.is_null(),
                Some(field) => is_zero(&field.node, value),
                None => true,
            })
        }
        (Node::Duration, tree) => tree.as_str() == Some("0s"),
        (Node::Quantity, tree) => tree.as_str() == Some("0"),
        (Node::Raw(_) | Node::Any | Node::Time | Node::MicroTime | Node::Either(_), _) => false,
        (Node::IntOrString, tree) => tree.as_int() == Some(0),
        (_, tree) => tree.is_empty(),
    }
}

#[cfg(test)]
mod tests;
