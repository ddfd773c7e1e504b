//! A disk in memory that can lose power, fail or be full at any operation.

use redb::{Builder, Database, DatabaseError, StorageBackend};
use std::io::{Error, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard};
use store::Medium;

/// Torn writes end at a multiple of this.
const SECTOR_BYTES: usize = 512;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Everything from here on fails, and what was not synced is in doubt.
    Power,
    /// This one operation fails.
    Io,
    /// Writes fail from here on, until there is room again.
    Full,
}

#[derive(Debug)]
enum Unsynced {
    Write(usize, Vec<u8>),
    Length(usize),
}

#[derive(Debug, Default)]
struct Content {
    /// What reads see.
    seen: Vec<u8>,
    /// What is there for certain after a power cut.
    durable: Vec<u8>,
    unsynced: Vec<Unsynced>,
    /// Operations until the fault.
    fault: Option<(u64, Fault)>,
    state: Option<Fault>,
}

/// Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<Content>>);

fn apply(bytes: &mut Vec<u8>, change: &Unsynced) {
    match change {
        Unsynced::Length(length) => bytes.resize(*length, 0),
        Unsynced::Write(at, data) => {
            bytes.resize(bytes.len().max(at + data.len()), 0);
            bytes[*at..at + data.len()].copy_from_slice(data);
        }
    }
}

impl Content {
    fn step(&mut self, writes: bool) -> Result<(), Error> {
        if let Some((left, fault)) = &mut self.fault {
            *left = left.saturating_sub(1);
            if *left == 0 {
                let fault = *fault;
                self.fault = None;
                if fault == Fault::Io {
                    return Err(Error::other("simulated failure"));
                }
                self.state = Some(fault);
            }
        }
        match self.state {
            Some(Fault::Power) => Err(Error::other("simulated loss of power")),
            Some(Fault::Full) if writes => Err(Error::from(ErrorKind::StorageFull)),
            _ => Ok(()),
        }
    }

    fn change(&mut self, change: Unsynced) -> Result<(), Error> {
        self.step(true)?;
        apply(&mut self.seen, &change);
        self.unsynced.push(change);
        Ok(())
    }
}

impl Disk {
    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().expect("no test panics while it holds the disk")
    }

    /// Lets the `operations`-th operation from now meet `fault`.
    pub fn fail_at(&self, operations: u64, fault: Fault) {
        self.lock().fault = Some((operations, fault));
    }

    /// Whether the fault has happened or is in force.
    pub fn has_failed(&self) -> bool {
        self.lock().fault.is_none()
    }

    /// Makes room again, or calls off the fault that has not happened yet.
    pub fn heal(&self) {
        let mut content = self.lock();
        (content.fault, content.state) = (None, None);
    }

    /// Power is back: of what was not synced, each write is there, is not, or ends in the middle.
    pub fn power_on(&self, random: &mut fastrand::Rng) {
        let mut content = self.lock();
        let unsynced = std::mem::take(&mut content.unsynced);
        let mut durable = std::mem::take(&mut content.durable);
        for mut change in unsynced {
            let kept = match (&mut change, random.u8(0..3)) {
                (_, 0) => false,
                (Unsynced::Write(_, data), 1) => {
                    data.truncate(random.usize(0..=data.len() / SECTOR_BYTES) * SECTOR_BYTES);
                    true
                }
                _ => true,
            };
            if kept {
                apply(&mut durable, &change);
            }
        }
        let seen = durable.clone();
        *content = Content { seen, durable, ..Content::default() };
    }

    /// Every place where `needle` stands, overwritten with `with`.
    pub fn damage(&self, needle: &[u8], with: u8) -> usize {
        let mut content = self.lock();
        let places: Vec<usize> = (0..content.seen.len().saturating_sub(needle.len()))
            .filter(|at| content.seen[*at..].starts_with(needle))
            .collect();
        for at in &places {
            content.seen[*at] = with;
            if *at < content.durable.len() {
                content.durable[*at] = with;
            }
        }
        places.len()
    }
}

impl Medium for Disk {
    fn open(&self, builder: &Builder) -> Result<Database, DatabaseError> {
        builder.create_with_backend(self.clone())
    }

    fn bytes(&self) -> Result<u64, Error> {
        Ok(self.lock().seen.len() as u64)
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, Error> {
        let mut content = self.lock();
        content.step(false)?;
        Ok(content.seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let mut content = self.lock();
        content.step(false)?;
        let start = offset as usize;
        let found = content.seen.get(start..start + out.len()).ok_or(ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        self.lock().change(Unsynced::Length(len as usize))
    }

    fn sync_data(&self) -> Result<(), Error> {
        let mut content = self.lock();
        content.step(false)?;
        let Content { durable, unsynced, .. } = &mut *content;
        unsynced.drain(..).for_each(|change| apply(durable, &change));
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        self.lock().change(Unsynced::Write(offset as usize, data.to_vec()))
    }
}
