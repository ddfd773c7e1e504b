//! The JSON patch of RFC 6902, with the habits of upstream's library: `-1` counts from the end of a list, replacing an
//! absent field of an object adds it.

use super::PatchFault;
use api::Tree;

/// Operations in one patch, as upstream allows.
pub const JSON_PATCH_OPERATIONS_MAX: usize = 10_000;

const MISSING: &str = "missing value";
const INVALID_INDEX: &str = "invalid index referenced";

/// Applies a JSON patch.
///
/// # Errors
/// The patch is no list of operations, is too long, or an operation does not apply.
pub fn json_patch(mut target: Tree, patch: &Tree) -> Result<Tree, PatchFault> {
    let Some(operations) = patch.as_list() else {
        let what = go_kind(patch);
        return Err(PatchFault::Malformed(format!(
            "json: cannot unmarshal {what} into Go value of type jsonpatch.Patch"
        )));
    };
    if operations.len() > JSON_PATCH_OPERATIONS_MAX {
        let (most, got) = (JSON_PATCH_OPERATIONS_MAX, operations.len());
        return Err(PatchFault::TooLarge(format!(
            "The allowed maximum operations in a JSON patch is {most}, got {got}"
        )));
    }
    if let Some(wrong) = operations.iter().find(|o| o.as_map().is_none()) {
        let what = go_kind(wrong);
        return Err(PatchFault::Malformed(format!(
            "json: cannot unmarshal {what} into Go value of type jsonpatch.Operation"
        )));
    }
    for operation in operations {
        apply(&mut target, operation).map_err(PatchFault::Unprocessable)?;
    }
    Ok(target)
}

fn go_kind(tree: &Tree) -> &'static str {
    match tree {
        Tree::Int(_) | Tree::Float(_) => "number",
        Tree::Bool(_) => "bool",
        other => other.type_name(),
    }
}

fn apply(target: &mut Tree, operation: &Tree) -> Result<(), String> {
    match operation.str_at(&["op"]).unwrap_or_default() {
        "add" => {
            let path = path(operation).ok_or_else(|| format!("add operation failed to decode path: {MISSING}"))?;
            add(target, path, value(operation))
        }
        "remove" => {
            let path = path(operation).ok_or_else(|| format!("remove operation failed to decode path: {MISSING}"))?;
            remove(target, path).map(|_| ())
        }
        "replace" => replace(target, operation),
        "move" => relocate(target, operation),
        "copy" => copy(target, operation),
        "test" => test(target, operation),
        other => Err(format!("Unexpected kind: {}", if other.is_empty() { "unknown" } else { other })),
    }
}

fn path(operation: &Tree) -> Option<&str> {
    operation.str_at(&["path"])
}

fn from(operation: &Tree) -> Option<&str> {
    operation.str_at(&["from"])
}

fn value(operation: &Tree) -> Tree {
    operation.get("value").cloned().unwrap_or_default()
}

/// A step of a path without its escapes.
fn unescaped(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

/// The object or list that holds what a path names, and the last step.
fn holder<'a>(target: &'a mut Tree, path: &str) -> Option<(&'a mut Tree, String)> {
    let (above, last) = path.rsplit_once('/')?;
    let mut at = target;
    for step in above.split('/').skip(1) {
        at = match at {
            Tree::Map(map) => map.get_mut(&unescaped(step))?,
            Tree::List(items) => {
                let place = index(step, items.len()).ok()?;
                items.get_mut(place)?
            }
            _ => return None,
        };
    }
    matches!(at, Tree::Map(_) | Tree::List(_)).then(|| (at, unescaped(last)))
}

/// An index below `size`; negative ones count from the end.
fn index(step: &str, size: usize) -> Result<usize, String> {
    let index: i64 = step.parse().map_err(|_| format!("strconv.Atoi: parsing {step:?}: invalid syntax"))?;
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    let place = if index < 0 { index + size } else { index };
    if place < 0 || place >= size {
        return Err(format!("Unable to access invalid index: {index}: {INVALID_INDEX}"));
    }
    usize::try_from(place).map_err(|_| INVALID_INDEX.to_owned())
}

fn insert(holder: &mut Tree, key: &str, value: Tree) -> Result<(), String> {
    match holder {
        Tree::List(items) if key == "-" => items.push(value),
        Tree::List(items) => {
            let place = index(key, items.len() + 1).map_err(|e| match e.strip_prefix("strconv") {
                Some(_) => format!("value was not a proper array index: '{key}': {e}"),
                None => e,
            })?;
            items.insert(place, value);
        }
        other => _ = other.make_map().insert(key, value),
    }
    Ok(())
}

