//! A new state disk of the usual size gets its file system by copying what mke2fs would write there, which the image has
//! ready (`image::build::blank` makes it and tells its form).

use crate::boot::Failure;
use crate::config::keys::DISK_NAME;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// How such a file begins.
const MAGIC: &[u8; 8] = b"skerry 1";
/// Where they are, before the size of the disk.
const PLACE: &str = "/usr/lib/skerry/blank-";

/// The block that tells what is on the disk, bytes.
const BLOCK: usize = 4096;

/// Bytes and where they go.
type Stretch<'a> = (u64, &'a [u8]);

/// The file for a disk of this size and label, where the image has one: they have the label that disks have by default.
pub fn find(size_bytes: u64, label: &str) -> Option<PathBuf> {
    let path = PathBuf::from(format!("{PLACE}{size_bytes}"));
    (label == DISK_NAME.default && path.exists()).then_some(path)
}

/// Copies a template onto a device. The first block comes last, so that a disk that lost its power before is still blank.
///
/// # Errors
/// When the file is damaged, or the disk does not take it.
pub fn apply(template: &Path, device: &Path, size_bytes: u64) -> Result<(), Failure> {
    let said = |what: &Path, e: io::Error| format!("format the state disk: {}: {e}", what.display());
    let bytes = std::fs::read(template).map_err(|e| Failure::new(said(template, e), crate::boot::BROKEN_IMAGE))?;
    let stretches = stretches(&bytes, size_bytes)
        .map_err(|e| Failure::new(said(template, io::Error::other(e)), crate::boot::BROKEN_IMAGE))?;
    let write = || -> io::Result<()> {
        let disk = OpenOptions::new().write(true).open(device)?;
        let ((place, first), rest) = stretches.split_first().ok_or_else(|| io::Error::other("it is empty"))?;
        let (head, tail) = first.split_at(first.len().min(BLOCK));
        disk.write_all_at(tail, place + head.len() as u64)?;
        for (at, bytes) in rest {
            disk.write_all_at(bytes, *at)?;
        }
        disk.sync_data()?;
        disk.write_all_at(head, *place)?;
        disk.sync_data()
    };
    write().map_err(|e| Failure::new(said(device, e), "look at the host's disk and its free space"))
}

/// What a template says, in order of place.
fn stretches(bytes: &[u8], size_bytes: u64) -> Result<Vec<Stretch<'_>>, &'static str> {
    let rest = bytes.strip_prefix(MAGIC).ok_or("not a template of this version")?;
    let (size, mut rest) = number(rest).ok_or("cut short")?;
    if size != size_bytes {
        return Err("for a disk of another size");
    }
    let mut found: Vec<Stretch<'_>> = Vec::new();
    while !rest.is_empty() {
        let (at, behind) = number(rest).ok_or("cut short")?;
        let (length, behind) = number(behind).ok_or("cut short")?;
        let length_here = usize::try_from(length).map_err(|_| "cut short")?;
        let (content, behind) = behind.split_at_checked(length_here).ok_or("cut short")?;
        let is_next = found.last().is_none_or(|(before, bytes)| before + bytes.len() as u64 <= at);
        if !is_next || at.checked_add(length).is_none_or(|end| end > size) {
            return Err("a place that is out of order or beyond the disk");
        }
        found.push((at, content));
        rest = behind;
    }
    Ok(found)
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(size: u64, stretches: &[(u64, &[u8])]) -> Vec<u8> {
        let mut bytes = [&MAGIC[..], &size.to_le_bytes()].concat();
        for (at, content) in stretches {
            bytes.extend([&at.to_le_bytes()[..], &(content.len() as u64).to_le_bytes(), content].concat());
        }
        bytes
    }

    #[test]
    fn bytes_go_to_their_places() {
        let folder = tempfile::tempdir().unwrap();
        let (file, disk) = (folder.path().join("blank"), folder.path().join("disk"));
        std::fs::write(&file, template(64, &[(0, b"first"), (60, b"last")])).unwrap();
        std::fs::write(&disk, [9; 64]).unwrap();
        apply(&file, &disk, 64).unwrap();
        let got = std::fs::read(&disk).unwrap();
        assert_eq!((&got[..6], &got[59..]), (&b"first\x09"[..], &b"\x09last"[..]));
        assert_eq!(got.len(), 64);
        let other = apply(&file, &disk, 65).unwrap_err();
        assert!(other.reason.contains("another size"), "{}", other.reason);
    }

    #[test]
    fn a_damaged_template_is_refused_before_anything_is_written() {
        let good = template(64, &[(0, b"first"), (60, b"last")]);
        assert_eq!(stretches(&good, 64).unwrap().len(), 2);
        for length in [0, 7, 12, 20, 30, good.len() - 1] {
            assert!(stretches(&good[..length], 64).is_err(), "{length} bytes");
        }
        for bad in [&[(60, &b"12345"[..])][..], &[(8, b"x"), (8, b"y")], &[(u64::MAX, b"x")]] {
            assert!(stretches(&template(64, bad), 64).is_err(), "{bad:?}");
        }
    }
}
