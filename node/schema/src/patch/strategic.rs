//! The strategic merge patch: a merge patch that knows from the schema how lists merge, with its directives `$patch`,
//! `$retainKeys`, `$setElementOrder/…` and `$deleteFromPrimitiveList/…`.

use super::order::{arrange, place, same};
use super::{PatchFault, shown};
use crate::facts::Patch;
use crate::node::{Field, Node, Schema};
use api::{Map, Name, Tree};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const SET_ORDER: &str = "$setElementOrder/";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";

/// Applies a strategic merge patch to an object of the schema.
///
/// # Errors
/// A directive is malformed, or an item of a list lacks the merge key.
pub fn strategic_merge_patch(schema: &Schema, original: Tree, patch: Tree) -> Result<Tree, PatchFault> {
    let (Tree::Map(original), Tree::Map(patch)) = (original, patch) else {
        return Err(PatchFault::Malformed("invalid JSON document".to_owned()));
    };
    merge_map(original, patch, Some(schema.root())).map(Tree::Map)
}

fn malformed<T>(why: &str) -> Result<T, PatchFault> {
    Err(PatchFault::Malformed(why.to_owned()))
}

/// How a list merges.
#[derive(Clone, Copy)]
enum Merge<'a> {
    Replace,
    Scalars,
    By(&'a str),
}

fn strategy(field: Option<&Field>) -> Merge<'_> {
    match field.map(|f| f.patch) {
        Some(Patch::Merge) => Merge::Scalars,
        Some(Patch::MergeBy(key) | Patch::MergeRetainKeys(key)) => Merge::By(key),
        _ => Merge::Replace,
    }
}

/// The field of an object; free maps have none. A free-form value cannot be merged into, as upstream knows no fields
/// of it.
fn find<'a>(node: Option<&'a Node>, name: &str) -> Result<Option<&'a Field>, PatchFault> {
    let fields = match node {
        Some(Node::Object(object)) => object.fields(),
        Some(Node::Either(object)) => {
            let inner = object.fields().fields.iter().find(|f| matches!(f.node, Node::Object(_)));
            return find(inner.map(|f| &f.node), name);
        }
        Some(node @ Node::Raw(_)) => {
            let go = node.go_type();
            let go = go.rsplit('.').next().unwrap_or(&go);
            let why = format!("unable to find api field in struct {go} for the json field {name:?}");
            return Err(PatchFault::Internal(why));
        }
        _ => return Ok(None),
    };
    let unknown = || {
        let go = fields.go_name();
        PatchFault::Internal(format!("unable to find api field in struct {go} for the json field {name:?}"))
    };
    fields.field(name).map(Some).ok_or_else(unknown)
}

fn value_of<'a>(node: Option<&'a Node>, field: Option<&'a Field>) -> Option<&'a Node> {
    match (field, node) {
        (Some(field), _) => Some(&field.node),
        (None, Some(Node::Map(inner))) => Some(inner),
        _ => None,
    }
}

fn merge_map(mut original: Map, mut patch: Map, node: Option<&Node>) -> Result<Map, PatchFault> {
    if let Some(directive) = patch.get(DIRECTIVE) {
        return match directive.as_str() {
            Some("replace") => {
                patch.remove(DIRECTIVE);
                Ok(patch)
            }
            Some("delete") => Ok(Map::new()),
            _ => Err(unknown_directive(&Tree::Map(patch))),
        };
    }
    retain_keys(&mut original, &mut patch)?;
    set_orders(&mut original, &mut patch, node)?;
    for (key, value) in patch {
        let (name, deletes) = match key.strip_prefix(DELETE_FROM) {
            Some(name) => (Name::new(name), true),
            None => (key, false),
        };
        merge_field(&mut original, name, value, deletes, node)?;
    }
    Ok(original)
}

fn unknown_directive(patch: &Tree) -> PatchFault {
    let directive = patch.get(DIRECTIVE).map(|d| d.as_str().map_or_else(|| shown(d), str::to_owned));
    let directive = directive.unwrap_or_default();
    PatchFault::Internal(format!("unknown patch type: {directive} in map: {}", shown(patch)))
}

