//! The records of a PAX extended header: `length key=value` and a line feed, where the value may hold any byte.

use crate::error::Problem;

/// What the keys of extended attributes begin with.
const ATTRIBUTE: &[u8] = b"SCHILY.xattr.";
/// What the keys of sparse files begin with.
const SPARSE: &[u8] = b"GNU.sparse.";
/// The shortest record: `5 a=` and its line feed.
const RECORD_BYTES_MIN: usize = 5;
const MALFORMED: Problem = Problem::Invalid("its PAX records are malformed");

/// The records that matter. Of two records with one key the later counts; an empty value means that there is none.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Records<'a> {
    pub path: &'a [u8],
    pub link: &'a [u8],
    pub size: &'a [u8],
    pub owner: &'a [u8],
    pub group: &'a [u8],
    pub modified: &'a [u8],
    pub accessed: &'a [u8],
    /// Extended attributes, without the prefix, in their order.
    pub attributes: Vec<(&'a [u8], &'a [u8])>,
    /// The member's data is a map and the pieces between holes.
    pub sparse: bool,
}

impl<'a> Records<'a> {
    /// Reads all records.
    pub fn parse(mut bytes: &'a [u8]) -> Result<Records<'a>, Problem> {
        let mut records = Records::default();
        while !bytes.is_empty() {
            let (record, rest) = cut(bytes).ok_or(MALFORMED)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or(MALFORMED)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            records.take(key, value)?;
            bytes = rest;
        }
        Ok(records)
    }

    fn take(&mut self, key: &'a [u8], value: &'a [u8]) -> Result<(), Problem> {
        let is_name = matches!(key, b"path" | b"linkpath" | b"uname" | b"gname");
        if key.is_empty() || key.contains(&0) || (is_name && value.contains(&0)) {
            return Err(MALFORMED);
        }
        match key {
            b"path" => self.path = value,
            b"linkpath" => self.link = value,
            b"size" => self.size = value,
            b"uid" => self.owner = value,
            b"gid" => self.group = value,
            b"mtime" => self.modified = value,
            b"atime" => self.accessed = value,
            _ if key.starts_with(SPARSE) => self.sparse = true,
            _ => {
                if let Some(name) = key.strip_prefix(ATTRIBUTE) {
                    self.attributes.push((name, value));
                }
            }
        }
        Ok(())
    }
}

/// The first record without its length and line feed, and what follows it.
fn cut(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let blank = bytes.iter().position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&bytes[..blank]).ok()?.parse().ok()?;
    if length < RECORD_BYTES_MIN || length > bytes.len() || length <= blank + 1 || bytes[length - 1] != b'\n' {
        return None;
    }
    Some((&bytes[blank + 1..length - 1], &bytes[length..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_records_win_and_unknown_ones_are_passed_over() {
        let records = Records::parse(b"9 path=a\n15 comment=one\n9 path=b\n9 size=7\n").unwrap();
        assert_eq!((records.path, records.size), (&b"b"[..], &b"7"[..]));
    }

    #[test]
    fn a_value_may_hold_line_feeds_and_zero_bytes() {
        let records = Records::parse(b"28 SCHILY.xattr.user.a=\n\0=\n\n").unwrap();
        assert_eq!(records.attributes, [(&b"user.a"[..], &b"\n\0=\n"[..])]);
    }

    #[test]
    fn sparse_files_are_recognised() {
        assert!(Records::parse(b"22 GNU.sparse.major=1\n").unwrap().sparse);
    }

    #[test]
    fn malformed_records_are_refused() {
        for wrong in [
            &b"8 path=a\n"[..],
            b"11 path=a\n",
            b"9 path=a ",
            b"x path=a\n",
            b"9\n",
            b"5 =a\n",
            b"9 pathaa\n",
            b"11 path=\0b\n",
            b"99999999999999999999 a=b\n",
        ] {
            assert_eq!(Records::parse(wrong), Err(MALFORMED), "{}", String::from_utf8_lossy(wrong));
        }
    }
}
