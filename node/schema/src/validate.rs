//! What a schema alone can find wrong with an object that was not decoded by it: types, required fields and listed
//! values. Built-in objects have passed the decoder, which refuses wrong types, and their listed values are checked by
//! the rules of their kinds; this is the base of the validation of custom resources.

use crate::node::{Field, Node, Schema, Struct};
use api::path::{FieldError, FieldPath};
use api::{Quantity, Tree};

/// Faults that are collected of one object; as many as anybody reads.
pub const FAULTS_MAX: usize = 100;

/// The faults of an object, in the order of its fields.
#[must_use]
pub fn validate(schema: &Schema, tree: &Tree) -> Vec<FieldError> {
    let mut faults = Vec::new();
    value(schema.root(), tree, &mut FieldPath::root(), &mut faults);
    faults.truncate(FAULTS_MAX);
    faults
}

/// What the schema calls the type of a value, where the value does not have it.
fn expected(node: &Node, tree: &Tree) -> Option<&'static str> {
    let (name, fits) = match node {
        Node::Bool => ("boolean", tree.as_bool().is_some()),
        Node::Int(bits) => ("integer", tree.as_int().is_some_and(|v| bits.holds(v))),
        Node::Float => ("number", matches!(tree, Tree::Int(_) | Tree::Float(_))),
        Node::Text | Node::Bytes | Node::Time | Node::MicroTime | Node::Duration => ("string", tree.as_str().is_some()),
        Node::Quantity => ("quantity", tree.as_str().is_some_and(|t| Quantity::parse(t).is_ok())),
        Node::IntOrString => ("integer or string", tree.as_int().is_some() || tree.as_str().is_some()),
        Node::List(_) => ("array", tree.as_list().is_some()),
        Node::Map(_) | Node::Object(_) => ("object", tree.as_map().is_some()),
        Node::Raw(_) | Node::Any | Node::Either(_) => return None,
    };
    (!fits).then_some(name)
}

fn value(node: &Node, tree: &Tree, path: &mut FieldPath, faults: &mut Vec<FieldError>) {
    if faults.len() >= FAULTS_MAX || tree.is_null() {
        return;
    }
    if let Some(name) = expected(node, tree) {
        let found = tree.type_name();
        let detail = format!("{path} in body must be of type {name}: {found:?}");
        faults.push(FieldError::type_invalid(path.clone(), tree.clone(), detail));
        return;
    }
    match (node, tree) {
        (Node::List(list), Tree::List(items)) => {
            for (index, item) in items.iter().enumerate() {
                path.push_index(index);
                value(&list.item, item, path, faults);
                path.pop();
            }
        }
        (Node::Map(inner), Tree::Map(map)) => {
            for (key, item) in map {
                path.push_key(key);
                value(inner, item, path, faults);
                path.pop();
            }
        }
        (Node::Object(object), Tree::Map(_)) => fields(object.fields(), tree, path, faults),
        _ => {}
    }
}

fn fields(known: &Struct, tree: &Tree, path: &mut FieldPath, faults: &mut Vec<FieldError>) {
    for field in &known.fields {
        path.push_field(&field.name);
        match tree.get(&field.name) {
            Some(found) if !found.is_null() => {
                listed(field, found, path, faults);
                value(&field.node, found, path, faults);
            }
            _ if field.required && field.pointer => faults.push(FieldError::required(path.clone(), "")),
            _ => {}
        }
        path.pop();
    }
}

/// A value outside the listed ones.
fn listed(field: &Field, tree: &Tree, path: &FieldPath, faults: &mut Vec<FieldError>) {
    if let Some(text) = tree.as_str()
        && !field.enums.is_empty()
        && !field.enums.contains(&text)
    {
        faults.push(FieldError::not_supported(path.clone(), text, field.enums));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::widget;

    #[test]
    fn wrong_types_and_missing_fields_are_found_with_their_path() {
        let tree =
            Tree::from_json(br#"{"spec":{"replicas":"x","parts":[{"name":1},{"size":"big"}],"limits":{"a":{}}}}"#);
        let faults = validate(&widget(), &tree.unwrap().tree);
        let shown: Vec<String> = faults.iter().map(|f| f.path.to_string()).collect();
        let expected = ["spec.limits[a]", "spec.parts[0].name", "spec.parts[1].size", "spec.replicas", "spec.selector"];
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_whole_object_has_no_fault() {
        let tree = Tree::from_json(br#"{"spec":{"replicas":1,"selector":{},"template":[1],"more":true}}"#);
        assert_eq!(validate(&widget(), &tree.unwrap().tree), Vec::new());
    }
}
