//! Unpacks one layer of an OCI image, an uncompressed tar stream, into a snapshot folder, as containerd's own unpacker
//! would: whiteouts, owners, attributes and times are what overlayfs and a later `containerd` expect. The order of its
//! steps and its answers to odd archives follow `pkg/archive/tar.go` of containerd 2.1.
//!
//! `archive` reads the stream, `entry` decides what one member of it means without touching a disk, and `work` does
//! that below the folder and nowhere else. The crate must never know of containerd, of the network, of compression or
//! of digests: whoever compares a digest counts the bytes on their way in, and `unpack` reads them to the last.

#![forbid(unsafe_code)]

mod archive;
mod attributes;
mod block;
mod entry;
mod error;
mod lower;
mod make;
mod member;
mod number;
mod path;
mod pax;
mod remove;
mod route;
mod sink;
mod stream;
mod time;
mod tree;
mod work;

pub use error::Error;

use archive::{Archive, Head};
use std::io::Read;
use std::path::{Path, PathBuf};
use work::Work;

/// How many members a layer may have. The largest known images have some hundred thousand files in all layers.
pub const ENTRIES_MAX: u64 = 4_000_000;

/// Where a layer goes.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// The first layer of an image: a folder of its own. A whiteout removes what this very layer brought.
    Whole(&'a Path),
    /// A later layer: the upper folder of an overlay. Whiteouts become what overlayfs understands.
    Upper {
        /// The upper folder.
        folder: &'a Path,
        /// The lower folders, the nearest first. Parents that the layer does not mention look as they do there.
        lower: &'a [PathBuf],
    },
}

/// What a layer brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// The members of the archive, whiteouts among them.
    pub entries: u64,
    /// The bytes of its regular files.
    pub bytes: u64,
}

/// Unpacks a layer and reads the stream to its end, so that whoever counts or hashes it on the way has seen all of it.
/// The end mark may be missing, as containerd allows: only a digest tells whether a whole member is absent.
///
/// # Errors
/// See `Error`. Whatever was unpacked before stays in the folder, which is of no further use then.
pub fn unpack(mut tar: impl Read, target: &Target<'_>) -> Result<Unpacked, Error> {
    // Pieces are large, so the indirect call costs nothing, and the code is there once for all readers.
    let mut archive = Archive::new(&mut tar);
    let mut head = Head::default();
    let mut work = Work::begin(target)?;
    let mut unpacked = Unpacked::default();
    while let Some(member) = archive.next(&mut head)? {
        unpacked.entries += 1;
        if unpacked.entries > ENTRIES_MAX {
            return Err(Error::invalid(&member.name, format!("a layer has at most {ENTRIES_MAX} members")));
        }
        if let Some(entry) = entry::plan(member)? {
            unpacked.bytes += work.carry_out(&entry, &mut archive)?;
        }
    }
    work.finish()?;
    archive.drain()?;
    Ok(unpacked)
}
