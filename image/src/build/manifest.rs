//! What a built image consists of, for those who boot it and those who ask what is inside.

use super::packages::fetch::file_sha256;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The file's name in the image folder.
pub const FILE: &str = "manifest.json";
/// The shape of the file; a reader refuses a higher one.
pub const FORMAT: u32 = 2;

/// One file of the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// In bytes.
    pub size: u64,
    /// In hexadecimal.
    pub sha256: String,
}

/// The whole image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// See `FORMAT`.
    pub format: u32,
    /// The version of the program that built it.
    pub version: String,
    /// What the root file system was made from, as one hash: when it is the same, nothing needs to be packed.
    pub inputs: String,
    /// Whether the Docker engine is inside.
    pub docker: bool,
    /// Whether there is a shell on the console.
    pub debug: bool,
    /// The files, by their names in the image folder.
    pub files: BTreeMap<String, Entry>,
    /// Versions of the foreign software inside, by package.
    pub packages: BTreeMap<String, String>,
    /// The certificate authorities that the image trusts, by SHA-256 over their DER in hexadecimal; older images do not tell.
    #[serde(default)]
    pub authorities: BTreeSet<String>,
}

impl Manifest {
    /// Where it lies in an image's folder.
    pub fn place(folder: &Path) -> PathBuf {
        folder.join(FILE)
    }

    /// Reads the manifest of a folder; none when there is none or it is of another shape.
    pub fn read(folder: &Path) -> Option<Manifest> {
        let text = std::fs::read_to_string(folder.join(FILE)).ok()?;
        serde_json::from_str(&text).ok().filter(|manifest: &Manifest| manifest.format == FORMAT)
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        // An image is for every user of the host.
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
        file.persist(folder.join(FILE)).with_context(|| format!("writing the manifest in {}", folder.display()))?;
        Ok(())
    }

    /// Whether a file of the folder is the one described.
    pub fn describes(&self, folder: &Path, name: &str) -> bool {
        self.files.get(name).is_some_and(|entry| describe(&folder.join(name)).is_ok_and(|found| found == *entry))
    }
}

/// Size and hash of a file.
///
/// # Errors
/// When it cannot be read.
pub fn describe(file: &Path) -> Result<Entry> {
    let size = file.metadata().with_context(|| format!("looking at {}", file.display()))?.len();
    Ok(Entry { size, sha256: file_sha256(file)? })
}