fn merge_field(
    original: &mut Map,
    name: Name,
    value: Tree,
    deletes: bool,
    node: Option<&Node>,
) -> Result<(), PatchFault> {
    if value.is_null() {
        original.remove(&name);
        return Ok(());
    }
    let merged = match (original.remove(&name), value) {
        (Some(Tree::Map(old)), Tree::Map(new)) => {
            let field = find(node, &name)?;
            if field.is_some_and(|f| f.patch == Patch::Replace) {
                Some(Tree::Map(new))
            } else {
                Some(Tree::Map(merge_map(old, new, value_of(node, field))?))
            }
        }
        (Some(Tree::List(old)), Tree::List(new)) => {
            let field = find(node, &name)?;
            Some(Tree::List(merge_list(old, new, field, deletes)?))
        }
        (old, _) if deletes => old,
        (old, mut new) => {
            if old.as_ref().is_none_or(|old| old.type_name() != new.type_name()) {
                drop_nulls(&mut new);
            }
            drop_directives(new)
        }
    };
    if let Some(merged) = merged {
        original.insert(name, merged);
    }
    Ok(())
}

/// `$retainKeys`: what it does not name goes; what the patch sets must be named.
fn retain_keys(original: &mut Map, patch: &mut Map) -> Result<(), PatchFault> {
    const WRONG: &str = "invalid patch format of retainKeys";
    let Some(retained) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let Some(retained) = retained.as_list() else { return malformed(WRONG) };
    let named = |name: &str| retained.iter().any(|r| r.as_str() == Some(name));
    let directive = |name: &str| name.starts_with(SET_ORDER) || name.starts_with(DELETE_FROM);
    if patch.iter().any(|(name, value)| !value.is_null() && !directive(name) && !named(name)) {
        return malformed(WRONG);
    }
    original.retain(|name, _| named(name));
    Ok(())
}

/// `$setElementOrder/…`: merges its list at once, and orders it.
fn set_orders(original: &mut Map, patch: &mut Map, node: Option<&Node>) -> Result<(), PatchFault> {
    let orders: Vec<Name> = patch.keys().filter(|k| k.starts_with(SET_ORDER)).cloned().collect();
    for directive in orders {
        let order = patch.remove(&directive).unwrap_or_default();
        let name = &directive[SET_ORDER.len()..];
        let order = list_of(Some(order))?.unwrap_or_default();
        let old = list_of(original.get(name).cloned())?;
        let new = list_of(patch.get(name).cloned())?;
        let field = find(node, name)?;
        let key = match strategy(field) {
            Merge::By(key) => Some(key),
            Merge::Scalars | Merge::Replace => None,
        };
        check_order(new.as_deref().unwrap_or_default(), &order, key)?;
        let server = old.clone().unwrap_or_default();
        let merged = match (old, new) {
            (None, None) => continue,
            (Some(old), None) => old,
            (None, Some(new)) => new.into_iter().filter_map(drop_directives).collect(),
            (Some(old), Some(new)) => merge_list(old, new, field, false)?,
        };
        if let Some(key) = key {
            merged.iter().try_for_each(|item| keyed(item, key).map(|_| ()))?;
        }
        original.insert(name, Tree::List(arrange(merged, &order, &server, key)));
        patch.remove(name);
    }
    Ok(())
}

fn list_of(tree: Option<Tree>) -> Result<Option<Vec<Tree>>, PatchFault> {
    match tree {
        None => Ok(None),
        Some(Tree::List(items)) => Ok(Some(items)),
        Some(other) => {
            let why = format!("expected a []interface {{}}, but received a {}", other.type_name());
            Err(PatchFault::Internal(why))
        }
    }
}

/// The items of a patch must stand in the order that it asks for.
fn check_order(patch: &[Tree], order: &[Tree], key: Option<&str>) -> Result<(), PatchFault> {
    if patch.is_empty() || order.is_empty() {
        return Ok(());
    }
    let mut rest = order.iter();
    for item in patch.iter().filter(|i| i.get(DIRECTIVE).is_none()) {
        if let Some(key) = key {
            keyed(item, key)?;
        }
        if !rest.any(|other| same(item, other, key)) {
            let (patch, order) = (shown(&Tree::List(patch.to_vec())), shown(&Tree::List(order.to_vec())));
            let why = format!("The order in patch list:\n{patch}\n doesn't match $setElementOrder list:\n{order}\n");
            return Err(PatchFault::Internal(why));
        }
    }
    Ok(())
}

/// A value as Go prints it with `%v`.
fn printed(value: &Tree) -> String {
    match value {
        Tree::Null => "<nil>".to_owned(),
        Tree::Text(text) => text.clone(),
        Tree::List(items) => format!("[{}]", items.iter().map(printed).collect::<Vec<_>>().join(" ")),
        Tree::Map(map) => {
            let entries = map.iter().map(|(name, value)| format!("{name}:{}", printed(value)));
            format!("map[{}]", entries.collect::<Vec<_>>().join(" "))
        }
        other => other.to_json_text(),
    }
}

