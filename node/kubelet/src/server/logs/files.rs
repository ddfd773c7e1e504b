//! The files of one log: the one that is being written, and the older ones beside it that rotation left.

use super::options::Options;
use super::tail::Tail;
use anyhow::{Context, Result};
use jiff::Timestamp;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Bytes that are read at once from the end.
const PIECE_BYTES: usize = 64 * 1024;
/// Files of one log at most; rotation keeps five by default.
const FILES_MAX: usize = 64;

/// A part of a log that is to be read.
pub enum Part {
    /// An older file that was compressed.
    Packed(Box<flate2::read::MultiGzDecoder<File>>, u64),
    /// An older file, from where it is to be read.
    Plain(File),
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Part::Plain(file) => file.read(buffer),
            Part::Packed(file, skip) => {
                while *skip > 0 {
                    let step = usize::try_from(*skip).unwrap_or(usize::MAX).min(buffer.len());
                    let read = file.read(&mut buffer[..step])?;
                    if read == 0 {
                        return Ok(0);
                    }
                    *skip -= read as u64;
                }
                file.read(buffer)
            }
        }
    }
}

/// The log as it was when it was opened.
pub struct Opened {
    /// The older files, the oldest first, each standing where reading begins.
    pub older: Vec<Part>,
    /// The file that is being written, standing where reading begins.
    pub current: File,
    /// How many bytes of it were there.
    pub length: u64,
}

/// Names of the older files of a log, the oldest first: `FILE.TIMESTAMP` and `FILE.TIMESTAMP.gz`. A file that is being
/// compressed is there under its old name until the new one is whole.
fn rotated(log: &Path) -> Result<Vec<PathBuf>> {
    let (folder, name) = (log.parent().context("a log is in a folder")?, log.file_name().unwrap_or_default());
    let prefix = format!("{}.", name.to_string_lossy());
    let mut found: Vec<(String, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        let entry = entry.with_context(|| format!("listing {}", folder.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(stamp) = name.strip_prefix(&prefix) else { continue };
        let stamp = stamp.strip_suffix(".gz").unwrap_or(stamp);
        if stamp.starts_with(|c: char| c.is_ascii_digit()) && !stamp.contains('.') {
            found.push((stamp.to_owned(), entry.path()));
        }
    }
    // Stamps are digits, so their order is that of time; of a file and its packed form the plain one is taken.
    found.sort();
    found.dedup_by(|later, earlier| later.0 == earlier.0);
    let skip = found.len().saturating_sub(FILES_MAX);
    Ok(found.into_iter().skip(skip).map(|(_, path)| path).collect())
}

/// Says that a file of a log cannot be opened.
pub fn failed(path: &Path) -> String {
    format!("failed to open log file {:?}", path.display())
}

/// Opens a log where the wanted lines begin.
///
/// # Errors
/// When a file cannot be read, which for the current one means that there is no log.
pub fn open(log: &Path, options: &Options) -> Result<Opened> {
    let mut current = File::open(log).with_context(|| failed(log))?;
    let data = current.metadata().context("reading the size of a log")?;
    let length = data.len();
    let mut older = rotated(log)?;
    // A rotation between the two lists the opened file among the older ones.
    older.retain(|path| fs::metadata(path).is_ok_and(|other| (other.dev(), other.ino()) != (data.dev(), data.ino())));
    if let Some(since) = options.since {
        older.retain(|path| written_since(path, since));
    }
    let Some(wanted) = options.tail else {
        return Ok(Opened { older: parts(older, 0)?, current, length });
    };
    let mut tail = Tail::new(wanted);
    if let Some(start) = last_lines(&mut tail, &mut current, length)? {
        current.seek(SeekFrom::Start(start)).context("going to the last lines of a log")?;
        return Ok(Opened { older: Vec::new(), current, length });
    }
    current.seek(SeekFrom::Start(0)).context("going to the beginning of a log")?;
    let mut chosen: Vec<PathBuf> = Vec::new();
    let mut skip = 0;
    while let Some(path) = older.pop() {
        let found = last_lines_of_older(&mut tail, &path)?;
        chosen.insert(0, path);
        if let Some(start) = found {
            skip = start;
            break;
        }
    }
    Ok(Opened { older: parts(chosen, skip)?, current, length })
}

/// Whether a file was written to since then; one of which it is not known counts.
fn written_since(path: &Path, since: Timestamp) -> bool {
    let modified = fs::metadata(path).and_then(|data| data.modified()).ok();
    modified.and_then(|time| Timestamp::try_from(time).ok()).is_none_or(|time| time >= since)
}

fn packed(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "gz")
}

/// The files to read, the first of them from `skip` on.
fn parts(paths: Vec<PathBuf>, skip: u64) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    for (n, path) in paths.iter().enumerate() {
        let skip = if n == 0 { skip } else { 0 };
        let mut file = File::open(path).with_context(|| failed(path))?;
        parts.push(if packed(path) {
            Part::Packed(Box::new(flate2::read::MultiGzDecoder::new(file)), skip)
        } else {
            file.seek(SeekFrom::Start(skip)).context("going to the last lines of a log")?;
            Part::Plain(file)
        });
    }
    Ok(parts)
}

fn last_lines(tail: &mut Tail, file: &mut File, length: u64) -> Result<Option<u64>> {
    tail.file(length);
    let mut end = length;
    let mut piece = vec![0; PIECE_BYTES];
    while end > 0 {
        let size = PIECE_BYTES.min(usize::try_from(end).unwrap_or(PIECE_BYTES));
        let at = end - size as u64;
        file.seek(SeekFrom::Start(at)).context("reading a log from its end")?;
        file.read_exact(&mut piece[..size]).context("reading a log from its end")?;
        if let Some(start) = tail.feed(&piece[..size], at) {
            return Ok(Some(start));
        }
        end = at;
    }
    Ok(None)
}

/// A packed file can only be read from its beginning; rotation bounds its size.
fn last_lines_of_older(tail: &mut Tail, path: &Path) -> Result<Option<u64>> {
    let context = || failed(path);
    let mut file = File::open(path).with_context(context)?;
    if !packed(path) {
        let length = file.metadata().with_context(context)?.len();
        return last_lines(tail, &mut file, length);
    }
    let mut plain = unpacked(flate2::read::MultiGzDecoder::new(file)).with_context(context)?;
    let length = plain.len() as u64;
    tail.file(length);
    let mut end = plain.len();
    while end > 0 {
        let at = end.saturating_sub(PIECE_BYTES);
        if let Some(start) = tail.feed(&plain[at..end], at as u64) {
            return Ok(Some(start));
        }
        plain.truncate(at);
        end = at;
    }
    Ok(None)
}

/// Bytes of an unpacked file at most: rotation cuts files at 10 MiB by default.
const UNPACKED_BYTES_MAX: u64 = 64 << 20;

fn unpacked(packed: impl Read) -> Result<Vec<u8>> {
    let mut plain = Vec::new();
    packed.take(UNPACKED_BYTES_MAX + 1).read_to_end(&mut plain)?;
    anyhow::ensure!(plain.len() as u64 <= UNPACKED_BYTES_MAX, "it has over {UNPACKED_BYTES_MAX} bytes unpacked");
    Ok(plain)
}
