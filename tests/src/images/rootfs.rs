//! One layer of the catalogue as a tree: packages, the libraries they need, and files of our own.

use super::catalog::Layer;
use super::layer::Owners;
use anyhow::Result;
use image::build::elf;
use image::build::tree::Tree;
use image::build::unpack::{Shelf, unpack};
use image::build::userland::Package;
use image::interrupt::Interrupt;

/// The tree of a layer, and what in it is not root's.
///
/// # Errors
/// When a package lacks a listed file, or nobody has a library that a program needs.
pub fn assemble(layer: &Layer, shelf: &Shelf) -> Result<(Tree, Owners)> {
    // A layer of plain files has no programs, so it needs no places for them.
    let mut tree = if layer.packages.is_empty() { Tree::default() } else { Tree::merged()? };
    let packages: Vec<&Package> = layer.packages.iter().collect();
    let libraries = unpack(&packages, shelf, &mut tree, &Interrupt::never())?;
    elf::close(&mut tree, &libraries)?;
    let mut owners = Owners::new();
    for (path, mode, owner) in layer.folders {
        tree.folder(path, *mode)?;
        if *owner != 0 {
            owners.insert((*path).to_owned(), *owner);
        }
    }
    for (path, content) in layer.files {
        tree.file(path, 0o644, *content)?;
    }
    for (path, target) in layer.links {
        tree.link(path, target)?;
    }
    for applet in layer.applets {
        tree.link(&format!("usr/bin/{applet}"), "busybox")?;
    }
    Ok((tree, owners))
}
