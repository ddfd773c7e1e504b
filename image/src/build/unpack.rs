//! From package files to a tree: the listed files, and the libraries that programs turn out to need.

use super::elf::Libraries;
use super::packages::deb::{self, Content};
use super::packages::fetch::check_cached;
use super::packages::lock::{Key, Lock};
use super::tree::{LIBRARIES, Tree};
use super::userland::Package;
use crate::exit::{Code, Failure};
use crate::interrupt::Interrupt;
use anyhow::{Context, Result, anyhow};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The largest single file that is unpacked into memory, in bytes. The Docker engine is 80 MB.
const FILE_MAX: u64 = 512 << 20;

/// The package files that a build has at hand.
pub struct Shelf {
    /// Where each lies.
    pub files: BTreeMap<Key, PathBuf>,
    /// The hashes they must have.
    pub lock: Lock,
}

impl Shelf {
    /// A package file, checked once more against its hash.
    ///
    /// # Errors
    /// When it is not there or has been spoiled.
    pub fn get(&self, package: &Package) -> Result<&Path> {
        let key = package.key();
        let file = self.files.get(&key).ok_or_else(|| anyhow!("the package {} was not provided", package.name))?;
        let pin = self.lock.pins.get(&key).ok_or_else(|| anyhow!("the package {} is not pinned", package.name))?;
        check_cached(file, &pin.sha256)?;
        Ok(file)
    }

    /// The version of a package.
    ///
    /// # Errors
    /// When it is not pinned.
    pub fn version(&self, package: &Package) -> Result<&str> {
        let pin = self.lock.pins.get(&package.key());
        Ok(&pin.ok_or_else(|| anyhow!("the package {} is not pinned", package.name))?.version)
    }
}

/// Puts the listed files of all packages into the tree and gives the libraries that they hold.
///
/// # Errors
/// When a package cannot be read or lacks a listed file.
pub fn unpack(packages: &[&Package], shelf: &Shelf, tree: &mut Tree, interrupt: &Interrupt) -> Result<Libraries> {
    let mut libraries = Libraries::new();
    for package in packages {
        interrupt.check()?;
        one(package, shelf.get(package)?, tree, &mut libraries).with_context(|| format!("package {}", package.name))?;
    }
    Ok(libraries)
}

fn one(package: &Package, file: &Path, tree: &mut Tree, libraries: &mut Libraries) -> Result<()> {
    let mut left: BTreeSet<&str> = package.files.iter().copied().collect();
    let mut found: Libraries = Libraries::new();
    let mut links: Vec<(String, String)> = Vec::new();
    deb::unpack(file, |path, mode, content| {
        let listed =
            package.files.iter().find(|file| **file == path || file.ends_with('/') && path.starts_with(**file));
        let library = library_name(path);
        match content {
            Content::File(size, reader) if listed.is_some() || library.is_some() => {
                anyhow::ensure!(size <= FILE_MAX, "{size} bytes are too many");
                let mut bytes = Vec::new();
                reader.read_to_end(&mut bytes)?;
                if let Some(name) = library {
                    found.insert(name.to_owned(), bytes.clone());
                }
                if let Some(listed) = listed {
                    left.remove(listed);
                    tree.file(path, mode, bytes)?;
                }
            }
            Content::Link(target) if library.is_some() => {
                links.push((
                    library.unwrap_or_default().to_owned(),
                    target.rsplit('/').next().unwrap_or_default().to_owned(),
                ));
            }
            _ => (),
        }
        Ok(())
    })?;
    resolve_links(&links, &mut found);
    libraries.extend(found);
    if left.is_empty() {
        return Ok(());
    }
    let missing: Vec<&str> = left.into_iter().collect();
    let failure = Failure::new(Code::Refused, format!("{} is not in the package", missing.join(", ")));
    Err(failure.advice("the package has changed: correct image/src/build/userland.rs").into())
}

/// The file name of a shared library in the libraries' folder.
fn library_name(path: &str) -> Option<&str> {
    let path = path.strip_prefix("usr/").unwrap_or(path);
    let name = path.strip_prefix(LIBRARIES.strip_prefix("usr/")?)?.strip_prefix('/')?;
    (!name.contains('/') && name.contains(".so")).then_some(name)
}

/// Programs ask for `libx.so.1`, which is a link to `libx.so.1.2.3`: the image holds the content under the first name.
fn resolve_links(links: &[(String, String)], found: &mut Libraries) {
    // A link may point to another link; no chain is longer than the list.
    for _ in links {
        for (name, target) in links {
            if let Some(content) = found.get(target).cloned() {
                found.insert(name.clone(), content);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_known_by_their_folder_and_name() {
        assert_eq!(library_name("usr/lib/x86_64-linux-gnu/libc.so.6"), Some("libc.so.6"));
        assert_eq!(library_name("lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"), Some("ld-linux-x86-64.so.2"));
        assert_eq!(library_name("usr/lib/x86_64-linux-gnu/gconv/X.so"), None);
        assert_eq!(library_name("usr/bin/tool.so"), None);
    }

    #[test]
    fn a_chain_of_links_leads_to_the_content() {
        let mut found = Libraries::from([("libx.so.1.2".to_owned(), b"x".to_vec())]);
        let link = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        resolve_links(&[link("libx.so", "libx.so.1"), link("libx.so.1", "libx.so.1.2")], &mut found);
        assert_eq!(found["libx.so"], b"x");
    }
}
