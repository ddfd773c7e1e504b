//! A release: a folder with everything that users need and nothing else: the host command with the image beside it,
//! every disk format, sums, and the bill of materials.

use super::packages::fetch::file_sha256;
use super::{KERNEL, KUBECTL, ROOT, bill, disk, manifest, readable};
use crate::exit::{Code, Failure};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::Path;

/// The sums, in the form that `sha256sum --check` reads.
const SUMS: &str = "SHA256SUMS";
/// The host command.
const COMMAND: &str = "skerry";
/// Where the command looks for its image.
const IMAGE: &str = "image";

/// Fills `folder`, which must be new or empty, from the image folder and the built programs.
///
/// # Errors
/// `Refused` when the folder holds something.
pub fn write(folder: &Path, image: &Path, built: &Path, bill: &Value) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    if std::fs::read_dir(folder)?.next().is_some() {
        let failure = Failure::new(Code::Refused, format!("{} is not empty", folder.display()));
        bail!(failure.advice("name a new folder for the release"));
    }
    let mut names = vec![(built.join(COMMAND), COMMAND.to_owned())];
    for name in [KERNEL, ROOT, manifest::FILE, KUBECTL] {
        names.push((image.join(name), format!("{IMAGE}/{name}")));
    }
    for format in disk::FORMATS {
        let name = disk::file_name(format);
        names.push((image.join(&name), name));
    }
    for (from, name) in &names {
        let to = folder.join(name);
        std::fs::create_dir_all(to.parent().unwrap_or(folder))?;
        place(from, &to).with_context(|| format!("putting {} into the release", from.display()))?;
    }
    let text = serde_json::to_string_pretty(bill).expect("JSON is JSON") + "\n";
    std::fs::write(folder.join(bill::FILE), text)?;
    let mut files: Vec<&str> = names.iter().map(|(_, name)| name.as_str()).chain([bill::FILE]).collect();
    files.sort_unstable();
    let mut sums = String::new();
    for name in files {
        sums += &format!("{}  {name}\n", file_sha256(&folder.join(name))?);
    }
    Ok(std::fs::write(folder.join(SUMS), sums)?)
}

/// The same file under another name where that can be; else a copy. Everybody may read it.
fn place(from: &Path, to: &Path) -> std::io::Result<()> {
    if std::fs::hard_link(from, to).is_err() {
        std::fs::copy(from, to)?;
    }
    readable(&std::fs::File::open(to)?)
}
