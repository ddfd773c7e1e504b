//! `managedFields`: who owns which field. Every write passes here; the sets of fields themselves come with
//! server-side apply. Until then what is recorded stays as it is, and a client may only clear it, as upstream allows.

use crate::call::Call;
use api::Tree;

/// Brings the record of a written object up to date.
pub fn track(_call: &Call, old: Option<&Tree>, object: &mut Tree) {
    let Some(metadata) = object.get_mut("metadata") else { return };
    let cleared = matches!(metadata.get("managedFields"), Some(Tree::List(items)) if items.iter().all(Tree::is_empty));
    let kept = old.and_then(|old| old.at(&["metadata", "managedFields"])).filter(|_| !cleared).cloned();
    match kept {
        Some(fields) => metadata.set("managedFields", fields),
        None => {
            metadata.remove("managedFields");
        }
    }
}
