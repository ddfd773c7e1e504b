//! Reading the metadata that every object has. Writing it is the business of whoever owns the field.

use crate::tree::{Map, Tree};

/// Names of the metadata fields, where a typing slip would be silent.
pub const METADATA: &str = "metadata";

/// `metadata.name`, or the empty string.
#[must_use]
pub fn name(object: &Tree) -> &str {
    object.str_at(&[METADATA, "name"]).unwrap_or_default()
}

/// `metadata.namespace`, or the empty string.
#[must_use]
pub fn namespace(object: &Tree) -> &str {
    object.str_at(&[METADATA, "namespace"]).unwrap_or_default()
}

/// `metadata.uid`, or the empty string.
#[must_use]
pub fn uid(object: &Tree) -> &str {
    object.str_at(&[METADATA, "uid"]).unwrap_or_default()
}

/// `metadata.resourceVersion`, or the empty string.
#[must_use]
pub fn resource_version(object: &Tree) -> &str {
    object.str_at(&[METADATA, "resourceVersion"]).unwrap_or_default()
}

/// `metadata.labels`.
#[must_use]
pub fn labels(object: &Tree) -> Option<&Map> {
    object.map_at(&[METADATA, "labels"])
}

/// `metadata.annotations[key]`.
#[must_use]
pub fn annotation<'a>(object: &'a Tree, key: &str) -> Option<&'a str> {
    object.map_at(&[METADATA, "annotations"])?.get(key)?.as_str()
}

/// `metadata.deletionTimestamp`, set while the object is being deleted.
#[must_use]
pub fn deletion_timestamp(object: &Tree) -> Option<&str> {
    object.str_at(&[METADATA, "deletionTimestamp"])
}

/// `metadata.finalizers`.
pub fn finalizers(object: &Tree) -> impl Iterator<Item = &str> {
    object.list_at(&[METADATA, "finalizers"]).iter().filter_map(Tree::as_str)
}

/// `metadata.generation`, 0 when absent.
#[must_use]
pub fn generation(object: &Tree) -> i64 {
    object.int_at(&[METADATA, "generation"]).unwrap_or_default()
}

/// `kind`, or the empty string.
#[must_use]
pub fn kind(object: &Tree) -> &str {
    object.str_at(&["kind"]).unwrap_or_default()
}

/// `apiVersion`, or the empty string.
#[must_use]
pub fn api_version(object: &Tree) -> &str {
    object.str_at(&["apiVersion"]).unwrap_or_default()
}

/// Splits `apps/v1` into group and version; `v1` has the empty group.
#[must_use]
pub fn split_api_version(api_version: &str) -> (&str, &str) {
    api_version.rsplit_once('/').unwrap_or(("", api_version))
}

/// Joins group and version; the empty group leaves the version alone.
#[must_use]
pub fn join_api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// The owner that has `controller: true`.
#[must_use]
pub fn controller_of(object: &Tree) -> Option<&Tree> {
    object.list_at(&[METADATA, "ownerReferences"]).iter().find(|o| o.bool_at(&["controller"]) == Some(true))
}
