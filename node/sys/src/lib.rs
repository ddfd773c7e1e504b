//! Every wrapper of a system call; the only crate with `unsafe`.
//!
//! Pure core: none; this is the thin edge. Each function does one thing to the machine and returns the kernel's
//! answer with the name of what was attempted.
//!
//! It must not decide anything: no policy, no retries, no defaults, nothing of Kubernetes.

pub mod clock;
pub mod device;
pub mod direct;
pub mod entropy;
pub mod extents;
pub mod inotify;
pub mod launch;
pub mod listening;
pub mod mount;
pub mod namespace;
pub mod power;
pub mod process;
pub mod socket;
pub mod terminal;
pub mod watch;

use std::io;

/// An `io::Error` that says what was attempted on what, with the kind of the cause.
fn said(attempt: impl std::fmt::Display, cause: impl Into<io::Error>) -> io::Error {
    let cause = cause.into();
    io::Error::new(cause.kind(), format!("{attempt}: {cause}"))
}

/// The result of a libc call that reports failure as -1 and `errno`.
fn checked(result: libc::c_int, attempt: impl std::fmt::Display) -> io::Result<libc::c_int> {
    if result < 0 { Err(said(attempt, io::Error::last_os_error())) } else { Ok(result) }
}
