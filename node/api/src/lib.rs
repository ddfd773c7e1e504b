//! Pure vocabulary of the Kubernetes API: the object tree, metadata, selectors, quantities, field paths, Status, time.
//!
//! Pure core: everything; no I/O, no clock, no async.
//!
//! It must not know any kind, schema, storage or transport.

pub mod cron;
pub mod meta;
pub mod names;
pub mod path;
pub mod quantity;
pub mod selector;
pub mod status;
pub mod time;
pub mod tree;

pub use path::{FieldError, FieldPath};
pub use quantity::Quantity;
pub use status::Status;
pub use tree::{Map, Name, Tree};
