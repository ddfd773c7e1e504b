//! The schema engine: strict decoding, pruning, defaulting, validation, patches, protobuf transcoding, OpenAPI, all over `api::Tree`.
//!
//! Pure core: everything; no I/O, no clock.
//!
//! It must not know a single built-in kind, nor storage or HTTP.

pub mod facts;
