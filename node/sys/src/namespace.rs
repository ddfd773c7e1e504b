//! Entering and leaving namespaces. Namespaces belong to a thread: callers give these calls a thread of its own.

use crate::said;
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::io;
use std::path::Path;

/// Moves the calling thread into the network namespace that `path` names (such as `/proc/PID/ns/net`).
pub fn enter_network(path: &Path) -> io::Result<()> {
    let file = File::open(path).map_err(|e| said(format_args!("open {}", path.display()), e))?;
    setns(file, CloneFlags::CLONE_NEWNET)
        .map_err(|e| said(format_args!("enter the network namespace {}", path.display()), e))
}

/// Sets the host name of this UTS namespace.
pub fn set_hostname(name: &str) -> io::Result<()> {
    nix::unistd::sethostname(name).map_err(|e| said(format_args!("set the host name {name:?}"), e))
}
