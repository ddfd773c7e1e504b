//! One service's log on the state disk: a file that is turned over at a named size, the one before it, and the last
//! lines in memory.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The size at which a file is turned over, in bytes. Two are kept, so a service takes at most twice this.
pub const FILE_BYTES_MAX: u64 = 4 << 20;
/// Lines kept in memory, for the console when a service dies.
const LAST_LINES: usize = 20;
/// The most that one reader gets, in bytes.
const READ_BYTES_MAX: u64 = 256 * 1024;

/// A log.
pub struct Ring {
    path: PathBuf,
    file: Option<File>,
    written: u64,
    last: VecDeque<String>,
    lost: u64,
}

impl Ring {
    /// The log of `service` in `folder`. Opened at the first line, so that it may be made before the disk is there.
    pub fn new(folder: &Path, service: &str) -> Ring {
        let path = folder.join(format!("{service}.log"));
        Ring { path, file: None, written: 0, last: VecDeque::new(), lost: 0 }
    }

    /// Adds one line. A full disk loses lines but stops nobody; how many were lost is written once there is room.
    pub fn add(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(line).into_owned();
        if self.last.len() == LAST_LINES {
            self.last.pop_front();
        }
        self.last.push_back(text);
        if self.write(line).is_err() {
            self.lost += 1;
            self.file = None;
        }
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.written + line.len() as u64 >= FILE_BYTES_MAX {
            self.file = None;
            std::fs::rename(&self.path, older(&self.path))?;
            self.written = 0;
        }
        if self.file.is_none() {
            let file = OpenOptions::new().create(true).append(true).open(&self.path)?;
            self.written = file.metadata()?.len();
            self.file = Some(file);
        }
        let file = self.file.as_mut().expect("opened just now");
        let mut bytes = Vec::with_capacity(line.len() + 1);
        if self.lost > 0 {
            bytes.extend_from_slice(format!("({} lines were lost, as the disk was full)\n", self.lost).as_bytes());
        }
        bytes.extend_from_slice(line);
        bytes.push(b'\n');
        file.write_all(&bytes)?;
        self.written += bytes.len() as u64;
        self.lost = 0;
        Ok(())
    }

    /// The last lines, oldest first.
    pub fn last(&self) -> impl Iterator<Item = &str> {
        self.last.iter().map(String::as_str)
    }

    /// Closes the file, so that the disk can be unmounted. A later line opens it again.
    pub fn close(&mut self) {
        self.file = None;
    }

    /// The last `count` lines on disk, oldest first, within a bound on their bytes.
    pub fn read(&self, count: usize) -> io::Result<Vec<String>> {
        let mut text = tail(&self.path, READ_BYTES_MAX)?;
        if (text.len() as u64) < READ_BYTES_MAX && text.lines().count() < count {
            text = tail(&older(&self.path), READ_BYTES_MAX - text.len() as u64)? + &text;
        }
        let lines: Vec<&str> = text.lines().collect();
        Ok(lines[lines.len().saturating_sub(count)..].iter().map(|line| (*line).to_owned()).collect())
    }
}

fn older(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    PathBuf::from(name)
}

/// The end of a file, from the first whole line on; nothing of a file that is not there.
fn tail(path: &Path, bytes_max: u64) -> io::Result<String> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(e) => return Err(e),
    };
    let length = file.metadata()?.len();
    let skipped = length.saturating_sub(bytes_max);
    file.seek(SeekFrom::Start(skipped))?;
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    let start =
        if skipped == 0 { 0 } else { bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |n| n + 1) };
    Ok(String::from_utf8_lossy(&bytes[start..]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_never_takes_more_than_two_files_of_the_named_size() {
        let folder = tempfile::tempdir().unwrap();
        let mut ring = Ring::new(folder.path(), "node");
        let line = vec![b'x'; 8000];
        for _ in 0..(3 * FILE_BYTES_MAX / 8000) {
            ring.add(&line);
        }
        let sizes: Vec<u64> =
            std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).collect();
        assert_eq!(sizes.len(), 2);
        assert!(sizes.iter().all(|size| *size <= FILE_BYTES_MAX), "{sizes:?}");
    }

    #[test]
    fn reading_crosses_from_one_file_to_the_next() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("node.log.1"), "a\nb\n").unwrap();
        let mut ring = Ring::new(folder.path(), "node");
        ring.add(b"c");
        ring.close();
        ring.add(b"d");
        assert_eq!(ring.read(3).unwrap(), ["b", "c", "d"]);
        assert_eq!(ring.read(1).unwrap(), ["d"]);
        assert_eq!(ring.last().collect::<Vec<_>>(), ["c", "d"]);
    }

    #[test]
    fn what_could_not_be_written_is_counted_and_said_later() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("later");
        let mut ring = Ring::new(&missing, "node");
        ring.add(b"one");
        ring.add(b"two");
        std::fs::create_dir(&missing).unwrap();
        ring.add(b"three");
        assert_eq!(ring.read(9).unwrap(), ["(2 lines were lost, as the disk was full)", "three"]);
    }
}
