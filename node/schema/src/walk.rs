//! Finding the way through an object by its schema: the schema at a path, and the item of a keyed list. Server-side
//! apply stands on this.

use crate::facts::ListKind;
use crate::node::{Field, Node, Schema};
use api::Tree;

/// The field at a path of names; lists and maps on the way are stepped through. `["spec", "containers", "image"]`.
#[must_use]
pub fn field_at<'a>(schema: &'a Schema, path: &[&str]) -> Option<&'a Field> {
    let mut node = schema.root();
    let mut found = None;
    for name in path {
        let field = below(node).object()?.field(name)?;
        found = Some(field);
        node = &field.node;
    }
    found
}

/// The item type of nested lists and maps.
fn below(mut node: &Node) -> &Node {
    loop {
        node = match node {
            Node::List(list) => &list.item,
            Node::Map(inner) => inner,
            _ => return node,
        };
    }
}

/// The values of the keys of an item, in the order of the keys. A key that is absent has the default of its field, if
/// that has one; otherwise the item has no key.
#[must_use]
pub fn list_key(field: &Field, item: &Tree) -> Option<Vec<Tree>> {
    let ListKind::Map(keys) = field.list else { return None };
    let fields = below(&field.node).object()?;
    let value = |key: &&str| match item.get(key).filter(|v| !v.is_null()) {
        Some(value) => Some(value.clone()),
        None => fields.field(key)?.default.clone(),
    };
    keys.iter().map(value).collect()
}

/// The place of the item with these key values.
#[must_use]
pub fn find_item(field: &Field, items: &[Tree], key: &[Tree]) -> Option<usize> {
    items.iter().position(|item| list_key(field, item).as_deref() == Some(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::widget;
    use api::tree;

    #[test]
    fn an_item_is_found_by_its_keys_with_their_defaults() {
        let schema = widget();
        let field = field_at(&schema, &["spec", "parts", "items"]).unwrap();
        let items = [tree!({"key": "a", "protocol": "UDP"}), tree!({"key": "a"})];
        assert_eq!(find_item(field, &items, &[Tree::text("a"), Tree::text("TCP")]), Some(1));
        assert_eq!(list_key(field, &tree!({"protocol": "TCP"})), None);
        assert!(field_at(&schema, &["spec", "nothing"]).is_none());
    }
}
