//! Packages of the distribution: which version, from where, and into the cache. It knows no file inside of them.

pub mod deb;
pub mod fetch;
mod index;
pub mod lock;
mod mirror;
mod version;

use crate::exit::{Code, Failure};
use crate::output::Output;
use crate::steps::Step;
use anyhow::{Context, Result, anyhow};
use fetch::{Fault, Fetcher};
use lock::{Key, Lock, Pin};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Transfers at the same time: enough to fill a line, few enough for a mirror to like.
const TRANSFERS: usize = 4;
/// The largest uncompressed table of contents, in bytes. Today's is about 60 MB.
const INDEX_MAX: u64 = 512 << 20;
/// The architecture that the image is made for.
const ARCHITECTURE: &str = "amd64";

/// Provides packages: from the cache, else from the archive at the locked version, else at the newest.
pub struct Provider<'a> {
    /// Fetches and keeps.
    pub fetcher: Fetcher,
    /// What is pinned.
    pub lock: Lock,
    /// The keys that the archive's signature is checked with.
    pub keyring: PathBuf,
    /// Where steps and warnings are shown.
    pub output: &'a Output,
}

/// The archive that this machine would use, if it has one.
pub fn archive() -> Option<String> {
    let mut places = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(folder) = std::fs::read_dir("/etc/apt/sources.list.d") {
        let mut inside: Vec<PathBuf> = folder.filter_map(|entry| Some(entry.ok()?.path())).collect();
        inside.sort();
        places.extend(inside);
    }
    let lists: Vec<String> = places.iter().filter_map(|place| std::fs::read_to_string(place).ok()).collect();
    mirror::choose(std::env::var(mirror::VARIABLE).ok().as_deref(), &lists)
}

/// The keys to check signatures with.
pub fn keyring() -> PathBuf {
    std::env::var_os(index::KEYRING_VARIABLE).map_or_else(|| PathBuf::from(index::KEYRING), PathBuf::from)
}

