//! The members of a tar and where they lie in it. Nothing is unpacked: a member is read at its place in the archive.

use super::refused;
use crate::exit::Failure;
use anyhow::Result;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use tar::EntryType;

/// Members of an archive. An image has three per layer, and few images have a hundred layers.
pub const MEMBERS_MAX: usize = 65_536;
/// Bytes of a member's path. The longest that builders write have about 80.
pub const PATH_BYTES_MAX: usize = 1024;
/// How many links may follow one another; Docker writes one.
const LINKS_MAX: usize = 4;

/// A regular file within the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its path.
    pub path: String,
    /// Where its content begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub size: u64,
}

/// What a path leads to.
#[derive(Clone, Debug)]
enum Entry {
    File(Member),
    Link(String),
}

/// The archive and its table of contents.
pub struct Members {
    shown: String,
    file: File,
    entries: BTreeMap<String, Entry>,
}

impl Members {
    /// Reads the table of contents. `shown` names the archive in failures.
    ///
    /// # Errors
    /// `Refused` for what is no tar, is cut short, has too many members, the same one twice, or a path that leads out.
    pub fn read(file: File, shown: &str) -> Result<Members> {
        let length = file.metadata().map_err(|error| refused(shown, error))?.len();
        let mut members = Members { shown: shown.to_owned(), file, entries: BTreeMap::new() };
        let mut file = members.file.try_clone().map_err(|error| refused(shown, error))?;
        file.seek(SeekFrom::Start(0)).map_err(|error| refused(shown, error))?;
        let mut archive = tar::Archive::new(file);
        let broken = |last: &str, error: std::io::Error| {
            let place = if last.is_empty() { "at its beginning".to_owned() } else { format!("behind {last}") };
            refused(shown, format!("no tar archive, or cut short, {place}: {error}"))
        };
        let mut last = String::new();
        for entry in archive.entries_with_seek().map_err(|error| broken("", error))? {
            let entry = entry.map_err(|error| broken(&last, error))?;
            if members.entries.len() >= MEMBERS_MAX {
                return Err(refused(shown, format!("has more than {MEMBERS_MAX} members")).into());
            }
            let path = members.path(&entry.path_bytes())?;
            last.clone_from(&path);
            let found = match entry.header().entry_type() {
                EntryType::Regular | EntryType::Continuous => {
                    let (offset, size) = (entry.raw_file_position(), entry.size());
                    if offset.checked_add(size).is_none_or(|end| end > length) {
                        let why =
                            format!("cut short: {size} bytes from byte {offset} on, but the archive has {length}");
                        return Err(members.wrong(&path, why).into());
                    }
                    Entry::File(Member { path: path.clone(), offset, size })
                }
                EntryType::Symlink | EntryType::Link => {
                    let target = entry.link_name_bytes().unwrap_or_default();
                    let base = match entry.header().entry_type() {
                        EntryType::Symlink => path.rsplit_once('/').map_or("", |(folder, _)| folder),
                        _ => "",
                    };
                    Entry::Link(members.target(&path, base, &target)?)
                }
                EntryType::Directory | EntryType::XGlobalHeader => continue,
                other => return Err(members.wrong(&path, format!("is no file or folder, but {other:?}")).into()),
            };
            if members.entries.insert(path.clone(), found).is_some() {
                return Err(members.wrong(&path, "is there twice").into());
            }
        }
        Ok(members)
    }

    /// The member of a path, through links.
    ///
    /// # Errors
    /// `Refused` when there is none.
    pub fn get(&self, path: &str) -> Result<&Member, Failure> {
        let mut at = path;
        for _ in 0..=LINKS_MAX {
            match self.entries.get(at) {
                Some(Entry::File(member)) => return Ok(member),
                Some(Entry::Link(target)) => at = target,
                None => return Err(self.wrong(path, "is not in the archive")),
            }
        }
        Err(self.wrong(path, format!("is a link behind more than {LINKS_MAX} others")))
    }

