//! Manifests that the machine was given, applied at each boot: created where they are not, changed where their file has
//! changed, left alone otherwise, so that what users did since stays.
//!
//! As with `kubectl apply`, an object carries the text that it was last given, and what is missing in a newer text is
//! taken away. Objects whose file is gone stay.

mod apply;
mod patch;
mod read;

pub use apply::{Report, all};
pub use read::{Refusal, folder};
