//! The rules of the source tree that a program can check: layout, dependency arrows, file sizes, openings.

mod arrows;
mod files;

use std::path::PathBuf;

/// The root of the repository.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}
