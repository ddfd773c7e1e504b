//! The built-in kinds: one file each, one line each in one table.
//!
//! Pure core: everything; defaults, validation and printing are functions over trees.
//!
//! It must not do I/O, read a clock, or know the server that serves the kinds.

pub mod cells;
mod columns;
pub mod facts;
pub mod kind;
mod kinds;
pub mod rules;

pub use columns::column_text;
pub use kind::{Column, Conversion, Kind, SubResource};
pub use kinds::{EPHEMERAL_CONTAINERS, RESIZE, kinds};
pub use rules::{Faults, Grace, PLAIN, Rules, SelectableField};

use schema::Schema;
use std::sync::OnceLock;

/// The schemas of all types of the table; each is built when it is first asked for.
#[must_use]
pub fn types() -> &'static schema::Types {
    static TYPES: OnceLock<schema::Types> = OnceLock::new();
    TYPES.get_or_init(|| schema::Types::new(facts::TYPES))
}

/// The schema of a type of the table, by its OpenAPI name.
///
/// # Panics
/// When there is no such type: the names that the server asks for are part of its code.
#[must_use]
pub fn schema_named(name: &str) -> Schema {
    types().schema_named(name).unwrap_or_else(|| panic!("the facts table has no type {name}"))
}
