//! The memory of a suspended machine, and the note beside it that tells which machine it is of. It goes on only in the
//! very same one: same emulator, arguments, image and disk. Whatever else there is, the cluster boots instead.
//!
//! Memory that is older than the disk would destroy it. So it is named by its name only once the emulator that wrote it
//! is gone, and taken away before any machine of the cluster runs on: see [`discard`] and who calls it.

use super::accelerator::Emulator;
use super::emulator::{Accelerator, DISK, Machine};
use super::images::Image;
use super::settings::Settings;
use super::{Cluster, outward};
use crate::build::{KERNEL, ROOT, sha256};
use crate::config_disk;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How people are told of a cluster that has it.
pub const WORDS: &str = "is stopped, with its memory kept";
/// The memory, whole.
pub const MEMORY: &str = "memory.saved";
/// The memory while it is being written.
pub const PART: &str = "memory.part";
/// The note.
const NOTE: &str = "memory.json";
/// What the machine that runs is, as it was started: the image and the emulator may be replaced while it runs.
const LAUNCHED: &str = "launched.json";
/// The shape of the note; another one was written by another program.
const FORMAT: u32 = 1;

/// All that makes a machine the one that it is, but for what only the host has, such as its ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    emulator: String,
    program: PathBuf,
    processor: String,
    kernel: String,
    root: String,
    arguments: Vec<String>,
    disk_bytes: u64,
    manifests: Option<PathBuf>,
    /// One checksum of all that is in that folder: what was changed is to be applied, which only a boot does.
    manifests_hash: String,
    /// Name and checksum of each file that is handed over.
    handed: Vec<(String, String)>,
}

impl Identity {
    /// That of the machine that would be started now.
    ///
    /// # Errors
    /// When a file that is handed over cannot be read.
    pub fn of(
        cluster: &Cluster,
        settings: &Settings,
        accelerator: Accelerator,
        emulator: &Emulator,
        image: &Image,
    ) -> Result<Identity> {
        let told = |name: &str| image.manifest.files.get(name).map(|entry| entry.sha256.clone()).unwrap_or_default();
        let handed = outward::handed(cluster);
        let machine = Machine {
            name: &cluster.name,
            hardware: settings.hardware,
            // Measured anew at each start; the memory has what the first start measured.
            counter_khz: None,
            config_disk: settings.manifests.is_some(),
            kernel: &image.kernel(),
            root: &image.root(),
            memory_mb: settings.memory_mb,
            cpus: settings.cpus,
            // The host's own: the machine does not see it.
            port: 0,
            accelerator,
            append: &settings.words(),
            code_is_spent: false,
            handed: &handed,
        };
        let checksum = |(name, file): &(&str, &str)| {
            let path = cluster.path(file);
            let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
            Ok(((*name).to_owned(), sha256(&bytes)))
        };
        Ok(Identity {
            emulator: emulator.version.clone(),
            program: emulator.program.clone(),
            processor: processor(accelerator, &std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
            kernel: told(KERNEL),
            root: told(ROOT),
            arguments: machine.arguments(),
            disk_bytes: settings.disk_bytes,
            manifests: settings.manifests.clone(),
            manifests_hash: settings.manifests.as_deref().map(hash).transpose()?.unwrap_or_default(),
            handed: handed.iter().map(checksum).collect::<Result<_>>()?,
        })
    }

    /// Why a machine like `self` cannot go on as one like `now`; none when it can.
    pub fn differs(&self, now: &Identity) -> Option<String> {
        let words = |before: &[String], after: &[String]| {
            let pair = before.iter().zip(after).find(|(before, after)| before != after);
            let shown = |word: &str| word.chars().take(60).collect::<String>();
            pair.map_or_else(String::new, |(before, after)| format!(": {} instead of {}", shown(after), shown(before)))
        };
        if self.root != now.root || self.kernel != now.kernel {
            Some("the image is another one now".to_owned())
        } else if self.emulator != now.emulator || self.program != now.program {
            Some(format!("the emulator is QEMU {} now and was {}", now.emulator, self.emulator))
        } else if self.processor != now.processor {
            Some("this host's processor is another one".to_owned())
        } else if self.arguments != now.arguments || self.disk_bytes != now.disk_bytes {
            Some(format!(
                "the machine is asked for with other sizes or words{}",
                words(&self.arguments, &now.arguments)
            ))
        } else if self.manifests != now.manifests {
            Some("other manifests are asked for".to_owned())
        } else if self.manifests_hash != now.manifests_hash {
            Some("the manifests were changed".to_owned())
        } else if self.handed != now.handed {
            Some("proxies, certificate authorities or registries are others now".to_owned())
        } else {
            (self != now).then(|| "the machine is another one now".to_owned())
        }
    }

    /// Notes it for the time when the machine that is being started is suspended.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn launched(&self, cluster: &Cluster) -> Result<()> {
        let text = serde_json::to_vec(self).expect("plain fields always are JSON");
        pki::folder::replace(&cluster.path(LAUNCHED), &text, 0o600)
    }
}