    /// Whether something has this path.
    pub fn has(&self, path: &str) -> bool {
        self.entries.contains_key(path)
    }

    /// The content of a member that must be short.
    ///
    /// # Errors
    /// `Refused` when it is longer than `bytes_max`, or cannot be read.
    pub fn content(&self, member: &Member, bytes_max: u64) -> Result<Vec<u8>, Failure> {
        if member.size > bytes_max {
            return Err(self.wrong(&member.path, format!("has {} bytes; at most {bytes_max} are read", member.size)));
        }
        let mut content = Vec::new();
        let read = self.reader(member, 0).and_then(|mut reader| reader.read_to_end(&mut content));
        read.map_err(|error| self.wrong(&member.path, error))?;
        Ok(content)
    }

    /// Reads a member from some byte of it on. Readers do not disturb each other.
    ///
    /// # Errors
    /// When the archive cannot be opened once more.
    pub fn reader(&self, member: &Member, from: u64) -> std::io::Result<impl Read + Send + 'static> {
        let from = from.min(member.size);
        Ok(Part { file: self.file.try_clone()?, at: member.offset + from, left: member.size - from })
    }

    /// The failure of a member that is not taken.
    pub fn wrong(&self, path: &str, why: impl std::fmt::Display) -> Failure {
        refused(&self.shown, format!("{path}: {why}"))
    }

    /// The failure of a member with another digest than it is called by.
    pub fn forged(&self, path: &str, digest: &str) -> Failure {
        self.wrong(path, format!("its content has the digest {digest}"))
    }

    /// The failure of the archive as a whole.
    pub fn refused(&self, why: impl std::fmt::Display) -> Failure {
        refused(&self.shown, why)
    }

    /// A member's path as references write it.
    fn path(&self, bytes: &[u8]) -> Result<String, Failure> {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(PATH_BYTES_MAX)]).into_owned();
        if bytes.len() > PATH_BYTES_MAX {
            return Err(self.wrong(&shown, format!("a path of more than {PATH_BYTES_MAX} bytes")));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| self.wrong(&shown, "a path that is not UTF-8"))?;
        within("", text).ok_or_else(|| self.wrong(&shown, "a path that leads out of the archive"))
    }

    /// The path that a link leads to.
    fn target(&self, path: &str, base: &str, bytes: &[u8]) -> Result<String, Failure> {
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= PATH_BYTES_MAX);
        let inside = text.and_then(|text| within(base, text)).filter(|target| !target.is_empty());
        inside.ok_or_else(|| self.wrong(path, "a link that leads out of the archive"))
    }
}

/// A path below `base` without `.` and `..`; none when it leads out, or holds what no path may.
fn within(base: &str, path: &str) -> Option<String> {
    if path.starts_with('/') || path.chars().any(char::is_control) {
        return None;
    }
    let mut parts: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
    // A member may not climb at all, a link may within the archive: `../other/layer.tar`.
    let climbs = !base.is_empty();
    for part in path.split('/') {
        match part {
            "" | "." => (),
            ".." if climbs => {
                parts.pop()?;
            }
            ".." => return None,
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// A part of a file, read by position.
struct Part {
    file: File,
    at: u64,
    left: u64,
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let length = self.file.read_at(&mut buffer[..wanted], self.at)?;
        if length == 0 {
            return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the archive has become shorter"));
        }
        self.at += length as u64;
        self.left -= length as u64;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_within_the_archive() {
        assert_eq!(within("", "./blobs//sha256/ab").as_deref(), Some("blobs/sha256/ab"));
        assert_eq!(within("abc", "../def/layer.tar").as_deref(), Some("def/layer.tar"));
        for (base, path) in [("", "/etc/passwd"), ("", "../x"), ("", "a/../../x"), ("a", "../../x"), ("", "a\0b")] {
            assert_eq!(within(base, path), None, "{path:?}");
        }
    }
}
