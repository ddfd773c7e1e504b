//! A tree as a compressed read-only file system, made by `mkfs.erofs` of a newer suite than the host's.

use super::tool::{self, Tools};
use super::tree::Tree;
use super::unpack::Shelf;
use super::userland::Part;
use crate::interrupt::Interrupt;
use anyhow::{Context, Result};
use std::path::Path;

/// Always the same, so that the same files give the same bytes.
const UUID: &str = "5ce88a11-0000-4000-8000-000000000001";
/// Large clusters compress better; a page fault unpacks one of them. Bytes.
const CLUSTER: &str = "65536";
/// Without the engine of Docker, on two cores: 46.8 MB in 18 s; level 5 is 48.7 MB in 9 s, level 12 46.7 MB in 42 s,
/// level 15 44.0 MB in 87 s, LZ4 a fifth more in 6 s. Every level unpacks alike. LZ4 unpacks faster: emulated, a cluster is
/// Ready 0.5 s sooner with it, but an image without Docker would be larger than its goal by several megabytes.
const COMPRESSION: &str = "zstd,level=9";

/// The packer, unpacked.
pub struct Packer {
    tools: Tools,
}

impl Packer {
    /// Unpacks it into the cache, once per version.
    ///
    /// # Errors
    /// When its packages cannot be read.
    pub fn prepare(shelf: &Shelf, cache: &Path, interrupt: &Interrupt) -> Result<Packer> {
        Ok(Packer { tools: Tools::prepare("packer", &[Part::Packer], shelf, cache, interrupt)? })
    }

    /// What decides its output besides the tree.
    pub fn identity(&self) -> String {
        format!("{}{COMPRESSION} {CLUSTER} {UUID}", self.tools.identity)
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
        let mut command = self.tools.command("usr/bin/mkfs.erofs");
        command.args(["--quiet", "--all-root", "-T0", "--all-time"]);
        command.arg(format!("-z{COMPRESSION}")).arg(format!("-C{CLUSTER}")).args(["-U", UUID]);
        command.arg(&product).arg(&root);
        tool::run(command, "packing the root file system", interrupt)?;
        std::fs::rename(&product, file).with_context(|| format!("taking {}", file.display()))
    }
}
