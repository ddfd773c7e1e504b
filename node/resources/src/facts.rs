//! The facts table: every built-in API type and resource of Kubernetes 1.36, made from `facts/*.facts` at build time.
//!
//! It must not add to the text or correct it: what is wrong there is corrected by `scripts/facts`.

use schema::facts::{
    ColumnFact, FieldFact, Form, Gvk, ListKind, MapKind, Omit, Patch, ResourceFact, Shape, SubresourceFact, TypeFact,
    TypeId, UnionFact,
};

include!(concat!(env!("OUT_DIR"), "/facts.rs"));

/// The type with this OpenAPI name.
pub fn type_named(name: &str) -> Option<TypeId> {
    let at = TYPES.binary_search_by(|t| t.name.cmp(name)).ok()?;
    u16::try_from(at).ok().map(TypeId)
}

/// The type that is registered under this group, version and kind.
pub fn type_of_kind(group: &str, version: &str, kind: &str) -> Option<TypeId> {
    let found = |t: &TypeFact| t.gvk.is_some_and(|g| g.kind == kind && g.group == group && g.version == version);
    u16::try_from(TYPES.iter().position(found)?).ok().map(TypeId)
}

/// The resource at `/apis/{group}/{version}/{plural}`; the core group is empty.
pub fn resource(group: &str, version: &str, plural: &str) -> Option<&'static ResourceFact> {
    RESOURCES.iter().find(|r| r.plural == plural && r.gvk.group == group && r.gvk.version == version)
}

#[cfg(test)]
mod tests;
