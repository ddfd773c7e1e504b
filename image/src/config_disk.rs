//! The config disk: a volume labelled SKERRY that the machine reads at boot, with `skerry.toml`, `manifests/` and
//! `images/`; a disk, or a CD where a machine is given no plain files. It must not know what the files are for.

use crate::build::disk::{fat, rock};
use crate::exit::{Code, Failure};
use anyhow::{Context, Result, anyhow, ensure};
use std::path::{Path, PathBuf};

/// What the machine looks for.
pub const LABEL: &str = "SKERRY";
/// Part of the volume's identity, which nobody looks at; fixed, so that the same files make the same bytes.
const SERIAL: u32 = 0x0053_4b59;
/// Files of one volume.
const FILES_MAX: usize = 1000;
/// Folders within folders.
const DEPTH_MAX: usize = 8;
/// Bytes of all files together: the volume is made in memory.
const BYTES_MAX: usize = 1 << 30;
/// Bytes of a cluster while a volume is small.
const CLUSTER: usize = 2048;
/// Clusters that such a volume has at most; beyond, they are larger.
const CLUSTERS: usize = 60_000;
/// Bytes that a file's entry takes, with a long name, and its share of the tables.
const ENTRY: usize = 1024;
/// Bytes of what every volume has.
const BASE: usize = 1 << 20;

/// One file of the volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place, such as `manifests/app.yaml`.
    pub place: String,
    /// Its content.
    pub content: Vec<u8>,
}

impl Entry {
    /// A file of the host at a place of the volume.
    ///
    /// # Errors
    /// `Refused` when it cannot be read.
    pub fn of_file(place: impl Into<String>, file: &Path) -> Result<Entry> {
        let content = std::fs::read(file).map_err(|error| refused(file, &error))?;
        Ok(Entry { place: place.into(), content })
    }
}

/// Everything in a folder and those below it, at a place of the volume.
///
/// # Errors
/// `Refused` when there is no such folder, or it holds more than a volume does.
pub fn folder(folder: &Path, place: &str) -> Result<Vec<Entry>> {
    let mut files = Vec::new();
    list(folder, place, 0, &mut files).map_err(|error| refused(folder, &format!("{error:#}")))?;
    files.sort();
    files.into_iter().map(|(place, file)| Entry::of_file(place, &file)).collect()
}

fn list(folder: &Path, place: &str, depth: usize, into: &mut Vec<(String, PathBuf)>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).context("a name is not in UTF-8")?;
        // Editors' and version control's own files.
        if name.starts_with('.') {
            continue;
        }
        let place = format!("{place}/{name}");
        if path.is_dir() {
            ensure!(depth < DEPTH_MAX, "folders are nested more than {DEPTH_MAX} deep");
            list(&path, &place, depth + 1, into)?;
        } else if path.is_file() {
            into.push((place, path));
        }
        ensure!(into.len() <= FILES_MAX, "more than {FILES_MAX} files");
    }
    Ok(())
}

fn refused(path: &Path, why: &impl std::fmt::Display) -> anyhow::Error {
    anyhow!(Failure::new(Code::Refused, format!("{}: {why}", path.display())))
}

/// Writes a volume, whole or not at all; only its owner may read it, for it may hold a code or a key.
///
/// # Errors
/// `Refused` when there is more than a volume holds, or a name that it cannot have; when the disk does not take it.
pub fn write(path: &Path, entries: &[Entry]) -> Result<()> {
    let files = files(path, entries)?;
    let volume = fat::volume(LABEL, SERIAL, size(entries), &files).map_err(|error| refused(path, &error))?;
    pki::folder::replace(path, &volume, 0o600)
}

/// The same as a CD.
///
/// # Errors
/// As `write`.
pub fn write_cd(path: &Path, entries: &[Entry]) -> Result<()> {
    let volume = rock::volume(LABEL, &files(path, entries)?).map_err(|error| refused(path, &error))?;
    pki::folder::replace(path, &volume, 0o600)
}

fn files<'a>(path: &Path, entries: &'a [Entry]) -> Result<Vec<(&'a str, &'a [u8])>> {
    let total: usize = entries.iter().map(|entry| entry.content.len()).sum();
    if total > BYTES_MAX {
        return Err(refused(path, &format!("{total} bytes of files; at most {BYTES_MAX} fit")));
    }
    Ok(entries.iter().map(|e| (e.place.as_str(), e.content.as_slice())).collect())
}

/// A size in which everything fits, whatever clusters such a volume has.
fn size(entries: &[Entry]) -> usize {
    let mut cluster = CLUSTER;
    loop {
        let file = |entry: &Entry| entry.content.len().next_multiple_of(cluster) + ENTRY;
        // Folders grow by whole clusters.
        let folders = entries.iter().map(|entry| entry.place.matches('/').count() * cluster).sum::<usize>();
        let bytes = entries.iter().map(file).sum::<usize>() + folders + BASE;
        if bytes / cluster <= CLUSTERS {
            return bytes.next_multiple_of(BASE);
        }
        cluster *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_becomes_a_volume_that_fits_its_files() {
        let from = tempfile::tempdir().unwrap();
        std::fs::create_dir(from.path().join("below")).unwrap();
        std::fs::write(from.path().join("below/a-rather-long-name.yaml"), "kind: A\n").unwrap();
        std::fs::write(from.path().join(".hidden"), "no").unwrap();
        let entries = folder(from.path(), "manifests").unwrap();
        let places: Vec<&str> = entries.iter().map(|entry| entry.place.as_str()).collect();
        assert_eq!(places, ["manifests/below/a-rather-long-name.yaml"]);
        let volume = from.path().join("config.img");
        write(&volume, &entries).unwrap();
        let bytes = std::fs::read(&volume).unwrap();
        assert_eq!(&bytes[43..54], b"SKERRY     ");
        assert!(bytes.windows(8).any(|window| window == b"kind: A\n"));
    }

    #[test]
    fn many_small_and_few_large_files_fit() {
        let one = |place: String, bytes: usize| Entry { place, content: vec![b'x'; bytes] };
        let small: Vec<Entry> =
            (0..400).map(|n| one(format!("manifests/{}/a-rather-long-name-{n}.yaml", n % 3), 1)).collect();
        let large = [one("images/a.tar".to_owned(), 150 << 20), one("images/b.tar".to_owned(), 1)];
        let place = tempfile::tempdir().unwrap();
        for entries in [&small[..], &large, &[]] {
            write(&place.path().join("config.img"), entries).unwrap();
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_refused_by_name() {
        let failure = Failure::of(folder(Path::new("/nowhere/at/all"), "manifests").unwrap_err());
        assert_eq!(failure.code, Code::Refused);
        assert!(failure.message.starts_with("/nowhere/at/all: "), "{}", failure.message);
    }
}
