//! Pure vocabulary of the Kubernetes API: the object tree, metadata, selectors, quantities, field paths, Status, time.
//!
//! Pure core: everything; no I/O, no clock, no async.
//!
//! It must not know any kind, schema, storage or transport.
