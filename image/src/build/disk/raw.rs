//! The disk as it is, byte by byte: for a real disk, a USB stick, and emulators of any kind. The file is sparse.

use super::{Format, SMALL};
use std::io::{Seek, SeekFrom, Write};

/// The line of the table.
pub const FORMAT: Format = Format {
    name: "raw",
    about: "a disk, byte by byte: for QEMU, a USB stick or a real disk",
    needs_live: false,
    write: |parts, file, interrupt| {
        let drive = parts.drive(SMALL, interrupt)?;
        file.set_len(drive.size)?;
        for (offset, bytes) in drive.pieces() {
            file.seek(SeekFrom::Start(offset))?;
            file.write_all(bytes)?;
        }
        Ok(())
    },
};
