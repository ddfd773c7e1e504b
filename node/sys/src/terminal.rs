//! Terminals: opening one without becoming its owner.

use crate::said;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens a terminal for writing, without waiting for a carrier and without it becoming this process's terminal.
pub fn open_for_writing(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOCTTY | libc::O_CLOEXEC;
    let opened = OpenOptions::new().write(true).custom_flags(flags).open(path);
    opened.map_err(|e| said(format_args!("open {}", path.display()), e))
}
