//! Where a file's bytes lie on its device (FIEMAP of linux/fiemap.h).

use crate::{checked, said};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// A piece of a file that lies in one piece on the device. All in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where it begins in the file.
    pub from: u64,
    /// Where it begins on the device.
    pub at: u64,
    /// Its length.
    pub length: u64,
    /// Whether a read of the file reads these bytes of the device. Not so when they are yet to be written, packed, or
    /// encrypted.
    pub plain: bool,
}

/// Pieces that one question is answered with. A file in more pieces than that is not worth to be asked for.
const EXTENTS_MAX: usize = 32;

/// `_IOWR('f', 11, struct fiemap)` of linux/fs.h.
const FS_IOC_FIEMAP: libc::c_ulong = 0xC020_660B;
/// What is still in the cache goes to its place first.
const FIEMAP_FLAG_SYNC: u32 = 1;
const FIEMAP_EXTENT_LAST: u32 = 1;
/// UNKNOWN, DELALLOC, ENCODED, DATA_ENCRYPTED, NOT_ALIGNED, DATA_INLINE, DATA_TAIL and UNWRITTEN.
const NOT_PLAIN: u32 = 0x2 | 0x4 | 0x8 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800;

/// `struct fiemap_extent`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Answer {
    logical: u64,
    physical: u64,
    length: u64,
    reserved64: [u64; 2],
    flags: u32,
    reserved: [u32; 3],
}

/// `struct fiemap`, with room for the answers that the kernel writes behind it.
#[repr(C)]
struct Question {
    start: u64,
    length: u64,
    flags: u32,
    mapped: u32,
    count: u32,
    reserved: u32,
    answers: [Answer; EXTENTS_MAX],
}

/// The pieces of a file, in its order. Gaps are holes.
///
/// # Errors
/// What the file system says; one that cannot tell says `Unsupported`. `InvalidData` for a file in too many pieces.
pub fn extents(file: &File) -> io::Result<Vec<Extent>> {
    let mut question = Question {
        start: 0,
        length: u64::MAX,
        flags: FIEMAP_FLAG_SYNC,
        mapped: 0,
        count: EXTENTS_MAX as u32,
        reserved: 0,
        answers: [Answer::default(); EXTENTS_MAX],
    };
    // SAFETY: FS_IOC_FIEMAP reads the head of `question` and writes at most `count` answers behind it, for which
    // `answers` has room; both structures are laid out as in linux/fiemap.h, and the descriptor is open.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), FS_IOC_FIEMAP as libc::Ioctl, &raw mut question) };
    checked(result, "ask where a file lies")?;
    let answers = &question.answers[..(question.mapped as usize).min(EXTENTS_MAX)];
    if answers.last().is_some_and(|last| last.flags & FIEMAP_EXTENT_LAST == 0) {
        let cause = io::Error::new(io::ErrorKind::InvalidData, format!("more than {EXTENTS_MAX} pieces"));
        return Err(said("ask where a file lies", cause));
    }
    let extent = |answer: &Answer| Extent {
        from: answer.logical,
        at: answer.physical,
        length: answer.length,
        plain: answer.flags & NOT_PLAIN == 0,
    };
    Ok(answers.iter().map(extent).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn the_structures_are_as_long_as_the_kernel_s() {
        assert_eq!(std::mem::size_of::<Answer>(), 56);
        assert_eq!(std::mem::size_of::<Question>(), 32 + 56 * EXTENTS_MAX);
    }

    #[test]
    fn a_written_file_lies_somewhere_and_an_empty_one_nowhere() {
        // The build's folder, for a temporary one may be in memory.
        let path = std::env::current_exe().unwrap().with_extension(format!("extents-{}", std::process::id()));
        let file = File::options().create(true).truncate(true).read(true).write(true).open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        match extents(&file) {
            // One in memory, for example.
            Err(error) => return assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{error}"),
            Ok(found) => assert_eq!(found, []),
        }
        file.write_all_at(&[1; 8192], 8192).unwrap();
        let found = extents(&file).unwrap();
        assert_eq!((found[0].from, found.iter().map(|extent| extent.length).sum::<u64>()), (8192, 8192));
    }
}
