//! The blobs on their way: a queue, and two senders that take from it.

use super::{Missing, Road, refusal};
use crate::archive::{Archive, Blob, Image, Members, Source};
use crate::cluster::access::Api;
use crate::interrupt::Interrupt;
use anyhow::{Context, Result, bail};
use std::collections::VecDeque;
use std::io::{Cursor, Read};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Blobs on their way at once. One leaves the machine idle between two blobs; more than two write to one disk.
const SENDERS: usize = 2;

/// A blob to be sent from a byte on.
pub struct Wanted<'a> {
    /// The blob.
    pub blob: &'a Blob,
    offset: u64,
}

/// The blobs that the machine asked for. It may only ask for what it was told of.
///
/// # Errors
/// When it asks for something else.
pub fn wanted<'a>(image: &'a Image, missing: &[Missing]) -> Result<Vec<Wanted<'a>>> {
    let find = |missing: &Missing| {
        let blob = image.blobs.iter().find(|blob| blob.digest == missing.digest);
        match blob.filter(|blob| missing.offset <= blob.size) {
            Some(blob) => Ok(Wanted { blob, offset: missing.offset }),
            None => {
                bail!("the machine asks for byte {} of {}, which it was not told of", missing.offset, missing.digest)
            }
        }
    };
    missing.iter().map(find).collect()
}

/// Sends them all. `sent` grows by what went over the line.
///
/// # Errors
/// The first failure; the other sender stops at its next read.
pub fn all(road: &Road, archive: &Archive, load: &str, wanted: Vec<Wanted>, sent: &mut u64) -> Result<()> {
    let Road { api, interrupt, progress, .. } = *road;
    let total = wanted.iter().map(|wanted| wanted.blob.size - wanted.offset).sum();
    let queue = Mutex::new(VecDeque::from(wanted));
    let course = Course { done: AtomicU64::new(0), total, failed: AtomicBool::new(false), interrupt, progress };
    let sender = || -> Result<()> {
        loop {
            let next = queue.lock().expect("no sender panics while it holds the queue").pop_front();
            let Some(next) = next else { return Ok(()) };
            if course.failed.load(Ordering::Relaxed) {
                return Ok(());
            }
            let outcome = one(api, archive, load, &next, &course);
            if outcome.is_err() {
                course.failed.store(true, Ordering::Relaxed);
            }
            outcome?;
        }
    };
    let outcomes = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS).map(|_| scope.spawn(sender)).collect();
        senders.into_iter().map(|sender| sender.join().expect("a sender does not panic")).collect::<Vec<_>>()
    });
    *sent += course.done.load(Ordering::Relaxed);
    interrupt.check()?;
    outcomes.into_iter().collect()
}

/// How far the senders are, shared by them.
struct Course<'a> {
    done: AtomicU64,
    total: u64,
    failed: AtomicBool,
    interrupt: &'a Interrupt,
    progress: &'a (dyn Fn(u64, u64) + Sync),
}

/// A blob's content from a byte on.
///
/// # Errors
/// When the archive cannot be read.
pub fn reader<'a>(members: &Members, blob: &'a Blob, offset: u64) -> Result<Box<dyn Read + 'a>> {
    Ok(match &blob.source {
        Source::Bytes(bytes) => {
            let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            Box::new(Cursor::new(&bytes[from..]))
        }
        Source::Member(member) => Box::new(members.reader(member, offset).context("reading the archive")?),
    })
}

fn one(api: &Api, archive: &Archive, load: &str, wanted: &Wanted, course: &Course) -> Result<()> {
    let Wanted { blob, offset } = wanted;
    let content = reader(&archive.members, blob, *offset)?;
    let path = format!("/skerry/v1/images/blobs/{}?load={load}&size={}&offset={offset}", blob.digest, blob.size);
    let mut watched = Watched { content, course };
    api.put(&path, blob.size - offset, &mut watched).map_err(refusal)?;
    Ok(())
}

/// Content that is counted as it is read, and ends when the user or the other sender does.
struct Watched<'a> {
    content: Box<dyn Read + 'a>,
    course: &'a Course<'a>,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.course.interrupt.is_set() || self.course.failed.load(Ordering::Relaxed) {
            return Err(std::io::Error::other("stopped"));
        }
        let length = self.content.read(buffer)?;
        let done = self.course.done.fetch_add(length as u64, Ordering::Relaxed) + length as u64;
        (self.course.progress)(done, self.course.total);
        Ok(length)
    }
}
