//! The bytes of rows and history records in the embedded database, and history rebuilt from them: pure.
//!
//! ```text
//! row:    create revision (8 LE) | mod revision (8 LE) | sealed value
//! record: key length (4 LE) | key | flags (1) | [previous: length (4 LE) | row] | [last: length (4 LE) | sealed value]
//! ```
//!
//! A record holds what a change replaced, not what it put: the latter is in the table of rows or in the next record of
//! the same key, so no value is written twice.

use super::{Change, Row};
use crate::entry::Key;
use bytes::{BufMut, Bytes};
use std::collections::HashMap;

/// The change put a value; without it, it deleted one.
const PUT: u8 = 1;
/// There was a value before.
const PREVIOUS: u8 = 2;
/// A deletion has a final state of its own.
const LAST: u8 = 4;
/// The two revisions before a sealed value.
const ROW_HEAD_BYTES: usize = 16;

/// One history record, without its revision, which is its place in the table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub key: Key,
    pub put: bool,
    pub previous: Option<Row>,
    pub last: Option<Bytes>,
}

/// The bytes of a row.
pub(super) fn row(create_revision: u64, mod_revision: u64, sealed: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(ROW_HEAD_BYTES + sealed.len());
    out.put_u64_le(create_revision);
    out.put_u64_le(mod_revision);
    out.put_slice(sealed);
    out
}

/// The create and mod revision of a row; zeros when it is damaged.
pub(super) fn revisions(row: &[u8]) -> (u64, u64) {
    let at = |start: usize| row.get(start..)?.first_chunk().map(|eight| u64::from_le_bytes(*eight));
    (at(0).unwrap_or(0), at(8).unwrap_or(0))
}

/// The row of `key`. A damaged one comes out without a value, which the envelope then reports.
pub(super) fn parse_row(key: Key, bytes: &Bytes) -> Row {
    let (create_revision, mod_revision) = revisions(bytes);
    let sealed = bytes.slice(ROW_HEAD_BYTES.min(bytes.len())..);
    Row { key, create_revision, mod_revision, sealed }
}

/// The bytes of a history record; `previous` are the bytes of the row that was replaced.
pub(super) fn record(key: &Key, put: bool, previous: Option<&[u8]>, last: Option<&Bytes>) -> Vec<u8> {
    let size = 13 + key.len() + previous.map_or(0, <[u8]>::len) + last.map_or(0, Bytes::len);
    let mut out = Vec::with_capacity(size);
    put_piece(&mut out, key.as_bytes());
    let flag = |bit, set| if set { bit } else { 0 };
    out.put_u8(flag(PUT, put) | flag(PREVIOUS, previous.is_some()) | flag(LAST, last.is_some()));
    for piece in [previous, last.map(|last| &**last)].into_iter().flatten() {
        put_piece(&mut out, piece);
    }
    out
}

fn put_piece(out: &mut Vec<u8>, piece: &[u8]) {
    let length = u32::try_from(piece.len()).expect("keys and values are limited to a few megabytes");
    out.put_u32_le(length);
    out.put_slice(piece);
}

/// A history record, unless it is damaged.
pub(super) fn parse_record(bytes: &Bytes) -> Option<Record> {
    let mut at = 0;
    let key = Key::from(std::str::from_utf8(&take_piece(bytes, &mut at)?).ok()?);
    let flags = *bytes.get(at)?;
    at += 1;
    let mut piece = |bit| if flags & bit == 0 { Some(None) } else { take_piece(bytes, &mut at).map(Some) };
    let previous = piece(PREVIOUS)?.map(|bytes| parse_row(key.clone(), &bytes));
    let last = piece(LAST)?;
    Some(Record { key, put: flags & PUT != 0, previous, last })
}

fn take_piece(bytes: &Bytes, at: &mut usize) -> Option<Bytes> {
    let length = u32::from_le_bytes(*bytes.get(*at..)?.first_chunk()?) as usize;
    let start = *at + 4;
    let end = start.checked_add(length).filter(|end| *end <= bytes.len())?;
    *at = end;
    Some(bytes.slice(start..end))
}

/// The changes of `records`, oldest first, from the newest `rows` backwards; with the revision up to which history had
/// to be given up because a record is damaged or does not fit, if any is.
pub(super) fn replay(rows: &[Row], records: Vec<(u64, Option<Record>)>) -> (Vec<Change>, Option<u64>) {
    let mut after: HashMap<Key, Row> = rows.iter().map(|row| (row.key.clone(), row.clone())).collect();
    let mut changes = Vec::with_capacity(records.len());
    let mut given_up = None;
    for (revision, record) in records.into_iter().rev() {
        let fitting = record.and_then(|Record { key, put, previous, last }| {
            let row = after.remove(&key);
            let fits = row.as_ref().map(|row| row.mod_revision) == put.then_some(revision);
            fits.then_some(Change { revision, key, previous, row, last })
        });
        let Some(change) = fitting else {
            given_up = Some(revision);
            break;
        };
        if let Some(previous) = &change.previous {
            after.insert(change.key.clone(), previous.clone());
        }
        changes.push(change);
    }
    changes.reverse();
    if let Some(revision) = given_up {
        changes.retain(|change| change.revision > revision);
    }
    (changes, given_up)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(revision: u64) -> Row {
        parse_row("/a".into(), &row(2, revision, b"value").into())
    }

    #[test]
    fn records_come_back_and_every_cut_is_noticed() {
        let previous = row(2, 7, b"before");
        let last = Bytes::from_static(b"final");
        for (previous, last) in [(None, None), (Some(&previous), None), (Some(&previous), Some(&last))] {
            let bytes = Bytes::from(record(&"/a".into(), last.is_none(), previous.map(Vec::as_slice), last));
            let back = parse_record(&bytes).unwrap();
            assert_eq!((&*back.key, back.put, back.last.as_ref()), ("/a", last.is_none(), last));
            assert_eq!(back.previous.map(|row| (row.mod_revision, row.sealed)), previous.map(|_| (7, "before".into())));
            assert!((0..bytes.len()).all(|end| parse_record(&bytes.slice(..end)).is_none()));
        }
    }

    #[test]
    fn history_is_rebuilt_backwards_and_given_up_where_it_does_not_fit() {
        let record = |put, previous: Option<u64>| {
            Some(Record { key: "/a".into(), put, previous: previous.map(parsed), last: None })
        };
        let whole = vec![(2, record(true, None)), (3, record(false, Some(2))), (4, record(true, None))];
        let rows = [parsed(4)];
        let (changes, given_up) = replay(&rows, whole);
        assert_eq!(given_up, None);
        let seen: Vec<_> = changes.iter().map(|c| (c.revision, c.row.as_ref().map(|row| row.mod_revision))).collect();
        assert_eq!(seen, [(2, Some(2)), (3, None), (4, Some(4))]);

        let damaged = vec![(2, record(true, None)), (3, None), (4, record(true, Some(3)))];
        let (changes, given_up) = replay(&rows, damaged);
        assert_eq!((changes.len(), given_up), (1, Some(3)));
        let (changes, given_up) = replay(&rows, vec![(3, record(true, Some(2)))]);
        assert_eq!((changes.len(), given_up), (0, Some(3)));
    }
}
