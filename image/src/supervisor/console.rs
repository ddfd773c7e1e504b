//! The serial line's log: read from where it was left, cut into lines, searched for milestones, and kept from growing
//! for ever. The emulator appends to it, whether or not somebody listens.

use crate::cluster::emulator::SERIAL_LOG;
use crate::cluster::milestones::{Lines, Milestone, read};
use crate::cluster::{Cluster, life};
use anyhow::{Context, Result};
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

/// The size at which the log is put aside, bytes; one older one is kept.
const LOG_BYTES_MAX: u64 = 4 << 20;
/// Bytes read at once.
const READ_BYTES_MAX: u64 = 1 << 20;
/// Milestones kept of one boot: there are a handful, and one for each job.
const MILESTONES_MAX: usize = 256;
/// The milestones of this boot with the times at which they came.
pub const MILESTONES: &str = "milestones.json";

/// What was heard since the last time.
#[derive(Debug, Default)]
pub struct Heard {
    /// Whole lines.
    pub lines: Vec<String>,
    /// The milestones among them.
    pub milestones: Vec<Milestone>,
}

/// The log of one machine.
pub struct Console {
    log: File,
    path: PathBuf,
    kept: PathBuf,
    offset: u64,
    lines: Lines,
    started_ms: u64,
    seen: VecDeque<Milestone>,
}

impl Console {
    /// Opens the log of a machine that was started at that time (milliseconds since 1970), and catches up with what
    /// another supervisor has heard.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(cluster: &Cluster, started_ms: u64) -> Result<Console> {
        let path = cluster.path(SERIAL_LOG);
        let kept = cluster.path(MILESTONES);
        let log = OpenOptions::new().read(true).write(true).open(&path);
        let log = log.with_context(|| format!("opening {}", path.display()))?;
        let seen = std::fs::read(&kept).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        let mut console = Console { log, path, kept, offset: 0, lines: Lines::default(), started_ms, seen };
        while !console.read()?.lines.is_empty() {}
        Ok(console)
    }

    /// The milestones of this boot so far.
    pub fn known(&self) -> Vec<Milestone> {
        self.seen.iter().cloned().collect()
    }

    /// Forgets the milestones: a new boot begins.
    pub fn forget(&mut self) {
        self.seen.clear();
        drop(std::fs::remove_file(&self.kept));
    }

    /// Reads what has come.
    ///
    /// # Errors
    /// When the log cannot be read or put aside.
    pub fn read(&mut self) -> Result<Heard> {
        let mut heard = Heard::default();
        loop {
            self.log.seek(SeekFrom::Start(self.offset)).context("reading the serial log")?;
            let mut bytes = Vec::new();
            let count = (&self.log).take(READ_BYTES_MAX).read_to_end(&mut bytes).context("reading the serial log")?;
            self.offset += count as u64;
            for line in self.lines.push(&bytes) {
                self.note(&line, &mut heard);
                heard.lines.push(line);
            }
            if (count as u64) < READ_BYTES_MAX {
                break;
            }
        }
        if self.offset > LOG_BYTES_MAX {
            self.put_aside()?;
        }
        Ok(heard)
    }

    fn note(&mut self, line: &str, heard: &mut Heard) {
        let Some(milestone) = read(line, life::now_ms().saturating_sub(self.started_ms)) else { return };
        // Read again after a change of supervisors. Of one kind there may be several at one time.
        let same = |seen: &Milestone| Milestone { host_ms: seen.host_ms, ..milestone.clone() } == *seen;
        if self.seen.iter().any(same) {
            return;
        }
        if self.seen.len() == MILESTONES_MAX {
            self.seen.pop_front();
        }
        self.seen.push_back(milestone.clone());
        heard.milestones.push(milestone);
        let text = serde_json::to_vec(&self.seen).expect("milestones came from JSON");
        if let Err(error) = pki::folder::replace(&self.kept, &text, 0o600) {
            super::log(&format!("milestones: {error:#}"));
        }
    }

    /// The emulator appends, so an emptied log goes on from its start.
    fn put_aside(&mut self) -> Result<()> {
        let mut older = self.path.clone().into_os_string();
        older.push(".1");
        std::fs::copy(&self.path, &older).context("putting the serial log aside")?;
        self.log.set_len(0).context("emptying the serial log")?;
        self.offset = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    struct Machine {
        _folder: tempfile::TempDir,
        cluster: Cluster,
        log: File,
    }

    fn machine() -> Machine {
        let folder = tempfile::tempdir().unwrap();
        let cluster = Cluster { name: "x".to_owned(), folder: folder.path().to_owned() };
        let log = OpenOptions::new().append(true).create(true).open(cluster.path(SERIAL_LOG)).unwrap();
        Machine { _folder: folder, cluster, log }
    }

    fn names(milestones: &[Milestone]) -> Vec<&str> {
        milestones.iter().map(|milestone| milestone.name.as_str()).collect()
    }

    #[test]
    fn a_new_supervisor_knows_what_the_old_one_heard_and_what_it_missed() {
        let mut machine = machine();
        machine.log.write_all(b"{\"skerry\":\"init\",\"t_ms\":1}\n").unwrap();
        let first = Console::open(&machine.cluster, 0).unwrap();
        let stamp = first.known()[0].host_ms;
        drop(first);
        machine.log.write_all(b"{\"skerry\":\"disk\",\"t_ms\":2}\n{\"skerry\":").unwrap();
        let mut second = Console::open(&machine.cluster, 0).unwrap();
        assert_eq!(names(&second.known()), ["init", "disk"]);
        assert_eq!(second.known()[0].host_ms, stamp, "the time of arrival is that of the first hearing");
        machine.log.write_all(b"\"api\",\"t_ms\":3}\n").unwrap();
        assert_eq!(names(&second.read().unwrap().milestones), ["api"]);
    }

    #[test]
    fn a_log_without_end_is_put_aside_and_loses_no_milestone() {
        let mut machine = machine();
        let mut console = Console::open(&machine.cluster, 0).unwrap();
        let line = format!("{}\n", "x".repeat(1000));
        for _ in 0..(LOG_BYTES_MAX / 1000 + 10) {
            machine.log.write_all(line.as_bytes()).unwrap();
        }
        console.read().unwrap();
        assert_eq!(machine.log.metadata().unwrap().len(), 0);
        machine.log.write_all(b"{\"skerry\":\"ready\",\"t_ms\":9}\n").unwrap();
        assert_eq!(names(&console.read().unwrap().milestones), ["ready"]);
        assert!(machine.cluster.path("serial.log.1").metadata().unwrap().len() >= LOG_BYTES_MAX);
    }
}
