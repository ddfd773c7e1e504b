//! A program of another suite than the host's: run by its own loader with its own libraries, so that it needs nothing
//! of the host.

use super::elf;
use super::packages::fetch::sha256;
use super::tree::{LIBRARIES, Tree};
use super::unpack::{Shelf, unpack};
use super::userland::{self, Part};
use crate::exit::{Code, Failure};
use crate::interrupt::Interrupt;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Programs that were unpacked.
pub struct Tools {
    folder: PathBuf,
    /// The versions of their packages: part of what they make.
    pub identity: String,
}

impl Tools {
    /// Unpacks the packages of some parts into the cache, once per version.
    ///
    /// # Errors
    /// When the packages cannot be read.
    pub fn prepare(name: &str, parts: &[Part], shelf: &Shelf, cache: &Path, interrupt: &Interrupt) -> Result<Tools> {
        let packages = userland::of(parts);
        let mut identity = String::new();
        for package in &packages {
            identity += &format!("{} {}\n", package.name, shelf.version(package)?);
        }
        let key = sha256(identity.as_bytes());
        let folder = cache.join(format!("{name}-{}", &key[..16]));
        if !folder.exists() {
            let mut tree = Tree::merged()?;
            let libraries = unpack(&packages, shelf, &mut tree, interrupt)?;
            elf::close(&mut tree, &libraries)?;
            std::fs::create_dir_all(cache).with_context(|| format!("making {}", cache.display()))?;
            let fresh = tempfile::tempdir_in(cache)?;
            tree.write(fresh.path())?;
            match std::fs::rename(fresh.path(), &folder) {
                Err(error) if !folder.exists() => return Err(error).context("taking the tools into the cache"),
                _ => (),
            }
        }
        Ok(Tools { folder, identity })
    }

    /// A file of theirs.
    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// A program of theirs, to be given arguments.
    pub fn command(&self, program: &str) -> Command {
        command(&self.folder, program)
    }
}

/// A program of a folder that has its libraries too, to be given arguments.
pub fn command(folder: &Path, program: &str) -> Command {
    let libraries = folder.join(LIBRARIES);
    let mut command = Command::new(libraries.join("ld-linux-x86-64.so.2"));
    command.arg("--library-path").arg(&libraries).arg(folder.join(program)).stdin(Stdio::null());
    command
}

/// Runs a tool to its end; `what` says what it does.
///
/// # Errors
/// When it fails; its words are in the error.
pub fn run(mut command: Command, what: &str, interrupt: &Interrupt) -> Result<()> {
    let output = command.output().with_context(|| format!("starting {:?}", command.get_program()))?;
    interrupt.check()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(Failure::new(Code::Unexpected, format!("{what} failed:\n{}", said.trim())));
    }
    Ok(())
}
