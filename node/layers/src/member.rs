//! One member of the archive: its header and what the extension headers before it changed. Pure.

use crate::block::Block;
use crate::error::Problem;
use crate::number::decimal;
use crate::pax::Records;
use crate::time::{Time, Times};
use std::borrow::Cow;

/// The kinds of members that are unpacked, by the letter of the header.
pub mod kind {
    pub const OLD_FILE: u8 = 0;
    pub const FILE: u8 = b'0';
    pub const LINK: u8 = b'1';
    pub const SYMLINK: u8 = b'2';
    pub const CHARACTER: u8 = b'3';
    pub const BLOCK: u8 = b'4';
    pub const FOLDER: u8 = b'5';
    pub const PIPE: u8 = b'6';
    pub const GLOBAL: u8 = b'g';
}

/// A member of the archive.
#[derive(Debug)]
pub struct Member<'a> {
    pub kind: u8,
    pub name: Cow<'a, [u8]>,
    pub link: &'a [u8],
    pub size: u64,
    pub mode: i64,
    pub owner: i64,
    pub group: i64,
    pub times: Times,
    pub device: (i64, i64),
    pub attributes: Vec<(&'a [u8], &'a [u8])>,
    pub sparse: bool,
}

/// What came before the header.
#[derive(Debug, Default)]
pub struct Extensions<'a> {
    pub records: Records<'a>,
    /// The name of a GNU long name header, or nothing.
    pub name: &'a [u8],
    /// The link's target, likewise.
    pub link: &'a [u8],
}

impl<'a> Member<'a> {
    /// A header with the extensions that came before it. A GNU long name is stronger than a PAX path.
    pub fn of(block: Block<'a>, extensions: Extensions<'a>) -> Result<Member<'a>, Problem> {
        let Extensions { records, name, link } = extensions;
        let modified = time(records.modified)?.unwrap_or(block.modified);
        let accessed = time(records.accessed)?.or(block.accessed);
        let name = [name, records.path].into_iter().find(|name| !name.is_empty());
        let name = name.map_or_else(|| whole_name(&block), Cow::Borrowed);
        let kind = match block.kind {
            kind::OLD_FILE if name.ends_with(b"/") => kind::FOLDER,
            kind::OLD_FILE => kind::FILE,
            kind => kind,
        };
        let size = number(records.size, block.size)?;
        Ok(Member {
            kind,
            name,
            link: [link, records.link].into_iter().find(|link| !link.is_empty()).unwrap_or(block.link),
            size: data_bytes(kind, size)?,
            mode: block.mode,
            owner: number(records.owner, block.owner)?,
            group: number(records.group, block.group)?,
            times: Times::of(accessed, modified),
            device: block.device,
            attributes: records.attributes,
            sparse: records.sparse,
        })
    }

    /// A header of global records, which change nothing.
    pub fn global(block: &Block<'a>, path: &'a [u8]) -> Member<'a> {
        Member {
            kind: kind::GLOBAL,
            name: if path.is_empty() { whole_name(block) } else { Cow::Borrowed(path) },
            link: &[],
            size: 0,
            mode: 0,
            owner: 0,
            group: 0,
            times: Times::of(None, Time::default()),
            device: (0, 0),
            attributes: Vec::new(),
            sparse: false,
        }
    }
}

/// The bytes that follow a header. Those that only name something have none, whatever they say.
pub fn data_bytes(kind: u8, size: i64) -> Result<u64, Problem> {
    match kind {
        kind::LINK | kind::SYMLINK | kind::CHARACTER | kind::BLOCK | kind::FOLDER | kind::PIPE => Ok(0),
        _ => u64::try_from(size).map_err(|_| Problem::Invalid("its size is negative")),
    }
}

fn whole_name<'a>(block: &Block<'a>) -> Cow<'a, [u8]> {
    if block.prefix.is_empty() {
        return Cow::Borrowed(block.name);
    }
    Cow::Owned([block.prefix, b"/", block.name].concat())
}

fn number(record: &[u8], header: i64) -> Result<i64, Problem> {
    if record.is_empty() {
        return Ok(header);
    }
    decimal(record).ok_or(Problem::Invalid("a PAX record that should be a number is none"))
}

fn time(record: &[u8]) -> Result<Option<Time>, Problem> {
    if record.is_empty() {
        return Ok(None);
    }
    Time::parse(record).map(Some).ok_or(Problem::Invalid("a PAX record that should be a time is none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(kind: u8) -> Block<'static> {
        Block {
            kind,
            prefix: b"",
            name: b"short",
            link: b"target",
            size: 5,
            mode: 0o644,
            owner: 1,
            group: 2,
            modified: Time::at(3),
            accessed: None,
            device: (0, 0),
        }
    }

    #[test]
    fn extensions_replace_what_the_header_says() {
        let records = Records {
            path: b"pax",
            link: b"far",
            size: b"9",
            owner: b"4000000",
            modified: b"8.5",
            ..Records::default()
        };
        let member = Member::of(block(kind::FILE), Extensions { records, ..Extensions::default() }).unwrap();
        assert_eq!((&*member.name, member.link, member.size), (&b"pax"[..], &b"far"[..], 9));
        assert_eq!((member.owner, member.group), (4_000_000, 2));
        assert_eq!(member.times.modified, Time { seconds: 8, nanoseconds: 500_000_000 });
    }

    #[test]
    fn a_gnu_name_is_stronger_than_a_pax_path() {
        let records = Records { path: b"pax", ..Records::default() };
        let member = Member::of(block(kind::FILE), Extensions { records, name: b"gnu", link: b"" }).unwrap();
        assert_eq!(&*member.name, b"gnu");
    }

    #[test]
    fn the_prefix_of_posix_is_a_folder() {
        let member = Member::of(Block { prefix: b"a/b", ..block(kind::FILE) }, Extensions::default()).unwrap();
        assert_eq!(&*member.name, b"a/b/short");
    }

    #[test]
    fn an_old_file_whose_name_ends_with_a_slash_is_a_folder() {
        let member = Member::of(Block { name: b"a/", ..block(kind::OLD_FILE) }, Extensions::default()).unwrap();
        assert_eq!(member.kind, kind::FOLDER);
    }

    #[test]
    fn a_hard_link_has_no_data_whatever_its_size() {
        assert_eq!(Member::of(block(kind::LINK), Extensions::default()).unwrap().size, 0);
        assert!(Member::of(Block { size: -1, ..block(kind::FILE) }, Extensions::default()).is_err());
    }
}
