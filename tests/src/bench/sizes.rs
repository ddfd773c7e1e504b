//! Sizes: the image that is measured and others that were built beside it, such as one without Docker, and our programs.

use super::Bench;
use super::figures::megabytes;
use anyhow::{Context, Result};
use image::build::Manifest;
use std::path::PathBuf;

/// Our programs; all but the last are in the image.
const PROGRAMS: &[&str] = &["init", "node", "skerry-cni", "pause", "skerry"];

pub fn measure(bench: &mut Bench) -> Result<()> {
    for (folder, manifest) in images(bench)? {
        let kind = if manifest.docker { "with Docker" } else { "without Docker" };
        let here = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut total = 0;
        for (name, entry) in &manifest.files {
            bench.note(format!("size of `{name}`, {kind} (`{here}`)"), megabytes(entry.size));
            total += entry.size;
        }
        bench.note(format!("size of the image, {kind} (`{here}`)"), megabytes(total));
    }
    let built = bench.built.skerry.parent().context("a program lies in a folder")?.to_owned();
    for name in PROGRAMS {
        bench.attempt(&format!("the program {name}"), |bench| {
            let path = built.join(name);
            let size = path.metadata().with_context(|| format!("looking at {}", path.display()))?.len();
            bench.note(format!("size of the program `{name}`, not compressed"), megabytes(size));
            Ok(())
        });
    }
    Ok(())
}

/// The image that is measured first, then those beside it: folders with a manifest, in the order of their names.
fn images(bench: &Bench) -> Result<Vec<(PathBuf, Manifest)>> {
    let own = std::path::absolute(&bench.built.image)?;
    let around = own.parent().context("an image lies in a folder")?;
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(around).with_context(|| format!("reading {}", around.display()))? {
        folders.push(entry?.path());
    }
    folders.sort();
    folders.retain(|folder| *folder != own);
    folders.insert(0, own.clone());
    let found: Vec<_> =
        folders.into_iter().filter_map(|folder| Manifest::read(&folder).map(|manifest| (folder, manifest))).collect();
    anyhow::ensure!(!found.is_empty(), "{} has no readable manifest", own.display());
    Ok(found)
}