impl Provider<'_> {
    /// Pins every wanted package at its suite's newest version. Packages that nobody wants any more fall out.
    ///
    /// # Errors
    /// When an index cannot be had or is not signed, or a package is in no index.
    pub fn update(&mut self, wanted: &[Key]) -> Result<()> {
        let mut pins = BTreeMap::new();
        for suite in wanted.iter().map(|(suite, _)| suite.as_str()).collect::<BTreeSet<_>>() {
            pins.extend(self.newest(suite, wanted)?);
        }
        self.lock = Lock { pins };
        Ok(())
    }

    /// The files of all wanted packages. A suite that has lost a pinned version is taken at its newest, as a whole:
    /// programs and libraries of one suite fit together.
    ///
    /// # Errors
    /// When a package is not pinned, or cannot be had.
    pub fn provide(&mut self, wanted: &[Key]) -> Result<BTreeMap<Key, PathBuf>> {
        let pinned = |lock: &Lock, key: &Key| {
            lock.pins.get(key).cloned().ok_or_else(|| {
                let failure = Failure::new(Code::Refused, format!("the lock file has no {} of {}", key.1, key.0));
                anyhow!(failure.advice("run `skerry build --update-lock`"))
            })
        };
        let mut pins = BTreeMap::new();
        for key in wanted {
            pins.insert(key.clone(), pinned(&self.lock, key)?);
        }
        let gone = self.transfer(&pins)?;
        for suite in gone.iter().map(|(suite, _)| suite.clone()).collect::<BTreeSet<_>>() {
            for (key, pin) in self.newest(&suite, wanted)? {
                self.note_change(&key, &pins[&key], &pin);
                self.lock.pins.insert(key.clone(), pin.clone());
                pins.insert(key, pin);
            }
        }
        if let Some(key) = self.transfer(&pins)?.first() {
            let message = format!("the archive lists {} but does not have it", key.1);
            return Err(Failure::new(Code::Refused, message).advice("the mirror is in flux: try again later").into());
        }
        Ok(pins.into_iter().map(|(key, pin)| (key, self.fetcher.place(&pin.sha256))).collect())
    }

    fn note_change(&self, key: &Key, old: &Pin, new: &Pin) {
        if old.version != new.version {
            let text = format!("{} {} is gone from {}: building with {}", key.1, old.version, key.0, new.version);
            self.output.warn(&format!("{text}; `skerry build --update-lock` keeps it"));
        }
    }

    /// Fetches what the cache lacks, several at a time. Gives the packages that the archive does not have any more.
    fn transfer(&self, pins: &BTreeMap<Key, Pin>) -> Result<Vec<Key>> {
        let lacking: Vec<(&Key, &Pin)> = pins.iter().filter(|(_, p)| !self.fetcher.has(&p.sha256, p.size)).collect();
        if lacking.is_empty() {
            return Ok(Vec::new());
        }
        let total = lacking.iter().map(|(_, pin)| pin.size).sum();
        let step = Step::begin(self.output, format!("fetch {} packages", lacking.len()));
        let done = AtomicU64::new(0);
        let queue = Mutex::new(lacking.into_iter());
        let faults = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..TRANSFERS {
                scope.spawn(|| {
                    while let Some((key, pin)) = queue.lock().expect("no transfer panics").next() {
                        let progress = |count| step.bytes(done.fetch_add(count, Ordering::Relaxed) + count, total);
                        if let Err(fault) = self.fetcher.pinned(&pin.path, &pin.sha256, pin.size, &progress) {
                            faults.lock().expect("no transfer panics").push((key.clone(), fault));
                        }
                    }
                });
            }
        });
        let mut gone = Vec::new();
        for (key, fault) in faults.into_inner().expect("no transfer panics") {
            match fault {
                Fault::Gone(_) => gone.push(key),
                Fault::Other { cause, .. } => return Err(cause),
            }
        }
        step.done(&format!("{} MB", total / 1_000_000));
        Ok(gone)
    }

    /// The newest version of the wanted packages of one suite, by its signed index.
    fn newest(&self, suite: &str, wanted: &[Key]) -> Result<BTreeMap<Key, Pin>> {
        let step = Step::begin(self.output, format!("read the index of {suite}"));
        let names: Vec<&str> = wanted.iter().filter(|(of, _)| of == suite).map(|(_, name)| name.as_str()).collect();
        let text = self.signed_index(suite)?;
        let found = index::newest(&text, &names).with_context(|| format!("suite {suite}"))?;
        step.done("");
        Ok(found.into_iter().map(|(name, pin)| ((suite.to_owned(), name), pin)).collect())
    }

    /// A suite's `Packages`, vouched for by its signed release.
    fn signed_index(&self, suite: &str) -> Result<String> {
        let folder = format!("dists/{suite}");
        let bytes = self.fetcher.unpinned(&format!("{folder}/InRelease")).map_err(plain)?;
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), bytes)?;
        let release = index::verified(file.path(), &self.keyring)?;
        self.check_name(&release, suite)?;
        let path = format!("main/binary-{ARCHITECTURE}/Packages.xz");
        let listed = index::listed(&release, &path)?;
        let place = self.index_file(&folder, &path, &listed)?;
        fetch::check_cached(&place, &listed.sha256)?;
        let text = read_index(&place).with_context(|| format!("reading the index of {suite}"))?;
        // The next index is another file; this one has done its work.
        std::fs::remove_file(&place)?;
        Ok(text)
    }

    /// A forged mirror could hand out another suite, signed just as well.
    fn check_name(&self, release: &str, suite: &str) -> Result<()> {
        let names = [index::head(release, "Codename"), index::head(release, "Suite")];
        if !names.contains(&Some(suite)) {
            let says = format!("asked for the suite {suite}, the archive answers with {names:?}");
            return Err(Failure::new(Code::Refused, says).into());
        }
        if let Some(until) = index::head(release, "Valid-Until").and_then(http_date)
            && until < std::time::SystemTime::now()
        {
            self.output.warn(&format!("the index of {suite} is past its date: the mirror has stood still for a while"));
        }
        Ok(())
    }

    /// By its hash where the archive offers that: then release and index cannot be of different ages.
    fn index_file(&self, folder: &str, path: &str, listed: &index::Listed) -> Result<PathBuf> {
        let (parent, _) = path.rsplit_once('/').expect("a constant path with folders");
        let by_hash = format!("{folder}/{parent}/by-hash/SHA256/{}", listed.sha256);
        match self.fetcher.pinned(&by_hash, &listed.sha256, listed.size, &|_| ()) {
            Err(Fault::Gone(_)) => {
                self.fetcher.pinned(&format!("{folder}/{path}"), &listed.sha256, listed.size, &|_| ()).map_err(plain)
            }
            other => other.map_err(plain),
        }
    }
}

fn plain(fault: Fault) -> anyhow::Error {
    match fault {
        Fault::Gone(_) => anyhow!(Failure::new(Code::Refused, fault.to_string()).advice("check SKERRY_MIRROR")),
        Fault::Other { cause, .. } => cause,
    }
}

fn read_index(place: &Path) -> Result<String> {
    use std::io::Read;
    let file = std::io::BufReader::new(std::fs::File::open(place)?);
    let mut text = String::new();
    lzma_rust2::XzReader::new(file, true).take(INDEX_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// `Fri, 06 Nov 2026 08:08:01 UTC` as a time; another spelling gives none.
fn http_date(text: &str) -> Option<std::time::SystemTime> {
    let text = text.replace("UTC", "+0000");
    let stamp = jiff::fmt::rfc2822::parse(&text).ok()?.timestamp();
    Some(stamp.into())
}

#[cfg(test)]
mod tests;
