//! A folder as the tar that a build reads. What `.dockerignore` names stays here, but for the two files that say how to
//! build: Docker's own client sends them, too.

use super::ignore::Ignore;
use crate::exit::{Code, Failure};
use crate::interrupt::Interrupt;
use anyhow::{Context, Result, anyhow};
use std::fs::Metadata;
use std::io::Write;
use std::path::{Path, PathBuf};
use tar::{Builder, Header};

/// Bytes of a `.dockerignore` or a Dockerfile at most.
const TEXT_BYTES_MAX: u64 = 4 << 20;
/// What a Dockerfile from outside the folder is called within it.
const FOREIGN: &str = ".skerry.Dockerfile";

/// What goes to the machine.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    ignore: Ignore,
    /// The Dockerfile, as the build shall look for it.
    pub dockerfile: String,
    /// Its text, when it is not in the folder.
    foreign: Option<Vec<u8>>,
}

impl Folder {
    /// Looks at a folder and its Dockerfile.
    ///
    /// # Errors
    /// `Refused` when one is missing or `.dockerignore` does not parse.
    pub fn open(root: &Path, dockerfile: Option<&Path>) -> Result<Folder> {
        let lacks =
            |path: &Path, error: &std::io::Error| Failure::new(Code::Refused, format!("{}: {error}", path.display()));
        let root = root.canonicalize().map_err(|error| lacks(root, &error))?;
        if !root.is_dir() {
            return Err(Failure::new(Code::Refused, format!("{} is no folder", root.display())).into());
        }
        let place = dockerfile.map_or_else(|| root.join("Dockerfile"), Path::to_owned);
        let found = place.canonicalize().map_err(|error| {
            lacks(&place, &error).advice("a build needs a Dockerfile in its folder, or -f FILE for another")
        })?;
        let (name, foreign) = match found.strip_prefix(&root).ok().and_then(Path::to_str) {
            Some(name) => (name.to_owned(), None),
            None => (FOREIGN.to_owned(), Some(text(&found)?)),
        };
        let mut own = found.into_os_string();
        own.push(".dockerignore");
        // One beside the Dockerfile goes before the folder's.
        let ignore = [PathBuf::from(own), root.join(".dockerignore")].into_iter().find(|path| path.is_file());
        let ignore = match ignore {
            Some(path) => Ignore::parse(&String::from_utf8_lossy(&text(&path)?))?,
            None => Ignore::default(),
        };
        Ok(Folder { root, ignore, dockerfile: name, foreign })
    }

    /// Writes the tar.
    ///
    /// # Errors
    /// When a file cannot be read, or whoever takes the tar does not want more; `Interrupted`.
    pub fn pack(&self, to: impl Write, interrupt: &Interrupt) -> Result<()> {
        let mut tar = Builder::new(to);
        tar.follow_symlinks(false);
        self.walk(&mut tar, "", interrupt)?;
        if let Some(text) = &self.foreign {
            let mut header = Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, FOREIGN, text.as_slice())?;
        }
        tar.into_inner()?.flush()?;
        Ok(())
    }

    fn walk<W: Write>(&self, tar: &mut Builder<W>, below: &str, interrupt: &Interrupt) -> Result<()> {
        let folder = self.root.join(below);
        let entries = std::fs::read_dir(&folder).with_context(|| format!("listing {}", folder.display()))?;
        let mut names = entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<Vec<_>, _>>()?;
        // The same folder is the same tar, which the build's cache counts on.
        names.sort();
        for name in names {
            interrupt.check()?;
            let name = name.to_str().ok_or_else(|| {
                let why = format!("{}: the name {} is not UTF-8", folder.display(), name.display());
                anyhow!(Failure::new(Code::Refused, why).advice("rename it, or leave it out by .dockerignore"))
            })?;
            let path = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
            let data = self.root.join(&path).symlink_metadata().with_context(|| format!("looking at {path}"))?;
            let stays_here = self.ignore.leaves_out(&path) && path != self.dockerfile && path != ".dockerignore";
            if data.is_dir() {
                if !stays_here {
                    self.add(tar, &path, &data)?;
                }
                if !stays_here || self.ignore.takes_in_again() || self.dockerfile.starts_with(&format!("{path}/")) {
                    self.walk(tar, &path, interrupt)?;
                }
            } else if !stays_here {
                self.add(tar, &path, &data)?;
            }
        }
        Ok(())
    }

    /// Owner and group become root's, as Docker's client has it; a socket or a device has no place in an image.
    fn add<W: Write>(&self, tar: &mut Builder<W>, path: &str, data: &Metadata) -> Result<()> {
        let mut header = Header::new_gnu();
        header.set_metadata(data);
        header.set_uid(0);
        header.set_gid(0);
        let full = self.root.join(path);
        let done = if data.is_symlink() {
            header.set_size(0);
            tar.append_link(&mut header, path, std::fs::read_link(&full)?)
        } else if data.is_dir() {
            header.set_size(0);
            tar.append_data(&mut header, path, std::io::empty())
        } else if data.is_file() {
            let file = std::fs::File::open(&full).with_context(|| format!("opening {}", full.display()))?;
            header.set_size(data.len());
            // A file that grows meanwhile would break the archive; one that shrinks fails below.
            tar.append_data(&mut header, path, std::io::Read::take(file, data.len()))
        } else {
            return Ok(());
        };
        done.with_context(|| format!("sending {path}"))
    }
}

fn text(path: &Path) -> Result<Vec<u8>> {
    let file = std::fs::File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut std::io::Read::take(file, TEXT_BYTES_MAX + 1), &mut bytes)
        .with_context(|| format!("reading {}", path.display()))?;
    if bytes.len() as u64 > TEXT_BYTES_MAX {
        let failure = Failure::new(Code::Refused, format!("{} has more than {TEXT_BYTES_MAX} bytes", path.display()));
        return Err(failure.into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Folder) -> Vec<String> {
        let mut bytes = Vec::new();
        folder.pack(&mut bytes, &Interrupt::never()).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let entries = archive.entries().unwrap();
        entries.map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect()
    }

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn what_is_ignored_stays_here_but_for_what_says_how_to_build() {
        let made = folder(&[(".dockerignore", "**\n!src/*.rs\n"), ("Dockerfile", ""), ("src/a.rs", ""), ("src/b", "")]);
        assert_eq!(names(&Folder::open(made.path(), None).unwrap()), [".dockerignore", "Dockerfile", "src/a.rs"]);
    }

    #[test]
    fn a_dockerfile_from_elsewhere_comes_along_under_a_name_of_its_own() {
        let (made, other) = (folder(&[("a", "")]), folder(&[("Other", "FROM scratch")]));
        let opened = Folder::open(made.path(), Some(&other.path().join("Other"))).unwrap();
        assert_eq!(opened.dockerfile, FOREIGN);
        assert_eq!(names(&opened), ["a", FOREIGN]);
    }

    #[test]
    fn a_missing_folder_or_dockerfile_is_refused() {
        let made = folder(&[("a", "")]);
        let refused = |error: anyhow::Error| Failure::of(error).code;
        assert_eq!(refused(Folder::open(made.path(), None).unwrap_err()), Code::Refused);
        assert_eq!(refused(Folder::open(&made.path().join("none"), None).unwrap_err()), Code::Refused);
    }
}
