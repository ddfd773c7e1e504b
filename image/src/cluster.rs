//! Clusters on this host: one folder each, below the user's data folder. What lies where is told here and nowhere else.

pub mod accelerator;
pub mod access;
pub mod ask;
pub mod context;
pub mod emulator;
pub mod enter;
pub mod images;
pub mod life;
pub mod milestones;
pub mod outward;
pub mod place;
pub mod ports;
pub mod preferences;
pub mod qmp;
pub mod relay;
pub mod saved;
pub mod settings;
pub mod vmlinux;
pub mod wait;

use crate::exit::{Code, Failure};
use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Letters of a name at most: it becomes part of a context's name and of a command's arguments.
const NAME_MAX: usize = 40;
/// Only the owner may look in: disk, keys and sockets are there.
const PRIVATE: u32 = 0o700;

/// One cluster's folder. That it is there says nothing about whether the machine runs.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Its name, which is also the name of its kubeconfig context.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
}

impl Cluster {
    /// The cluster of a name, whether or not it is there.
    ///
    /// # Errors
    /// `Usage` for a name that is none, `HostLacks` without a home.
    pub fn named(name: &str) -> Result<Cluster> {
        check_name(name)?;
        Ok(Cluster { name: name.to_owned(), folder: place::clusters()?.join(name) })
    }

    /// A cluster that is there.
    ///
    /// # Errors
    /// `NoCluster` when it is not.
    pub fn existing(name: &str) -> Result<Cluster> {
        let cluster = Cluster::named(name)?;
        if cluster.exists() {
            return Ok(cluster);
        }
        let failure = Failure::new(Code::NoCluster, format!("there is no cluster {name:?}"));
        bail!(failure.advice("skerry list shows those that there are; skerry start makes one"))
    }

    /// All clusters of this user, by name.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn all() -> Result<Vec<Cluster>> {
        let folder = place::clusters()?;
        let entries = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.with_context(|| format!("reading {}", folder.display()))?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry.with_context(|| format!("reading {}", folder.display()))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            let cluster = Cluster { name, folder: path };
            // Anything else is somebody's own file, which is none of ours.
            if check_name(&cluster.name).is_ok() && cluster.exists() {
                found.push(cluster);
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// Whether it has been made.
    pub fn exists(&self) -> bool {
        self.path(settings::FILE).is_file()
    }

    /// A file of the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Makes the folder, for its owner alone.
    ///
    /// # Errors
    /// `HostLacks` when the place cannot be written.
    pub fn make_folder(&self) -> Result<()> {
        let made = std::fs::DirBuilder::new().recursive(true).mode(PRIVATE).create(&self.folder);
        let set = |()| std::fs::set_permissions(&self.folder, std::fs::Permissions::from_mode(PRIVATE));
        made.and_then(set).map_err(|error| {
            let failure = Failure::new(Code::HostLacks, format!("making {}: {error}", self.folder.display()));
            failure.advice("set XDG_DATA_HOME to a folder that you can write").into()
        })
    }

    /// Holds the cluster for one command that changes it, until dropped.
    ///
    /// # Errors
    /// `Taken` while another command has it.
    pub fn lock(&self) -> Result<Flock<File>> {
        lock(&self.path(LOCK)).with_context(|| format!("locking cluster {:?}", self.name))?.ok_or_else(|| {
            let failure = Failure::new(Code::Taken, format!("another command is working on cluster {:?}", self.name));
            failure.advice("wait until it is done, then try again").into()
        })
    }
}

/// Held by a command that changes the cluster.
const LOCK: &str = "lock";

/// Locks a file for this process; none when another one has it. The lock ends with the process, however it ends.
///
/// # Errors
/// When the file cannot be opened.
pub fn lock(path: &Path) -> Result<Option<Flock<File>>> {
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).mode(0o600).open(path);
    let file = file.with_context(|| format!("opening {}", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(held) => Ok(Some(held)),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error).with_context(|| format!("locking {}", path.display())),
    }
}

/// Names that are a folder, a context and a word on a command line alike.
fn check_name(name: &str) -> Result<()> {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let good = name.len() <= NAME_MAX
        && name.starts_with(letter)
        && name.ends_with(letter)
        && name.chars().all(|c| letter(c) || c == '-');
    if good {
        return Ok(());
    }
    let failure = Failure::new(Code::Usage, format!("{name:?} is no name for a cluster"));
    bail!(failure.advice(format!("use at most {NAME_MAX} of a-z, 0-9 and '-', with a letter or digit at both ends")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_as_folders_and_words() {
        for good in ["skerry", "a", "ci-7", &"a".repeat(NAME_MAX)] {
            check_name(good).unwrap();
        }
        for bad in ["", "..", "a/b", "-a", "a-", "A", "a b", "ä", "a.b", "a\n", &"a".repeat(NAME_MAX + 1)] {
            assert_eq!(Failure::of(check_name(bad).unwrap_err()).code, Code::Usage, "{bad:?}");
        }
    }

    #[test]
    fn a_lock_is_held_by_one_at_a_time_and_ends_with_its_holder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = lock(&path).unwrap().unwrap();
        assert!(lock(&path).unwrap().is_none());
        drop(held);
        assert!(lock(&path).unwrap().is_some());
    }
}
