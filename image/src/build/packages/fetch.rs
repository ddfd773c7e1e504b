//! Files of the archive, kept by their content: what is in the cache is never fetched again, what does not have the
//! promised hash never gets into it.

use crate::exit::{Code, Failure};
use crate::interrupt::Interrupt;
use anyhow::{Context, Result, anyhow, bail};
use ring::digest::{SHA256, digest};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Attempts for one file before giving up: a mirror that fails this often in a row is down.
const TRIES: u32 = 4;
/// The pause before the second attempt; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Time to connect to the mirror.
const CONNECT: Duration = Duration::from_secs(15);
/// Time without a single byte after which a transfer counts as dead, over the whole of a large package.
const TRANSFER: Duration = Duration::from_secs(900);
/// The largest unhashed file taken, in bytes. A release file is about 200 kB.
const RELEASE_MAX: u64 = 8 << 20;
/// How much is read at once, in bytes.
const CHUNK: usize = 64 << 10;

/// Why a file did not come.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The archive does not have it any more.
    #[error("{0} is not in the archive")]
    Gone(String),
    /// Anything else; worth another attempt when `retry`.
    #[error("{cause:#}")]
    Other {
        /// What happened.
        cause: anyhow::Error,
        /// Whether it may go better the next time.
        retry: bool,
    },
}

impl From<std::io::Error> for Fault {
    fn from(cause: std::io::Error) -> Fault {
        Fault::Other { cause: cause.into(), retry: true }
    }
}

/// Fetches from one archive into one cache folder.
pub struct Fetcher {
    agent: ureq::Agent,
    base: Option<String>,
    cache: PathBuf,
    interrupt: Interrupt,
}

impl Fetcher {
    /// `base` is the archive's address, when one is known; without it only the cache is used.
    pub fn new(base: Option<String>, cache: &Path, interrupt: Interrupt) -> Fetcher {
        let config = ureq::Agent::config_builder()
            .timeout_connect(Some(CONNECT))
            .timeout_recv_body(Some(TRANSFER))
            .http_status_as_error(false)
            .build();
        Fetcher { agent: config.into(), base, cache: cache.to_owned(), interrupt }
    }

    /// Where a file of this hash lies, or will lie, in the cache.
    pub fn place(&self, sha256: &str) -> PathBuf {
        self.cache.join(sha256)
    }

    /// Whether the file is in the cache, whole.
    pub fn has(&self, sha256: &str, size: u64) -> bool {
        self.place(sha256).metadata().is_ok_and(|meta| meta.len() == size)
    }

    /// The file with this hash, from the cache or from `path` of the archive. `progress` is told of every piece.
    ///
    /// # Errors
    /// `Gone` when the archive has no such file; otherwise what failed, after all attempts.
    pub fn pinned(
        &self,
        path: &str,
        sha256: &str,
        size: u64,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<PathBuf, Fault> {
        let place = self.place(sha256);
        if self.has(sha256, size) {
            progress(size);
            return Ok(place);
        }
        self.persistently(path, || {
            let bytes = self.transfer(path, size, progress)?;
            let got = hexadecimal(digest(&SHA256, &bytes).as_ref());
            if got != sha256 {
                let says = format!("{path} has the SHA-256 {got}, not {sha256}: a broken or forged mirror");
                return Err(Fault::Other { cause: Failure::new(Code::Refused, says).into(), retry: true });
            }
            store(&place, &bytes)?;
            Ok(place.clone())
        })
    }

    /// A file whose hash is not known before: the signed release.
    ///
    /// # Errors
    /// As `pinned`.
    pub fn unpinned(&self, path: &str) -> Result<Vec<u8>, Fault> {
        self.persistently(path, || self.transfer(path, RELEASE_MAX, &|_| ()))
    }

    fn persistently<T>(&self, path: &str, attempt: impl Fn() -> Result<T, Fault>) -> Result<T, Fault> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..TRIES {
            match attempt() {
                Err(Fault::Other { retry: true, .. }) => (),
                settled => return settled,
            }
            self.interrupt.check().map_err(|stop| Fault::Other { cause: stop.into(), retry: false })?;
            std::thread::sleep(pause);
            pause *= 2;
        }
        attempt().map_err(|fault| match fault {
            Fault::Other { cause, .. } => {
                Fault::Other { cause: cause.context(format!("fetching {path}, {TRIES} attempts")), retry: false }
            }
            gone => gone,
        })
    }

