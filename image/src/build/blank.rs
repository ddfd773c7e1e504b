//! The file system of a new state disk of the usual size, made ahead: what mke2fs writes to such a disk, as the places
//! and bytes that init copies to it. Emulated, mke2fs and its libraries would be 0.3 s of a new cluster's first start.
//!
//! A file: [`MAGIC`], the size of the disk, and for each stretch its place, its length and its bytes; numbers are 64 bits,
//! little-endian. `init::disk::template` reads it.

use super::tool;
use super::tree::{LIBRARIES, Tree};
use crate::cluster::settings::DISK_BYTES;
use crate::interrupt::Interrupt;
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::unistd::{Whence, lseek};
use rustix::fs::{MemfdFlags, memfd_create};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// How the file begins.
const MAGIC: &[u8; 8] = b"skerry 1";
/// The program, which is in the image too.
const PROGRAM: &str = "usr/bin/mke2fs";
/// What the machine calls it with, in one place for both.
const WORDS: &str = include_str!("../../../init/src/disk/mke2fs.txt");
/// The label that the machine gives by default, and this file's place in the root before the size.
const LABEL: &str = "skerry-state";
const PLACE: &str = "usr/lib/skerry/blank-";
/// Fixed, so that the same parts give the same bytes. A file system is known by its disk here, never by this.
const UUID: &str = "5ce88a11-0000-4000-8000-000000000002";
/// When it was made, as it says itself: 2026-01-01.
const TIME: &str = "1767225600";

/// Adds it to a tree that has the program.
///
/// # Errors
/// When the program is not there, or cannot be run.
pub fn add(tree: &mut Tree, scratch: &Path, interrupt: &Interrupt) -> Result<()> {
    let disk = format(tree, scratch, interrupt)?;
    let blank = stretches(&disk, DISK_BYTES).context("reading what mke2fs wrote")?;
    tree.file(&format!("{PLACE}{DISK_BYTES}"), 0o644, blank)
}

/// A disk in memory, formatted by the program of the tree. There, unlike in a file, everything that was written takes room
/// and nothing else does, zeros among it.
fn format(tree: &Tree, scratch: &Path, interrupt: &Interrupt) -> Result<File> {
    let folder = tempfile::tempdir_in(scratch).with_context(|| format!("a folder in {}", scratch.display()))?;
    let mut needed = Tree::merged()?;
    let wanted = |path: &str| path == PROGRAM || path == "etc/mke2fs.conf" || path.starts_with(LIBRARIES);
    for (path, content) in tree.files().filter(|(path, _)| wanted(path)) {
        needed.file(path, 0o755, content)?;
    }
    for (path, target) in tree.links().filter(|(path, _)| path.starts_with(LIBRARIES)) {
        needed.link(path, target)?;
    }
    needed.write(folder.path())?;
    // The program inherits it and finds it by its number.
    let disk = File::from(memfd_create(LABEL, MemfdFlags::empty()).context("a file in memory")?);
    disk.set_len(DISK_BYTES)?;
    let mut command = tool::command(folder.path(), PROGRAM);
    let words = WORDS.trim_end().replace("-E ", &format!("-E hash_seed={UUID},"));
    command.args(words.split(' ')).args(["-L", LABEL, "-U", UUID]);
    command.arg(format!("/proc/self/fd/{}", disk.as_raw_fd()));
    command.env("MKE2FS_CONFIG", folder.path().join("etc/mke2fs.conf")).env("E2FSPROGS_FAKE_TIME", TIME);
    tool::run(command, "formatting a blank state disk", interrupt)?;
    Ok(disk)
}

/// What takes room in a file, and where.
fn stretches(disk: &File, size: u64) -> std::io::Result<Vec<u8>> {
    let mut blank = MAGIC.to_vec();
    blank.extend(size.to_le_bytes());
    let seek = |at: u64, whence| -> std::io::Result<Option<u64>> {
        match lseek(disk.as_fd(), i64::try_from(at).map_err(std::io::Error::other)?, whence) {
            Ok(found) => Ok(u64::try_from(found).ok()),
            Err(Errno::ENXIO) => Ok(None),
            Err(error) => Err(error.into()),
        }
    };
    let mut at = 0;
    while let Some(begins) = seek(at, Whence::SeekData)? {
        let ends = seek(begins, Whence::SeekHole)?.unwrap_or(size);
        let mut bytes = vec![0; usize::try_from(ends - begins).map_err(std::io::Error::other)?];
        disk.read_exact_at(&mut bytes, begins)?;
        blank.write_all(&begins.to_le_bytes())?;
        blank.write_all(&(ends - begins).to_le_bytes())?;
        blank.write_all(&bytes)?;
        at = ends;
    }
    Ok(blank)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blank_says_where_its_bytes_go() {
        let disk = File::from(memfd_create("test", MemfdFlags::empty()).unwrap());
        let size = 1 << 30;
        disk.set_len(size).unwrap();
        disk.write_all_at(&[1; 10], 8192).unwrap();
        disk.write_all_at(&[0; 4096], 512 << 20).unwrap();
        let blank = stretches(&disk, size).unwrap();
        let number = |at: usize| u64::from_le_bytes(blank[at..at + 8].try_into().unwrap());
        assert_eq!((&blank[..8], number(8), number(16), number(24)), (&MAGIC[..], size, 8192, 4096));
        assert_eq!(&blank[32..43], &[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]);
        let second = 32 + 4096;
        assert_eq!((number(second), number(second + 8)), (512 << 20, 4096), "zeros that were written count");
        assert_eq!(blank.len(), second + 16 + 4096);
    }
}