/// The value of the merge key of an item.
fn keyed<'a>(item: &'a Tree, key: &str) -> Result<&'a Tree, PatchFault> {
    let missing = || PatchFault::Internal(format!("map: {} does not contain declared merge key: {key}", printed(item)));
    item.get(key).ok_or_else(missing)
}

fn merge_list(
    original: Vec<Tree>,
    patch: Vec<Tree>,
    field: Option<&Field>,
    deletes: bool,
) -> Result<Vec<Tree>, PatchFault> {
    let strategy = strategy(field);
    if matches!(strategy, Merge::Replace) && !deletes {
        return Ok(patch);
    }
    let Some(first) = original.first().or(patch.first()) else { return Ok(original) };
    let objects = first.as_map().is_some();
    let all = || original.iter().chain(&patch);
    if all().any(|item| item.as_list().is_some()) {
        return Err(PatchFault::Unprocessable("lists of lists are not supported".to_owned()));
    }
    if all().any(|item| item.as_map().is_some() != objects) {
        return Err(PatchFault::Internal("list element types are not identical".to_owned()));
    }
    if !objects {
        if deletes {
            return Ok(original.into_iter().filter(|item| !patch.contains(item)).collect());
        }
        let mut merged: Vec<Tree> = Vec::with_capacity(original.len() + patch.len());
        for item in original.iter().chain(&patch) {
            if !merged.contains(item) {
                merged.push(item.clone());
            }
        }
        return Ok(arrange(merged, &patch, &original, None));
    }
    let item = field.and_then(|f| match &f.node {
        Node::List(list) => Some(&list.item),
        _ => None,
    });
    match strategy {
        Merge::By(key) => merge_objects(original, patch, key, item),
        _ => {
            let name = item.and_then(Node::object).map_or("", |o| o.go_name());
            Err(PatchFault::Internal(format!("cannot merge lists without merge key for {name}")))
        }
    }
}

fn merge_objects(
    mut original: Vec<Tree>,
    patch: Vec<Tree>,
    key: &str,
    node: Option<&Node>,
) -> Result<Vec<Tree>, PatchFault> {
    let mut plain = Vec::with_capacity(patch.len());
    let mut replace = false;
    for item in patch {
        match item.get(DIRECTIVE).map(|d| d.as_str().unwrap_or_default()) {
            None => plain.push(item),
            Some("delete") => {
                keyed(&item, key)?;
                original.retain(|other| !same(other, &item, Some(key)));
            }
            Some("replace") => replace = true,
            Some("merge") => {
                let why = "merging lists cannot yet be specified in the patch";
                return Err(PatchFault::Internal(why.to_owned()));
            }
            Some(_) => return Err(unknown_directive(&item)),
        }
    }
    if replace {
        plain.iter().try_for_each(|item| keyed(item, key).map(|_| ()))?;
        return Ok(plain);
    }
    let server = original.clone();
    for item in &plain {
        keyed(item, key)?;
        match place(&original, item, Some(key)) {
            Some(at) => {
                let (Tree::Map(old), Tree::Map(new)) = (std::mem::take(&mut original[at]), item.clone()) else {
                    unreachable!("all items are objects");
                };
                original[at] = Tree::Map(merge_map(old, new, node)?);
            }
            None => original.push(item.clone()),
        }
    }
    original.iter().try_for_each(|item| keyed(item, key).map(|_| ()))?;
    Ok(arrange(original, &plain, &server, Some(key)))
}

/// Nulls of a patch that meets nothing mean nothing.
fn drop_nulls(tree: &mut Tree) {
    match tree {
        Tree::Map(map) => map.retain(|_, value| {
            drop_nulls(value);
            !value.is_null()
        }),
        Tree::List(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Takes out what carries a `$patch` directive.
fn drop_directives(tree: Tree) -> Option<Tree> {
    match tree {
        Tree::Map(map) if map.contains(DIRECTIVE) => None,
        Tree::Map(map) => {
            let kept = map.into_iter().filter_map(|(name, value)| Some((name, drop_directives(value)?)));
            Some(Tree::Map(Map::from_fields(kept.collect())))
        }
        Tree::List(items) => Some(Tree::List(items.into_iter().filter_map(drop_directives).collect())),
        other => Some(other),
    }
}
