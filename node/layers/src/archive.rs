//! The archive as a sequence of members. Extension headers are read here and merged by `member`; data is handed out in
//! pieces of the stream's own buffer, so that it is copied once, by the kernel.

use crate::Error;
use crate::block::{self, Block};
use crate::error::Problem;
use crate::member::{Extensions, Member, data_bytes, kind};
use crate::number::text;
use crate::pax::Records;
use crate::stream::{BLOCK_BYTES, Stream};
use std::io::Read;

/// The bytes of one extension header: a name, or the PAX records of a member. Go's reader takes no more either.
pub const EXTENSION_BYTES_MAX: u64 = 1 << 20;

const PAX: u8 = b'x';
const GNU_NAME: u8 = b'L';
const GNU_LINK: u8 = b'K';
const CUT_SHORT: Problem = Problem::Invalid("the archive is cut short");

/// The archive and where it has been read to.
pub struct Archive<'r> {
    stream: Stream<'r>,
    /// Bytes of the present member's data that nobody has taken.
    left: u64,
    /// Bytes behind them up to the next block.
    padding: u64,
    /// Headers so far, to name one that has no name.
    headers: u64,
}

/// The memory of the header and its extensions, kept apart from the archive so that a member can be read while its
/// data is.
pub struct Head {
    block: [u8; BLOCK_BYTES],
    records: Vec<u8>,
    name: Vec<u8>,
    link: Vec<u8>,
}

impl Default for Head {
    fn default() -> Head {
        Head { block: [0; BLOCK_BYTES], records: Vec::new(), name: Vec::new(), link: Vec::new() }
    }
}

impl<'r> Archive<'r> {
    pub fn new(source: &'r mut dyn Read) -> Archive<'r> {
        Archive { stream: Stream::new(source), left: 0, padding: 0, headers: 0 }
    }

    /// The next member; what is left of the one before is passed over.
    pub fn next<'h>(&mut self, head: &'h mut Head) -> Result<Option<Member<'h>>, Error> {
        head.records.clear();
        head.name.clear();
        head.link.clear();
        let kind = loop {
            if !self.next_block(&mut head.block)? {
                return Ok(None);
            }
            let kind = block::checked_kind(&head.block).map_err(|problem| self.at_header(problem))?;
            let into = match kind {
                PAX | kind::GLOBAL => &mut head.records,
                GNU_NAME => &mut head.name,
                GNU_LINK => &mut head.link,
                _ => break kind,
            };
            let block = Block::parse(&head.block).map_err(|problem| self.at_header(problem))?;
            self.expect_data(data_bytes(kind, block.size).map_err(|problem| self.at_header(problem))?);
            self.extension(into)?;
            if kind == kind::GLOBAL {
                break kind;
            }
            // A wrong record is wrong even when another header replaces it.
            Records::parse(&head.records).map_err(|problem| self.at_header(problem))?;
        };
        let member = head.member(kind).map_err(|problem| self.at_header(problem))?;
        if kind != kind::GLOBAL {
            self.expect_data(member.size);
        }
        Ok(Some(member))
    }

    /// How many bytes of data the present member has that were not handed out.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Hands out the data of the present member, piece by piece, and says how much it was.
    pub fn data(&mut self, mut take: impl FnMut(&[u8]) -> Result<(), Error>) -> Result<u64, Error> {
        let size = self.left;
        while self.left > 0 {
            let piece = self.stream.piece(self.left)?;
            let bytes = piece.len();
            if bytes == 0 {
                return Err(self.at_header(CUT_SHORT));
            }
            take(piece)?;
            self.stream.consume(bytes);
            self.left -= bytes as u64;
        }
        Ok(size)
    }

    /// Reads the stream to its end. There is padding behind the end mark, and a digest covers it.
    pub fn drain(&mut self) -> Result<(), Error> {
        loop {
            let bytes = self.stream.piece(u64::MAX)?.len();
            if bytes == 0 {
                return Ok(());
            }
            self.stream.consume(bytes);
        }
    }

    fn expect_data(&mut self, bytes: u64) {
        self.left = bytes;
        self.padding = bytes.wrapping_neg() % BLOCK_BYTES as u64;
    }

    /// The next header block; `false` at the end: two blocks of zeros, one at the very end, or no more bytes.
    fn next_block(&mut self, block: &mut [u8; BLOCK_BYTES]) -> Result<bool, Error> {
        self.data(|_| Ok(()))?;
        let padding = usize::try_from(self.padding).unwrap_or_default();
        if self.stream.read(&mut block[..padding])? < padding {
            return Ok(false);
        }
        self.padding = 0;
        self.headers += 1;
        if !self.read_block(block)? {
            return Ok(false);
        }
        if block.iter().any(|byte| *byte != 0) {
            return Ok(true);
        }
        if self.read_block(block)? && block.iter().any(|byte| *byte != 0) {
            return Err(self.at_header(Problem::Invalid("one block of zeros ends no archive")));
        }
        Ok(false)
    }

    fn read_block(&mut self, block: &mut [u8; BLOCK_BYTES]) -> Result<bool, Error> {
        match self.stream.read(block)? {
            0 => Ok(false),
            BLOCK_BYTES => Ok(true),
            _ => Err(self.at_header(CUT_SHORT)),
        }
    }

    /// Reads the data of an extension header in place of what an earlier one said.
    fn extension(&mut self, into: &mut Vec<u8>) -> Result<(), Error> {
        if self.left > EXTENSION_BYTES_MAX {
            return Err(self.at_header(Problem::Invalid("an extension header with more than a mebibyte")));
        }
        into.clear();
        self.data(|piece| {
            into.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(())
    }

    /// The problem of a member whose name may not be known yet.
    fn at_header(&self, problem: Problem) -> Error {
        problem.of(format!("header {}", self.headers).as_bytes())
    }
}

impl Head {
    fn member(&self, kind: u8) -> Result<Member<'_>, Problem> {
        let block = Block::parse(&self.block)?;
        let records = Records::parse(&self.records)?;
        if kind == kind::GLOBAL {
            return Ok(Member::global(&block, records.path));
        }
        Member::of(block, Extensions { records, name: text(&self.name), link: text(&self.link) })
    }
}
