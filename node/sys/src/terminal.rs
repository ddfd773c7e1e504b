//! Terminals: making a pair, and opening one without becoming its owner.

use crate::said;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A new pseudo-terminal: the side that holds it and the side that a program sees.
pub struct Pair {
    /// What the program writes is read here.
    pub holder: OwnedFd,
    /// The program's terminal.
    pub program: OwnedFd,
}

/// Makes a pseudo-terminal.
pub fn open_pair() -> io::Result<Pair> {
    let pair = nix::pty::openpty(None, None).map_err(|e| said("make a pseudo-terminal", e))?;
    Ok(Pair { holder: pair.master, program: pair.slave })
}

/// Opens a terminal for writing, without waiting for a carrier and without it becoming this process's terminal.
pub fn open_for_writing(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOCTTY | libc::O_CLOEXEC;
    let opened = OpenOptions::new().write(true).custom_flags(flags).open(path);
    opened.map_err(|e| said(format_args!("open {}", path.display()), e))
}
