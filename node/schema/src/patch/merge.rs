//! The merge patch of RFC 7396.

use super::PatchFault;
use api::{Map, Tree};

/// Applies a merge patch: objects merge, null removes, everything else replaces.
///
/// # Errors
/// The patch is no object.
pub fn merge_patch(target: Tree, patch: Tree) -> Result<Tree, PatchFault> {
    match patch {
        Tree::Map(patch) => Ok(merge(target, patch)),
        _ => Err(PatchFault::Malformed("Invalid JSON Patch".to_owned())),
    }
}

fn merge(target: Tree, patch: Map) -> Tree {
    let mut merged = match target {
        Tree::Map(map) => map,
        _ => Map::new(),
    };
    for (name, value) in patch {
        match value {
            Tree::Null => _ = merged.remove(&name),
            Tree::Map(inner) => {
                let below = merged.remove(&name).unwrap_or_default();
                merged.insert(name, merge(below, inner));
            }
            other => _ = merged.insert(name, other),
        }
    }
    Tree::Map(merged)
}
