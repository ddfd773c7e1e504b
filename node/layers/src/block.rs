//! One header block of the archive as fields. Whatever the extension headers before it add is `member`'s.
//!
//! The layouts are those of the `tar` crate. Its reader is not used: it takes a PAX value for ended at its first line
//! feed, which the bits of a `security.capability` may well be, refuses empty number fields, and skips the data that a
//! hard link's size announces and no writer sends.

use crate::error::Problem;
use crate::number::{numeric, octal, text};
use crate::stream::BLOCK_BYTES;
use crate::time::Time;

/// Where the checksum is; it counts as blanks in itself.
const CHECKSUM: std::ops::Range<usize> = 148..156;
/// Where the word `ustar` is in all formats but the oldest.
const MAGIC: std::ops::Range<usize> = 257..262;
/// How a header of Schily's star ends, whose prefix is shorter.
const STAR: &[u8] = b"tar\0";

/// The fields of a header.
#[derive(Debug)]
pub struct Block<'a> {
    pub kind: u8,
    pub prefix: &'a [u8],
    pub name: &'a [u8],
    pub link: &'a [u8],
    pub size: i64,
    pub mode: i64,
    pub owner: i64,
    pub group: i64,
    pub modified: Time,
    pub accessed: Option<Time>,
    pub device: (i64, i64),
}

/// The kind of member that a block begins, once the checksum has been seen to be right.
pub fn checked_kind(bytes: &[u8; BLOCK_BYTES]) -> Result<u8, Problem> {
    if !checksum_is_right(bytes) {
        return Err(Problem::Invalid("not the header of a tar archive: its checksum is wrong"));
    }
    Ok(tar::Header::from_byte_slice(bytes).as_old().linkflag[0])
}

impl Block<'_> {
    /// Reads a block whose checksum is right.
    pub fn parse(bytes: &[u8; BLOCK_BYTES]) -> Result<Block<'_>, Problem> {
        let header = tar::Header::from_byte_slice(bytes);
        let old = header.as_old();
        let mut block = Block {
            kind: old.linkflag[0],
            prefix: &[],
            name: text(&old.name),
            link: text(&old.linkname),
            size: number(&old.size)?,
            mode: number(&old.mode)?,
            owner: number(&old.uid)?,
            group: number(&old.gid)?,
            modified: Time::at(number(&old.mtime)?),
            accessed: None,
            device: (0, 0),
        };
        if let Some(posix) = header.as_ustar() {
            if bytes.ends_with(STAR) {
                return Err(Problem::Unsupported("a header of star"));
            }
            block.prefix = text(&posix.prefix);
            block.device = (number(&posix.dev_major)?, number(&posix.dev_minor)?);
        } else if let Some(gnu) = header.as_gnu() {
            block.device = (number(&gnu.dev_major)?, number(&gnu.dev_minor)?);
            block.accessed = gnu_time(&gnu.atime)?;
            gnu_time(&gnu.ctime)?;
        } else if &bytes[MAGIC] == b"ustar" {
            return Err(Problem::Unsupported("a version of the tar format that nobody writes"));
        }
        Ok(block)
    }
}

fn number(field: &[u8]) -> Result<i64, Problem> {
    numeric(field).ok_or(Problem::Invalid("a field of its header is no number"))
}

/// A time that GNU's tar may leave out. Old versions of Go wrote the end of long names there.
fn gnu_time(field: &[u8]) -> Result<Option<Time>, Problem> {
    if field[0] == 0 {
        return Ok(None);
    }
    let seconds = numeric(field).ok_or(Problem::Unsupported("a GNU header with a prefix"))?;
    Ok(Some(Time::at(seconds)))
}

/// The sum of all bytes; some writers took them for signed.
fn checksum_is_right(bytes: &[u8; BLOCK_BYTES]) -> bool {
    let Some(said) = octal(&bytes[CHECKSUM]) else { return false };
    let blanks = u64::from(b' ') * CHECKSUM.len() as u64;
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    let unsigned = blanks + u64::from(sum(&bytes[..CHECKSUM.start]) + sum(&bytes[CHECKSUM.end..]));
    if said == unsigned {
        return true;
    }
    let counted = bytes[..CHECKSUM.start].iter().chain(&bytes[CHECKSUM.end..]);
    let negative = counted.filter(|byte| **byte >= 0x80).count() as u64;
    unsigned.checked_sub(256 * negative) == Some(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(change: impl Fn(&mut tar::Header)) -> [u8; BLOCK_BYTES] {
        let mut header = tar::Header::new_ustar();
        header.set_path("a").unwrap();
        header.set_size(3);
        change(&mut header);
        header.set_cksum();
        *header.as_bytes()
    }

    #[test]
    fn the_fields_of_a_header_are_read() {
        let bytes = header(|header| {
            header.set_mode(0o4755);
            header.set_uid(7);
            header.set_mtime(9);
        });
        let block = Block::parse(&bytes).unwrap();
        assert_eq!((block.name, block.size, block.mode), (&b"a"[..], 3, 0o4755));
        assert_eq!((block.owner, block.modified), (7, Time::at(9)));
    }

    #[test]
    fn a_flipped_bit_is_noticed() {
        let mut bytes = header(|_| ());
        bytes[0] ^= 1;
        assert!(matches!(checked_kind(&bytes), Err(Problem::Invalid(_))));
    }

    #[test]
    fn a_checksum_of_signed_bytes_is_right_too() {
        let mut bytes = header(|header| header.as_old_mut().name[0] = 0xe9);
        let signed = octal(&bytes[CHECKSUM]).unwrap() - 256;
        bytes[CHECKSUM].copy_from_slice(format!("{signed:06o}\0 ").as_bytes());
        assert_eq!(checked_kind(&bytes), Ok(0));
        assert_eq!(Block::parse(&bytes).unwrap().name, [0xe9]);
    }

    #[test]
    fn formats_that_nobody_writes_any_more_are_left_to_containerd() {
        let star = header(|header| header.as_ustar_mut().unwrap().pad[8..].copy_from_slice(STAR));
        let version = header(|header| header.as_ustar_mut().unwrap().version = *b"07");
        for bytes in [star, version] {
            assert!(matches!(Block::parse(&bytes), Err(Problem::Unsupported(_))));
        }
    }
}
