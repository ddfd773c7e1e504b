//! The three patches of the API over trees: RFC 6902, RFC 7396 and the strategic merge patch. Words and status codes
//! are those of upstream; who wraps them into a Status is the caller.

mod json;
mod merge;
mod order;
mod strategic;

pub use json::{JSON_PATCH_OPERATIONS_MAX, json_patch};
pub use merge::merge_patch;
pub use strategic::strategic_merge_patch;

/// A patch that cannot be applied, by the status with which upstream answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchFault {
    /// The patch is malformed: 400.
    #[error("{0}")]
    Malformed(String),
    /// The patch has too many operations: 413.
    #[error("{0}")]
    TooLarge(String),
    /// The patch does not apply to this object: 422.
    #[error("{0}")]
    Unprocessable(String),
    /// Upstream has no status for it: 500.
    #[error("{0}")]
    Internal(String),
}

/// A tree in a message: Go shows its own form of maps there; JSON says the same.
fn shown(tree: &api::Tree) -> String {
    tree.to_json_text()
}

#[cfg(test)]
mod tests;
