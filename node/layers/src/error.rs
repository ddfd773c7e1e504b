//! Why a layer was not unpacked, as far as callers tell it apart.

use rustix::io::Errno;
use std::io;
use std::path::{Path, PathBuf};

/// The bytes of a member's name that an error repeats.
const SHOWN_BYTES_MAX: usize = 256;

/// Why a layer was not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The archive is no tar, is cut short, or says something that no layer may say.
    #[error("{entry}: {why}")]
    Invalid {
        /// The member at fault, or the number of its header when it has no name yet.
        entry: String,
        /// What is wrong with it.
        why: String,
    },
    /// The archive says something that this unpacker does not know; containerd's may.
    #[error("{entry}: {why}")]
    Unsupported {
        /// The member, or the number of its header.
        entry: String,
        /// What is not known.
        why: String,
    },
    /// The disk refused.
    #[error("{}: cannot {attempt}: {source}", path.display())]
    Failed {
        /// The file or folder.
        path: PathBuf,
        /// What was attempted.
        attempt: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The stream that the archive comes from failed.
    #[error("the archive cannot be read: {source}")]
    Unreadable {
        /// What the stream says.
        source: io::Error,
    },
}

impl Error {
    /// A member that no layer may have.
    pub(crate) fn invalid(entry: &[u8], why: impl Into<String>) -> Error {
        Error::Invalid { entry: shown(entry), why: why.into() }
    }
}

/// A name for people: not longer than helps.
pub(crate) fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(&name[..name.len().min(SHOWN_BYTES_MAX)]).into_owned()
}

/// Names the file and the attempt in a failure of the disk: `.map_err(failed(root, path, "make a folder"))`.
pub(crate) fn failed(root: &Path, path: &[u8], attempt: &'static str) -> impl Fn(Errno) -> Error {
    use std::os::unix::ffi::OsStrExt;
    move |errno| {
        let path = root.join(std::ffi::OsStr::from_bytes(path));
        Error::Failed { path, attempt, source: errno.into() }
    }
}

/// What the pure parts find wrong before they know which member it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// Becomes `Error::Invalid`.
    Invalid(&'static str),
    /// Becomes `Error::Unsupported`.
    Unsupported(&'static str),
}

impl Problem {
    /// The problem of this member.
    pub(crate) fn of(self, entry: &[u8]) -> Error {
        let entry = shown(entry);
        match self {
            Problem::Invalid(why) => Error::Invalid { entry, why: why.to_owned() },
            Problem::Unsupported(why) => Error::Unsupported { entry, why: why.to_owned() },
        }
    }
}
