//! The schema engine: strict decoding, pruning, defaulting, validation, patches, protobuf transcoding, OpenAPI, all over `api::Tree`.
//!
//! Pure core: everything; no I/O, no clock.
//!
//! It must not know a single built-in kind, nor storage or HTTP.

pub mod decode;
mod default;
pub mod facts;
pub mod node;
mod normalize;
pub mod openapi;
pub mod patch;
pub mod protobuf;
#[cfg(test)]
mod sample;
mod types;
mod validate;
pub mod walk;

pub use decode::{DecodeFault, Decoded, TypeMeta, decode_json, decode_tree, decode_yaml, kind_of_json, kind_of_tree};
pub use default::default;
pub use node::Schema;
pub use normalize::normalize;
pub use openapi::{OpenApi, openapi};
pub use patch::{PatchFault, json_patch, merge_patch, strategic_merge_patch};
pub use protobuf::{decode_protobuf, encode_protobuf, kind_of_protobuf, watch_frame};
pub use types::Types;
pub use validate::validate;
