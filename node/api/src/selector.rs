//! Selectors: by labels (`app=web,tier in (a,b),!old`) and by fields (`metadata.name=x,status.phase!=Failed`).

mod field;
mod label;

pub use field::{FieldSelector, FieldTerm};
pub use label::{LabelSelector, Operator, Requirement};

/// A selector that could not be read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(pub String);
