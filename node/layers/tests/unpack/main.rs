//! Layers are unpacked into folders, and the folders are looked at. These tests make devices and owners, so they run
//! as root.

#![allow(clippy::unwrap_used, reason = "clippy spares test functions, but not what they call; here all is test")]

mod archive;
mod attributes;
mod broken;
mod escapes;
mod kinds;
mod links;
mod look;
mod merge;
mod parents;
mod whiteouts;

use archive::{Item, layer};
use layers::{Error, Target, Unpacked, unpack};
use look::list;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder to unpack into. It lies in another one that nothing may be written to.
struct Folder {
    outer: TempDir,
}

impl Folder {
    fn new() -> Folder {
        assert!(
            rustix::process::geteuid().is_root(),
            "these tests make devices, owners and attributes: run them as root"
        );
        // The strictest mask there is: what is made must not depend on it.
        rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
        let outer = tempfile::tempdir().unwrap();
        std::fs::create_dir(outer.path().join("folder")).unwrap();
        Folder { outer }
    }

    fn path(&self) -> PathBuf {
        self.outer.path().join("folder")
    }

    /// Unpacks as the first layer.
    fn whole(&self, items: &[Item]) -> Result<Unpacked, Error> {
        unpack(layer(items).as_slice(), &Target::Whole(&self.path()))
    }

    /// Unpacks as a later layer.
    fn upper(&self, lower: &[&Folder], items: &[Item]) -> Result<Unpacked, Error> {
        let lower: Vec<PathBuf> = lower.iter().map(|folder| folder.path()).collect();
        unpack(layer(items).as_slice(), &Target::Upper { folder: &self.path(), lower: &lower })
    }
}

/// Unpacks a first layer and compares all of the folder.
fn check_whole(items: &[Item], expected: &[&str]) {
    let folder = Folder::new();
    folder.whole(items).unwrap();
    check(&folder.path(), expected);
}

/// Unpacks a later layer and compares all of the folder.
fn check_upper(items: &[Item], expected: &[&str]) {
    let folder = Folder::new();
    folder.upper(&[], items).unwrap();
    check(&folder.path(), expected);
}

fn check(folder: &Path, expected: &[&str]) {
    let found = list(folder);
    assert_eq!(found, expected, "\nfound:\n{}\n", found.join("\n"));
}

/// Both kinds of target refuse the layer as invalid, and say why.
fn check_invalid(items: &[Item], why: &str) {
    for outcome in [Folder::new().whole(items), Folder::new().upper(&[], items)] {
        match outcome {
            Err(Error::Invalid { why: said, .. }) => assert!(said.contains(why), "{said}"),
            other => panic!("{other:?}"),
        }
    }
}
