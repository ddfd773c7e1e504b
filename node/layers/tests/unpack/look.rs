//! Describes what is in a folder, one line for each thing.

use std::fs::symlink_metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// The longest file that is shown with its content.
const SHOWN_BYTES_MAX: u64 = 32;

/// All things below the folder in the order of their names, as `name kind mode owner:group details`.
pub fn list(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    visit(folder, folder, &mut lines);
    lines
}

fn visit(root: &Path, folder: &Path, lines: &mut Vec<String>) {
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        lines.push(format!("{} {}", path.strip_prefix(root).unwrap().display(), describe(&path)));
        if symlink_metadata(&path).unwrap().is_dir() {
            visit(root, &path, lines);
        }
    }
}

fn describe(path: &Path) -> String {
    let found = symlink_metadata(path).unwrap();
    let kind = found.file_type();
    let (name, details) = if kind.is_symlink() {
        ("link", format!(" -> {}", std::fs::read_link(path).unwrap().display()))
    } else if kind.is_dir() {
        ("folder", String::new())
    } else if kind.is_fifo() {
        ("pipe", String::new())
    } else if kind.is_char_device() || kind.is_block_device() {
        let device = (rustix::fs::major(found.rdev()), rustix::fs::minor(found.rdev()));
        (if kind.is_char_device() { "character" } else { "block" }, format!(" {},{}", device.0, device.1))
    } else if found.len() > SHOWN_BYTES_MAX {
        ("file", format!(" {} bytes", found.len()))
    } else {
        ("file", format!(" {:?}", String::from_utf8_lossy(&std::fs::read(path).unwrap())))
    };
    let opaque = if attribute(path, "trusted.overlay.opaque").is_some() { " opaque" } else { "" };
    format!("{name} {:o} {}:{}{details}{opaque}", found.mode() & 0o7777, found.uid(), found.gid())
}

/// An extended attribute of the thing itself.
pub fn attribute(path: &Path, key: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 256];
    let length = rustix::fs::lgetxattr(path.as_os_str().as_bytes(), key, &mut value[..]).ok()?;
    value.truncate(length);
    Some(value)
}

/// The time of its last change, in nanoseconds.
pub fn modified(path: &Path) -> i128 {
    let found = symlink_metadata(path).unwrap();
    i128::from(found.mtime()) * 1_000_000_000 + i128::from(found.mtime_nsec())
}
