//! A tree as a read-only file system, made by `mkfs.erofs` of a newer suite than the host's: compressed for machines that
//! unpack it themselves, plain for those whose emulator does.

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
/// level 15 44.0 MB in 87 s, LZ4 a fifth more in 6 s. Every level of zstd unpacks alike.
const COMPRESSION: &str = "zstd,level=9";
/// The second algorithm, for what [`HOT`] names.
const QUICK: &str = "lz4hc,level=12";
/// What a start waits for is unpacked in half the time: emulated, a cluster is Ready 0.35 s sooner. It is 6.2 MB more.
const HOT: &[&str] = &["usr/bin/containerd", "usr/bin/node"];
/// What nobody waits for at a start: in larger clusters 0.6 MB less.
const COLD: &[&str] = &["usr/bin/dockerd", "usr/bin/docker-proxy", "usr/bin/runc"];
/// Their clusters, bytes.
const COLD_CLUSTER: &str = "262144";

/// How a tree is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is: who reads it has it compressed otherwise.
    Plain,
    /// Compressed file by file.
    Compressed,
}

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
        let hints = [HOT, COLD].concat().join(" ");
        format!("{}{COMPRESSION}:{QUICK} {CLUSTER} {COLD_CLUSTER} {hints} {UUID}", self.tools.identity)
    }

    /// Packs a tree into `file`. `scratch` is a folder for the files in between, on a disk with room.
    ///
    /// # Errors
    /// When the disk is full or the packer fails; its words are in the error.
    pub fn pack(&self, tree: &Tree, form: Form, scratch: &Path, file: &Path, interrupt: &Interrupt) -> Result<()> {
        let staged = tempfile::tempdir_in(scratch).with_context(|| format!("a folder in {}", scratch.display()))?;
        let root = staged.path().join("root");
        std::fs::create_dir(&root)?;
        tree.write(&root)?;
        let product = staged.path().join("root.erofs");
        let mut command = self.tools.command("usr/bin/mkfs.erofs");
        command.args(["--quiet", "--all-root", "-T0", "--all-time", "-U", UUID]);
        if form == Form::Compressed {
            let place = staged.path().join("hints");
            std::fs::write(&place, hints()).with_context(|| format!("writing {}", place.display()))?;
            command.arg(format!("-C{CLUSTER}")).arg(format!("-z{COMPRESSION}:{QUICK}"));
            command.arg(format!("--compress-hints={}", place.display()));
        }
        command.arg(&product).arg(&root);
        tool::run(command, "packing the root file system", interrupt)?;
        std::fs::rename(&product, file).with_context(|| format!("taking {}", file.display()))
    }
}

/// One line for each file: its clusters, its algorithm by number, and its path as a regular expression.
fn hints() -> String {
    let line = |cluster: &str, algorithm: u8, path: &&str| format!("{cluster} {algorithm} ^{path}$\n");
    let hot = HOT.iter().map(|path| line(CLUSTER, 1, path));
    hot.chain(COLD.iter().map(|path| line(COLD_CLUSTER, 0, path))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_names_one_file() {
        let hints = hints();
        assert!(hints.starts_with("65536 1 ^usr/bin/containerd$\n") && hints.contains("262144 0 ^usr/bin/dockerd$\n"));
        assert_eq!(hints.lines().count(), HOT.len() + COLD.len());
    }
}