fn add(target: &mut Tree, path: &str, value: Tree) -> Result<(), String> {
    let found = holder(target, path);
    let (holder, key) =
        found.ok_or_else(|| format!("add operation does not apply: doc is missing path: \"{path}\": {MISSING}"))?;
    insert(holder, &key, value).map_err(|e| format!("error in add for path: '{path}': {e}"))
}

fn take(holder: &mut Tree, key: &str) -> Result<Tree, String> {
    match holder {
        Tree::List(items) => Ok(items.remove(index(key, items.len())?)),
        other => other.remove(key).ok_or_else(|| format!("Unable to remove nonexistent key: {key}: {MISSING}")),
    }
}

fn remove(target: &mut Tree, path: &str) -> Result<Tree, String> {
    let found = holder(target, path);
    let (holder, key) =
        found.ok_or_else(|| format!("remove operation does not apply: doc is missing path: \"{path}\": {MISSING}"))?;
    take(holder, &key).map_err(|e| format!("error in remove for path: '{path}': {e}"))
}

/// The value of a key; what an object does not have is null.
fn look(holder: &Tree, key: &str) -> Result<Tree, String> {
    match holder {
        Tree::List(items) => Ok(items[index(key, items.len())?].clone()),
        other => Ok(other.get(key).cloned().unwrap_or_default()),
    }
}

fn replace(target: &mut Tree, operation: &Tree) -> Result<(), String> {
    let path = path(operation)
        .ok_or_else(|| format!("replace operation failed to decode path: operation missing path field: {MISSING}"))?;
    let value = value(operation);
    if path.is_empty() {
        if !matches!(value, Tree::Map(_) | Tree::List(_)) {
            return Err("replace operation value must be object or array".to_owned());
        }
        *target = value;
        return Ok(());
    }
    let found = holder(target, path);
    let (holder, key) =
        found.ok_or_else(|| format!("replace operation does not apply: doc is missing path: {path}: {MISSING}"))?;
    match holder {
        Tree::List(items) => {
            let missing = |_| format!("replace operation does not apply: doc is missing key: {path}: {MISSING}");
            let place = index(&key, items.len()).map_err(missing)?;
            items[place] = value;
        }
        other => _ = other.make_map().insert(key, value),
    }
    Ok(())
}

fn relocate(target: &mut Tree, operation: &Tree) -> Result<(), String> {
    let from = from(operation)
        .ok_or_else(|| format!("move operation failed to decode from: operation, missing from field: {MISSING}"))?;
    let path = path(operation)
        .ok_or_else(|| format!("move operation failed to decode path: operation missing path field: {MISSING}"))?;
    let found = holder(target, from);
    let (source, key) =
        found.ok_or_else(|| format!("move operation does not apply: doc is missing from path: {from}: {MISSING}"))?;
    let moved = take(source, &key).map_err(|e| format!("error in move for path: '{key}': {e}"))?;
    let found = holder(target, path);
    let (into, key) = found
        .ok_or_else(|| format!("move operation does not apply: doc is missing destination path: {path}: {MISSING}"))?;
    insert(into, &key, moved).map_err(|e| format!("error in move for path: '{path}': {e}"))
}

fn copy(target: &mut Tree, operation: &Tree) -> Result<(), String> {
    let from = from(operation)
        .ok_or_else(|| format!("copy operation failed to decode from: operation, missing from field: {MISSING}"))?;
    let found = holder(target, from);
    let (source, key) =
        found.ok_or_else(|| format!("copy operation does not apply: doc is missing from path: {from}: {MISSING}"))?;
    let copied = look(source, &key).map_err(|e| format!("error in copy for from: '{from}': {e}"))?;
    let path = path(operation).ok_or_else(|| format!("copy operation failed to decode path: {MISSING}"))?;
    let found = holder(target, path);
    let (into, key) = found
        .ok_or_else(|| format!("copy operation does not apply: doc is missing destination path: {path}: {MISSING}"))?;
    insert(into, &key, copied).map_err(|e| format!("error while adding value during copy: {e}"))
}

fn test(target: &mut Tree, operation: &Tree) -> Result<(), String> {
    let path = path(operation)
        .ok_or_else(|| format!("test operation failed to decode path: operation missing path field: {MISSING}"))?;
    let wanted = value(operation);
    let found = if path.is_empty() {
        target.clone()
    } else {
        let (holder, key) = holder(target, path)
            .ok_or_else(|| format!("test operation does not apply: is missing path: {path}: {MISSING}"))?;
        look(holder, &key).map_err(|e| format!("error in test for path: '{path}': {e}"))?
    };
    if found == wanted { Ok(()) } else { Err(format!("testing value {path} failed: test failed")) }
}