/// One checksum of the files of a folder and their names.
fn hash(folder: &Path) -> Result<String> {
    let entries = config_disk::folder(folder, "manifests")?;
    let lines = entries.iter().map(|entry| format!("{} {}\n", sha256(&entry.content), entry.place));
    Ok(sha256(lines.collect::<String>().as_bytes()))
}

/// Which processor the memory needs: translation brings its own, but counts time by the host's.
fn processor(accelerator: Accelerator, cpuinfo: &str) -> String {
    let wanted: &[&str] = match accelerator {
        Accelerator::Kvm => &["model name", "flags"],
        Accelerator::Tcg => &["model name"],
    };
    let line = |name: &&str| cpuinfo.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    let lines: Vec<String> = wanted.iter().map(line).collect();
    sha256(lines.join("\n").as_bytes())
}

/// The state disk as the machine left it: whoever has written to it since has made the memory worthless.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    bytes: u64,
    inode: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Result<Stamp> {
        let data = path.metadata().with_context(|| format!("looking at {}", path.display()))?;
        Ok(Stamp { bytes: data.len(), inode: data.ino(), modified: (data.mtime(), data.mtime_nsec()) })
    }
}

/// What is known of a memory that was saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    format: u32,
    machine: Identity,
    disk: Stamp,
    /// When, milliseconds since 1970.
    pub saved_ms: u64,
}

/// Whether the cluster is suspended.
pub fn exists(cluster: &Cluster) -> bool {
    cluster.path(MEMORY).exists()
}

/// Whether there is anything to take away before the machine may run.
pub fn is_anything(cluster: &Cluster) -> bool {
    [MEMORY, PART, NOTE].iter().any(|name| cluster.path(name).exists())
}

/// What the machine that runs was started as; none when an older program started it.
pub fn launched(cluster: &Cluster) -> Option<Identity> {
    serde_json::from_slice(&std::fs::read(cluster.path(LAUNCHED)).ok()?).ok()
}

/// Whether the cluster goes on from its memory as the machine `now`: `None` when it is not suspended, an error in words
/// when the memory is of no use.
pub fn judge(cluster: &Cluster, now: &Identity) -> Option<Result<Note, String>> {
    if !exists(cluster) {
        return cluster.path(PART).exists().then(|| Err("the host went down while it was being saved".to_owned()));
    }
    let note = std::fs::read(cluster.path(NOTE)).ok().and_then(|text| serde_json::from_slice::<Note>(&text).ok());
    let Some(note) = note.filter(|note| note.format == FORMAT) else {
        return Some(Err("its note is damaged or of another version".to_owned()));
    };
    if let Some(why) = note.machine.differs(now) {
        return Some(Err(why));
    }
    match Stamp::of(&cluster.path(DISK)) {
        Ok(disk) if disk == note.disk => Some(Ok(note)),
        Ok(_) => Some(Err("the state disk was changed in the meantime".to_owned())),
        Err(error) => Some(Err(format!("{error:#}"))),
    }
}

/// Gives the memory in [`PART`] its note and its name. To be called when its emulator is gone and can write to the disk
/// no more.
///
/// # Errors
/// When the disk does not take them.
pub fn keep(cluster: &Cluster, machine: Identity, saved_ms: u64) -> Result<()> {
    let disk = Stamp::of(&cluster.path(DISK))?;
    let text = serde_json::to_vec(&Note { format: FORMAT, machine, disk, saved_ms }).expect("plain fields are JSON");
    pki::folder::replace(&cluster.path(NOTE), &text, 0o600)?;
    std::fs::rename(cluster.path(PART), cluster.path(MEMORY)).context("naming the saved memory")?;
    sync(cluster)
}

/// Takes the memory away, for good when it returns.
///
/// # Errors
/// When the folder cannot be written: then no machine of the cluster may run.
pub fn discard(cluster: &Cluster) -> Result<()> {
    if !is_anything(cluster) {
        return Ok(());
    }
    for name in [MEMORY, PART, NOTE] {
        match std::fs::remove_file(cluster.path(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing {}", cluster.path(name).display()));
            }
            _ => {}
        }
    }
    sync(cluster)
}

fn sync(cluster: &Cluster) -> Result<()> {
    let synced = File::open(&cluster.folder).and_then(|folder| folder.sync_all());
    synced.with_context(|| format!("writing {}", cluster.folder.display()))
}

#[cfg(test)]
#[path = "saved/tests.rs"]
mod tests;
