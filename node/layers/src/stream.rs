//! The bytes of the archive in large pieces. The buffer is filled to the brim before anything is taken out of it, so
//! that a block never lies across two fillings and a file is written with as few calls as can be.

use crate::Error;
use std::io::{ErrorKind, Read};

/// The size of a block of the tar format, in bytes.
pub const BLOCK_BYTES: usize = 512;
/// The size of the buffer, in bytes. Files of 32 MiB took half as long again with four times as much, which no
/// processor keeps close by, and no less with half of it.
const BUFFER_BYTES: usize = 64 << 10;

const _: () = assert!(BUFFER_BYTES.is_multiple_of(BLOCK_BYTES));

/// A stream and what has been read of it ahead.
pub struct Stream<'r> {
    source: &'r mut dyn Read,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl<'r> Stream<'r> {
    pub fn new(source: &'r mut dyn Read) -> Stream<'r> {
        Stream { source, buffer: vec![0; BUFFER_BYTES].into_boxed_slice(), start: 0, end: 0 }
    }

    /// The next bytes, `bytes_max` or fewer; none at the end of the stream. They stay until they are consumed.
    pub fn piece(&mut self, bytes_max: u64) -> Result<&[u8], Error> {
        if self.start == self.end {
            self.fill()?;
        }
        let here = self.end - self.start;
        let bytes = usize::try_from(bytes_max).map_or(here, |bytes_max| here.min(bytes_max));
        Ok(&self.buffer[self.start..self.start + bytes])
    }

    /// Goes on behind bytes that `piece` gave.
    pub fn consume(&mut self, bytes: usize) {
        self.start = (self.start + bytes).min(self.end);
    }

    /// Copies the next bytes and says how many there were: fewer than asked for only at the end of the stream.
    pub fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        let mut filled = 0;
        while filled < into.len() {
            let piece = self.piece((into.len() - filled) as u64)?;
            let bytes = piece.len();
            if bytes == 0 {
                break;
            }
            into[filled..filled + bytes].copy_from_slice(piece);
            filled += bytes;
            self.consume(bytes);
        }
        Ok(filled)
    }

    fn fill(&mut self) -> Result<(), Error> {
        (self.start, self.end) = (0, 0);
        while self.end < self.buffer.len() {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(0) => break,
                Ok(bytes) => self.end += bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => return Err(Error::Unreadable { source }),
            }
        }
        Ok(())
    }
}
