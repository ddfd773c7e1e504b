//! A tree as a compressed read-only file system, made by `mkfs.erofs` of a newer suite than the host's: run by its own
//! loader with its own libraries, so that it needs nothing of the host.

use super::elf;
use super::packages::fetch::hexadecimal;
use super::tree::{LIBRARIES, Tree};
use super::unpack::{Shelf, unpack};
use super::userland::{self, Part};
use crate::exit::{Code, Failure};
use crate::interrupt::Interrupt;
use anyhow::{Context, Result, bail};
use ring::digest::{SHA256, digest};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Always the same, so that the same files give the same bytes.
const UUID: &str = "5ce88a11-0000-4000-8000-000000000001";
/// Large clusters compress better; a page fault unpacks one of them. Bytes.
const CLUSTER: &str = "65536";
/// With the engine of Docker: 56.8 MB in 14 s. Level 12 with shared fragments is 54.2 MB in minutes, LZ4 68.8 MB in 6 s.
const COMPRESSION: &str = "zstd,level=5";

/// The packer, unpacked.
pub struct Packer {
    folder: PathBuf,
    identity: String,
}

impl Packer {
    /// Unpacks it into the cache, once per version.
    ///
    /// # Errors
    /// When its packages cannot be read.
    pub fn prepare(shelf: &Shelf, cache: &Path, interrupt: &Interrupt) -> Result<Packer> {
        let packages = userland::of(&[Part::Packer]);
        let mut identity = String::new();
        for package in &packages {
            identity += &format!("{} {}\n", package.name, shelf.version(package)?);
        }
        let key = hexadecimal(digest(&SHA256, identity.as_bytes()).as_ref());
        let folder = cache.join(format!("packer-{}", &key[..16]));
        if !folder.exists() {
            let mut tree = Tree::merged()?;
            let libraries = unpack(&packages, shelf, &mut tree, interrupt)?;
            elf::close(&mut tree, &libraries)?;
            std::fs::create_dir_all(cache).with_context(|| format!("making {}", cache.display()))?;
            let fresh = tempfile::tempdir_in(cache)?;
            tree.write(fresh.path())?;
            match std::fs::rename(fresh.path(), &folder) {
                Err(error) if !folder.exists() => return Err(error).context("taking the packer into the cache"),
                _ => (),
            }
        }
        Ok(Packer { folder, identity })
    }

    /// What decides its output besides the tree.
    pub fn identity(&self) -> String {
        format!("{}{COMPRESSION} {CLUSTER} {UUID}", self.identity)
    }

    /// Packs a tree into `file`. `scratch` is a folder for the files in between, on a disk with room.
    ///
    /// # Errors
    /// When the disk is full or the packer fails; its words are in the error.
    pub fn pack(&self, tree: &Tree, scratch: &Path, file: &Path, interrupt: &Interrupt) -> Result<()> {
        let staged = tempfile::tempdir_in(scratch).with_context(|| format!("a folder in {}", scratch.display()))?;
        let root = staged.path().join("root");
        std::fs::create_dir(&root)?;
        tree.write(&root)?;
        let product = staged.path().join("root.erofs");
        let libraries = self.folder.join(LIBRARIES);
        let mut command = Command::new(libraries.join("ld-linux-x86-64.so.2"));
        command.arg("--library-path").arg(&libraries).arg(self.folder.join("usr/bin/mkfs.erofs"));
        command.args(["--quiet", "--all-root", "-T0", "--all-time"]);
        command.arg(format!("-z{COMPRESSION}")).arg(format!("-C{CLUSTER}")).args(["-U", UUID]);
        command.arg(&product).arg(&root).stdin(Stdio::null());
        let output = command.output().with_context(|| format!("starting {:?}", command.get_program()))?;
        interrupt.check()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!(Failure::new(Code::Unexpected, format!("packing the root file system failed:\n{}", said.trim())));
        }
        std::fs::rename(&product, file).with_context(|| format!("taking {}", file.display()))
    }
}