    /// One attempt, in memory: what is not whole is not kept.
    fn transfer(&self, path: &str, limit: u64, progress: &(dyn Fn(u64) + Sync)) -> Result<Vec<u8>, Fault> {
        let (mut body, promised) = self.open(path)?;
        let mut bytes = Vec::new();
        let mut chunk = vec![0; CHUNK];
        loop {
            self.interrupt.check().map_err(|stop| Fault::Other { cause: stop.into(), retry: false })?;
            let count = body.read(&mut chunk)?;
            if count == 0 {
                break;
            }
            bytes.extend_from_slice(&chunk[..count]);
            progress(count as u64);
            if bytes.len() as u64 > limit {
                let cause = Failure::new(Code::Refused, format!("{path} is longer than the {limit} bytes expected"));
                return Err(Fault::Other { cause: cause.into(), retry: false });
            }
        }
        if promised.is_some_and(|promised| promised != bytes.len() as u64) {
            let cause = anyhow!("{path} broke off after {} bytes", bytes.len());
            return Err(Fault::Other { cause, retry: true });
        }
        Ok(bytes)
    }

    /// The body and its promised length.
    fn open(&self, path: &str) -> Result<(Box<dyn Read>, Option<u64>), Fault> {
        let Some(base) = &self.base else {
            let failure =
                Failure::new(Code::HostLacks, format!("{path} is not cached and no package archive is known"));
            let advice = "set SKERRY_MIRROR to the address of a Debian archive";
            return Err(Fault::Other { cause: failure.advice(advice).into(), retry: false });
        };
        if let Some(folder) = base.strip_prefix("file://") {
            let file = File::open(Path::new(folder).join(path)).map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Fault::Gone(path.to_owned()),
                _ => Fault::from(error),
            })?;
            return Ok((Box::new(file), None));
        }
        let failed = |cause: ureq::Error| Fault::Other { cause: anyhow!("{base}/{path}: {cause}"), retry: true };
        let response = self.agent.get(format!("{base}/{path}")).call().map_err(failed)?;
        match response.status().as_u16() {
            200 => (),
            404 | 410 => return Err(Fault::Gone(path.to_owned())),
            status => {
                let retry = status >= 500 || status == 429;
                return Err(Fault::Other { cause: anyhow!("{base}/{path} answered {status}"), retry });
            }
        }
        let body = response.into_body();
        let promised = body.content_length();
        Ok((Box::new(body.into_reader()), promised))
    }
}

/// Writes beside and renames, so that a name in the cache always means the whole content.
fn store(place: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = place.parent().expect("a place in the cache has a folder");
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(place).map_err(|error| error.error)?;
    Ok(())
}

/// Bytes as lower-case hexadecimal.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The SHA-256 of bytes, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hexadecimal(digest(&SHA256, bytes).as_ref())
}

/// The SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// When it cannot be read.
pub fn file_sha256(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let mut context = ring::digest::Context::new(&SHA256);
    let mut chunk = vec![0; CHUNK];
    loop {
        match file.read(&mut chunk).with_context(|| format!("reading {}", path.display()))? {
            0 => return Ok(hexadecimal(context.finish().as_ref())),
            count => context.update(&chunk[..count]),
        }
    }
}

/// Fails unless a cached file still has its hash: disks forget, and a cache lives long.
///
/// # Errors
/// When the content is another.
pub fn check_cached(path: &Path, sha256: &str) -> Result<()> {
    if file_sha256(path)? == sha256 {
        return Ok(());
    }
    std::fs::remove_file(path).with_context(|| format!("removing the spoiled {}", path.display()))?;
    bail!(
        Failure::new(Code::Refused, format!("{} was spoiled and has been removed", path.display()))
            .advice("run it again")
    )
}

#[cfg(test)]
mod tests;
