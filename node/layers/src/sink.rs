//! Where the bytes of a file go: a large one past the page cache. It is read when a container wants it, if at all, and
//! until then would push out what is used; and the copy into the cache is most of what writing costs an emulated machine.

use rustix::fd::OwnedFd;
use std::fs::File;
use std::io::{Result, Write};
use std::os::unix::fs::FileExt;
use sys::direct::{self, BLOCK, Buffer, CHUNK};

/// From how many bytes on a file is a large one. Smaller ones are written in one go anyway, and read soon.
const LARGE_BYTES: u64 = 1 << 20;

/// A new file that is being written, from its beginning to its end.
pub enum Sink {
    /// As usual.
    Cached(File),
    /// In full buffers, and the rest padded and cut.
    Direct {
        /// The file.
        file: File,
        /// What is not yet written.
        buffer: Buffer,
        /// Bytes in the buffer.
        filled: usize,
        /// Bytes in the file.
        written: u64,
    },
}

impl Sink {
    /// For a file that will have so many bytes.
    pub fn new(file: OwnedFd, bytes: u64) -> Sink {
        let file = File::from(file);
        if bytes < LARGE_BYTES || !direct::prefer(&file) {
            return Sink::Cached(file);
        }
        Sink::Direct { file, buffer: Buffer::new(CHUNK), filled: 0, written: 0 }
    }

    /// Adds bytes.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        let Sink::Direct { file, buffer, filled, written } = self else {
            let Sink::Cached(file) = self else { return Ok(()) };
            return file.write_all(bytes);
        };
        while !bytes.is_empty() {
            let some = bytes.len().min(CHUNK - *filled);
            buffer[*filled..*filled + some].copy_from_slice(&bytes[..some]);
            (*filled, bytes) = (*filled + some, &bytes[some..]);
            if *filled == CHUNK {
                file.write_all_at(buffer, *written)?;
                (*filled, *written) = (0, *written + CHUNK as u64);
            }
        }
        Ok(())
    }

    /// Writes what is left and gives the file.
    pub fn end(self) -> Result<File> {
        match self {
            Sink::Cached(file) => Ok(file),
            Sink::Direct { file, mut buffer, filled, written } => {
                let padded = direct::rounded(filled);
                buffer[filled..padded].fill(0);
                file.write_all_at(&buffer[..padded], written)?;
                if !filled.is_multiple_of(BLOCK) {
                    file.set_len(written + filled as u64)?;
                }
                Ok(file)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_as_it_was_written_whatever_its_length() {
        // The build's folder, for a temporary one may be in memory.
        let path = std::env::current_exe().unwrap().with_extension(format!("sink-{}", std::process::id()));
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + BLOCK, 2 * CHUNK + 700] {
            let content: Vec<u8> = (0..length).map(|at| (at / 11) as u8).collect();
            let mut sink = Sink::new(File::create(&path).unwrap().into(), length as u64);
            for piece in content.chunks(65_000) {
                sink.write(piece).unwrap();
            }
            sink.end().unwrap();
            assert!(std::fs::read(&path).unwrap() == content, "{length} bytes");
        }
        std::fs::remove_file(&path).unwrap();
    }
}
