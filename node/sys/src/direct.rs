//! Files past the page cache: what is read and written once need not be copied once more and push out what is used.

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Memory, offsets and lengths of direct transfers begin at multiples of this many bytes: the block of ext4, and no
/// device asks for more.
pub const BLOCK: usize = 4096;
/// Bytes of one transfer. Larger ones are not quicker.
pub const CHUNK: usize = 1 << 20;

/// Bytes in memory that begin at a block.
pub struct Buffer {
    memory: Vec<u8>,
    from: usize,
    length: usize,
}

impl Buffer {
    /// Zeros.
    pub fn new(length: usize) -> Buffer {
        let memory = vec![0; length + BLOCK];
        let from = memory.as_ptr().align_offset(BLOCK).min(BLOCK);
        Buffer { memory, from, length }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.from..self.from + self.length]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.from..self.from + self.length]
    }
}

/// Opens a file for direct transfers, or as usual on a file system that has none.
///
/// # Errors
/// As opening it has them.
pub fn open(options: &OpenOptions, path: &Path) -> io::Result<File> {
    let file = options.open(path)?;
    prefer(&file);
    Ok(file)
}

/// From now on transfers of an open file are direct; whether they are, for not every file system has such.
pub fn prefer(file: &File) -> bool {
    fcntl(file, FcntlArg::F_SETFL(OFlag::O_DIRECT)).is_ok()
}

/// The multiple of the block that is at least as long.
pub const fn rounded(length: usize) -> usize {
    length.next_multiple_of(BLOCK)
}

/// Reads a file from its beginning, once.
pub struct Reader {
    file: File,
    at: u64,
    buffer: Buffer,
    /// What of the buffer has been read and not yet given.
    ready: std::ops::Range<usize>,
}

impl Reader {
    /// Opens a file.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Reader> {
        let file = open(OpenOptions::new().read(true), path)?;
        Ok(Reader { file, at: 0, buffer: Buffer::new(CHUNK), ready: 0..0 })
    }
}

impl Read for Reader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.ready.is_empty() {
            let length = self.file.read_at(&mut self.buffer, self.at)?;
            self.at += length as u64;
            self.ready = 0..length;
        }
        let length = self.ready.len().min(out.len());
        out[..length].copy_from_slice(&self.buffer[self.ready.start..self.ready.start + length]);
        self.ready.start += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_begins_at_a_block() {
        for length in [0, 1, BLOCK, CHUNK] {
            let buffer = Buffer::new(length);
            assert_eq!((buffer.as_ptr() as usize % BLOCK, buffer.len()), (0, length));
        }
    }

    #[test]
    fn a_file_is_read_whole_whatever_its_length() {
        // The build's folder, for a temporary one may be in memory.
        let path = std::env::current_exe().unwrap().with_extension(format!("direct-{}", std::process::id()));
        for length in [0, 1, BLOCK, CHUNK - 1, CHUNK, 2 * CHUNK + 513] {
            let content: Vec<u8> = (0..length).map(|at| (at / 7) as u8).collect();
            std::fs::write(&path, &content).unwrap();
            let mut read = Vec::new();
            Reader::open(&path).unwrap().read_to_end(&mut read).unwrap();
            assert!(read == content, "{length} bytes");
        }
        std::fs::remove_file(&path).unwrap();
    }
}
