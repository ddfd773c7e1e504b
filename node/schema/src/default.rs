//! Defaults that the schema marks. Those that need thought are written by hand elsewhere.

use crate::node::{Field, Node, Schema, Struct};
use api::Tree;

/// Fills in the defaults of absent fields, and of zero values where Go cannot tell the two apart.
pub fn default(schema: &Schema, tree: &mut Tree) {
    value(schema.root(), tree);
}

fn value(node: &Node, tree: &mut Tree) {
    match (node, tree) {
        (Node::Object(object), tree @ Tree::Map(_)) => structure(object.fields(), tree),
        (Node::List(list), Tree::List(items)) => {
            for item in items {
                value(&list.item, item);
            }
        }
        (Node::Map(inner), Tree::Map(map)) => {
            for (_, item) in map.iter_mut() {
                value(inner, item);
            }
        }
        (Node::Either(object), tree @ Tree::Map(_)) => {
            let member = object.fields().fields.iter().find(|f| matches!(f.node, Node::Object(_)));
            if let Some(field) = member {
                value(&field.node, tree);
            }
        }
        _ => {}
    }
}

fn structure(fields: &Struct, tree: &mut Tree) {
    for field in &fields.fields {
        if let Some(found) = tree.get_mut(&field.name).filter(|v| !absent(field, v)) {
            value(&field.node, found);
        } else if let Some(mut filled) = given(field) {
            value(&field.node, &mut filled);
            tree.set(&field.name, filled);
        }
    }
}

/// Whether Go would see the field as unset.
fn absent(field: &Field, tree: &Tree) -> bool {
    tree.is_null() || (!field.pointer && field.default.is_some() && tree.is_empty())
}

/// What stands in for an absent field: its default, or the defaults inside a struct that Go always has.
fn given(field: &Field) -> Option<Tree> {
    if field.default.is_some() {
        return field.default.clone();
    }
    match &field.node {
        Node::Object(_) if !field.pointer => {
            let mut inner = Tree::map();
            value(&field.node, &mut inner);
            (!inner.is_empty()).then_some(inner)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
