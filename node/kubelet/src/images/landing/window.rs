//! The window: a file of fixed size on the state disk, made once and never moved, so that what it occupies of the device
//! stays its own. The host may write there, and nowhere else, while the file system is mounted.
//!
//! That both sides mean the same place is shown by a mark, which one writes and the other reads, in both directions.

use crate::images::Load;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use sys::direct::{self, BLOCK, Buffer, CHUNK};
use sys::extents::{Extent, extents};

/// Bytes of the window, of which the host fills one half while the other is taken. A filling costs one question, some
/// hundredths of a second; of a layer of 32 MiB that is three.
pub const WINDOW_BYTES: u64 = 32 << 20;

/// A stretch of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Where it begins, in bytes.
    pub at: u64,
    /// Its length in bytes.
    pub length: u64,
}

/// The window, open. As long as it is, its blocks stay taken even when somebody removes the file.
#[derive(Debug)]
pub struct Window {
    file: File,
    places: Vec<Place>,
}

impl Window {
    /// Opens it, and makes it when it is not there or not whole.
    ///
    /// # Errors
    /// What the disk says; `Unsupported` where a file's places cannot be told.
    pub fn open(path: &Path) -> io::Result<Window> {
        let file = direct::open(OpenOptions::new().read(true).write(true).create(true).truncate(false), path)?;
        let found = match file.metadata()?.len() {
            WINDOW_BYTES => places(&extents(&file)?),
            _ => None,
        };
        if let Some(places) = found {
            return Ok(Window { file, places });
        }
        if let Err(error) = fill(&file) {
            // A disk that is too full for it needs what it took.
            file.set_len(0)?;
            return Err(error);
        }
        let places = places(&extents(&file)?).ok_or_else(|| {
            io::Error::new(io::ErrorKind::Unsupported, "the window lies in pieces that cannot be written from outside")
        })?;
        Ok(Window { file, places })
    }

    /// Where it lies.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Writes a load's mark at the beginning of each place, for the host to find.
    pub fn mark(&self, load: &Load) -> io::Result<()> {
        let mut from = 0;
        let mut block = Buffer::new(BLOCK);
        for (index, place) in self.places.iter().enumerate() {
            block.fill(0);
            let mark = mark(load, 0, index);
            block[..mark.len()].copy_from_slice(mark.as_bytes());
            self.file.write_all_at(&block, from)?;
            from += place.length;
        }
        self.file.sync_data()
    }

    /// Whether the host has marked the window as filled for this time.
    pub fn is_marked(&self, load: &Load, serial: u64) -> io::Result<bool> {
        let mut block = Buffer::new(BLOCK);
        self.file.read_exact_at(&mut block, 0)?;
        let mark = mark(load, serial, 0);
        Ok(block.starts_with(mark.as_bytes()) && block[mark.len()] == 0)
    }

    /// Reads from a multiple of the block on.
    pub fn read(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, at)
    }
}

/// The mark of a filling at a place; 0 is the machine's own. The same text is in `image::load::window`.
fn mark(load: &Load, serial: u64, index: usize) -> String {
    format!("skerry window {load} {serial} {index}\n")
}

/// Gives the file all its blocks, written: those that are only reserved read as zeros whatever is beneath.
fn fill(file: &File) -> io::Result<()> {
    file.set_len(0)?;
    let zeros = Buffer::new(CHUNK);
    for at in (0..WINDOW_BYTES).step_by(CHUNK) {
        file.write_all_at(&zeros, at)?;
    }
    file.sync_all()
}

/// The places of a whole file that may be written beneath; none when there is a hole, or a piece is not plain.
fn places(extents: &[Extent]) -> Option<Vec<Place>> {
    let mut next = 0;
    let mut places = Vec::new();
    for extent in extents {
        if extent.from != next || !extent.plain || extent.length < BLOCK as u64 {
            return None;
        }
        next += extent.length;
        places.push(Place { at: extent.at, length: extent.length });
    }
    (next == WINDOW_BYTES).then_some(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_and_plain_file_has_places() {
        let extent = |from, at, length| Extent { from, at, length, plain: true };
        let half = WINDOW_BYTES / 2;
        let two = [extent(0, 900 << 20, half), extent(half, 4096, half)];
        let places_of_two = [Place { at: 900 << 20, length: half }, Place { at: 4096, length: half }];
        assert_eq!(places(&two).as_deref(), Some(&places_of_two[..]));
        assert_eq!(places(&two[..1]), None, "a hole at the end");
        assert_eq!(places(&two[1..]), None, "a hole at the beginning");
        assert_eq!(places(&[Extent { plain: false, ..two[0] }, two[1]]), None, "yet to be written");
        assert_eq!(places(&[extent(0, 0, 512), extent(512, 9 << 20, WINDOW_BYTES - 512)]), None, "no room for a mark");
    }
}
