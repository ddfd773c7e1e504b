//! What has arrived of blobs and layers, until it is whole.

use super::Arrived;
use super::window::{WINDOW_BYTES, Window};
use crate::images::begin::{BLOB_BYTES_MAX, BLOBS_MAX};
use crate::images::fault::failed;
use crate::images::{Blob, Digest, Fault, Load};
use serde::Deserialize;
use std::fs::{OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use sys::direct::{self, BLOCK, Buffer, CHUNK, rounded};

/// What a piece is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A blob, as it is kept.
    Blob,
    /// A layer whose blob is compressed, as it is unpacked; named by its digest before compression.
    Layer,
}

/// A piece of a blob or layer in the window. All in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Piece {
    /// Of what.
    pub kind: Kind,
    /// Of which.
    pub digest: Digest,
    /// Where it begins in that; a multiple of the block.
    pub offset: u64,
    /// Its length.
    pub length: u64,
    /// Where it begins in the window; a multiple of the block.
    pub at: u64,
    /// Whether nothing comes behind it.
    pub last: bool,
}

impl Piece {
    fn check(&self) -> Result<(), Fault> {
        let block = BLOCK as u64;
        let (end, behind) = (self.at.checked_add(self.length), self.offset.checked_add(self.length));
        let is_inside = self.at >= block && end.is_some_and(|end| end <= WINDOW_BYTES);
        let is_even = [self.at, self.offset].iter().all(|at| at.is_multiple_of(block));
        let is_whole = self.last || self.length.is_multiple_of(block);
        if is_inside && is_even && is_whole && behind.is_some_and(|behind| behind <= BLOB_BYTES_MAX) {
            return Ok(());
        }
        let message = format!("{} bytes at {} of the window, from byte {} on", self.length, self.at, self.offset);
        Err(Fault::invalid("pieces", message))
    }
}

/// The folder of one load's parts. A load that loses the window while something is copied has lost its folder, too, and
/// leaves nothing in that of the next.
#[derive(Clone, Debug)]
pub struct Parts(PathBuf);

/// Removes the parts of all loads.
pub fn clear(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl Parts {
    /// An empty folder for a load, in one from which all others go.
    pub fn renewed(folder: &Path, load: &Load) -> io::Result<Parts> {
        clear(folder)?;
        let parts = Parts(folder.join(load.to_string()));
        std::fs::create_dir_all(&parts.0)?;
        Ok(parts)
    }

    fn path(&self, kind: Kind, digest: &Digest) -> PathBuf {
        let kind = match kind {
            Kind::Blob => "blob",
            Kind::Layer => "layer",
        };
        self.0.join(format!("{kind}-{}", digest.digits()))
    }

    /// The file of a part all of which is there.
    pub fn whole(&self, kind: Kind, digest: &Digest) -> Option<PathBuf> {
        let path = self.path(kind, digest);
        // Whoever made it whole took away the right to write it.
        let is_whole = path.metadata().is_ok_and(|data| data.permissions().mode() & 0o200 == 0);
        is_whole.then_some(path)
    }

    /// All of a short part; none when not all of it is there.
    ///
    /// # Errors
    /// When it is longer than `bytes_max`; what the disk says.
    pub fn content(&self, kind: Kind, digest: &Digest, bytes_max: u64) -> Result<Option<Vec<u8>>, Fault> {
        let Some(path) = self.whole(kind, digest) else { return Ok(None) };
        let length = path.metadata().map_err(failed("window"))?.len();
        if length > bytes_max {
            return Err(Fault::invalid("size", format!("{digest} has {length} bytes; at most {bytes_max} are read")));
        }
        std::fs::read(&path).map(Some).map_err(failed("window"))
    }

    /// Copies what is in the window to its parts and gives the blobs that are whole now.
    pub fn take(&self, window: &Window, arrived: &Arrived) -> Result<Vec<Blob>, Fault> {
        if arrived.pieces.len() > 2 * BLOBS_MAX {
            return Err(Fault::invalid("pieces", format!("{}; at most two for a blob", arrived.pieces.len())));
        }
        if !window.is_marked(&arrived.load, arrived.serial).map_err(failed("window"))? {
            let message = format!("the window is not marked as filled for the {}. time", arrived.serial);
            return Err(Fault::invalid("serial", message));
        }
        let mut buffer = Buffer::new(CHUNK);
        let mut whole = Vec::new();
        for piece in &arrived.pieces {
            piece.check()?;
            self.append(window, piece, &mut buffer)?;
            if piece.last && piece.kind == Kind::Blob {
                whole.push(Blob { digest: piece.digest.clone(), size: piece.offset + piece.length });
            }
        }
        Ok(whole)
    }

    fn append(&self, window: &Window, piece: &Piece, buffer: &mut Buffer) -> Result<(), Fault> {
        let path = self.path(piece.kind, &piece.digest);
        let file = direct::open(OpenOptions::new().write(true).create(true).truncate(false), &path);
        let file = file.map_err(failed("window"))?;
        let there = file.metadata().map_err(failed("window"))?.len();
        if there != piece.offset {
            let message = format!("{}: {there} bytes are here, not {}", piece.digest, piece.offset);
            return Err(Fault::invalid("pieces", message));
        }
        let length = usize::try_from(piece.length).unwrap_or(usize::MAX);
        let mut copy = || -> io::Result<()> {
            let mut done = 0;
            while done < length {
                // The last block is copied whole and cut afterwards.
                let some = rounded((length - done).min(CHUNK));
                window.read(&mut buffer[..some], piece.at + done as u64)?;
                file.write_all_at(&buffer[..some], piece.offset + done as u64)?;
                done += some;
            }
            file.set_len(piece.offset + piece.length)?;
            if piece.last {
                file.set_permissions(Permissions::from_mode(0o444))?;
            }
            Ok(())
        };
        copy().map_err(failed("window"))
    }

    /// Puts a whole blob where containerd keeps it, on the disk and not only in its cache.
    pub fn put(&self, digest: &Digest, kept: &Path) -> io::Result<()> {
        let part = self.path(Kind::Blob, digest);
        if let Some(folder) = kept.parent() {
            std::fs::create_dir_all(folder)?;
        }
        match std::fs::hard_link(&part, kept) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => (),
        }
        // The name is part of what is written out, for the file is longer than it was.
        std::fs::File::open(&part)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_that_lost_the_window_leaves_nothing_to_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let load = |digit: &str| Load::parse(&digit.repeat(32)).unwrap();
        let digest = Digest::of(b"layer");
        let first = Parts::renewed(folder.path(), &load("1")).unwrap();
        std::fs::write(first.path(Kind::Layer, &digest), "half of it").unwrap();
        let second = Parts::renewed(folder.path(), &load("2")).unwrap();
        assert!(std::fs::write(first.path(Kind::Layer, &digest), "too late").is_err());
        let whole = second.path(Kind::Layer, &digest);
        std::fs::write(&whole, "all of it").unwrap();
        assert_eq!(second.whole(Kind::Layer, &digest), None, "nobody said that it is whole");
        std::fs::set_permissions(&whole, Permissions::from_mode(0o444)).unwrap();
        assert_eq!(second.whole(Kind::Layer, &digest), Some(whole));
        assert_eq!(first.whole(Kind::Layer, &digest), None);
    }
}
