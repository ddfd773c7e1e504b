//! The handle that callers hold: reads from memory, writes by the queue to the writer.

use crate::backend::{Backend, BackendError};
use crate::entry::{Entry, Key};
use crate::envelope::Envelope;
use crate::op::{self, CommitError, Committed, Op};
use crate::options::Options;
use crate::snapshot::{Page, Snapshot};
use crate::state::{RevisionError, State};
use crate::watch::{Event, Watch, Watcher};
use crate::writer::{self, Message, Writer};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// Requests that may wait for the writer; further callers wait for a place. A few groups' worth, so that the writer is
/// never idle and no caller waits for more than a few fsyncs.
const QUEUE_MAX: usize = 1024;

/// Why a store did not open. Nothing on the medium was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The backend failed, or holds data of a later version.
    #[error("opening the store: {0}")]
    Backend(#[from] BackendError),
    /// The options contradict themselves.
    #[error("opening the store: {0}")]
    Options(String),
    /// Values are encrypted with a key that was not given.
    #[error("opening the store: {key} is encrypted with key {id}, which was not given")]
    KeyMissing {
        /// The first key that needs it.
        key: Key,
        /// The number of the missing key.
        id: u32,
    },
    /// Values were written by a later version of this program.
    #[error("opening the store: {key} has envelope version {found}; use a newer version")]
    Newer {
        /// The first such key.
        key: Key,
        /// The version found.
        found: u8,
    },
}

/// A stored value that cannot be read. It stays on the medium until it is discarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corrupt {
    /// How it is damaged.
    pub reason: &'static str,
    /// The revision of the damaged state.
    pub mod_revision: u64,
}

/// A revision did not come in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store is at revision {current} and did not reach {wanted} in time")]
pub struct WaitError {
    /// The revision waited for.
    pub wanted: u64,
    /// The newest revision.
    pub current: u64,
}

/// What readers and the writer share. The writer is the only one to change `state`.
pub(crate) struct Shared {
    inner: RwLock<Inner>,
    revision: watch::Sender<u64>,
    corrupt: Mutex<BTreeMap<Key, Corrupt>>,
    closed: AtomicBool,
}

struct Inner {
    state: State,
    watchers: Vec<Watcher>,
}

impl Shared {
    pub fn new(state: State, corrupt: BTreeMap<Key, Corrupt>) -> Shared {
        let (revision, _) = watch::channel(state.newest().revision);
        let inner = RwLock::new(Inner { state, watchers: Vec::new() });
        Shared { inner, revision, corrupt: Mutex::new(corrupt), closed: AtomicBool::new(false) }
    }

    pub fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.inner.read().unwrap_or_else(PoisonError::into_inner).state)
    }

    pub fn change<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.inner.write().unwrap_or_else(PoisonError::into_inner).state)
    }

    /// Makes the groups of events, each of one revision, visible to readers and watches at the same instant.
    pub fn publish(&self, now: Duration, groups: &[(u64, Vec<Arc<Event>>)]) {
        let Some((revision, _)) = groups.last() else { return };
        {
            let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
            for (revision, events) in groups {
                inner.state.apply(now, *revision, events);
                inner.watchers.retain(|watcher| watcher.offer(events));
            }
        }
        self.revision.send_replace(*revision);
    }

    pub fn corrupt(&self) -> std::sync::MutexGuard<'_, BTreeMap<Key, Corrupt>> {
        self.corrupt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Ends every watch, now and later.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.inner.write().unwrap_or_else(PoisonError::into_inner).watchers.clear();
    }

    /// Registers a watch under the lock that decided where it starts.
    fn watch(self: &Arc<Self>, prefix: &str, from: Option<u64>) -> Result<(Snapshot, Watch), RevisionError> {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let snapshot = inner.state.newest().clone();
        let from = from.unwrap_or(snapshot.revision);
        let backlog = inner.state.events_after(prefix, from)?;
        let (watch, watcher) = Watch::new(self.clone(), prefix, from, backlog);
        if !self.is_closed() {
            inner.watchers.push(watcher);
        }
        Ok((snapshot, watch))
    }
}

/// Revisions, snapshots and watches over an ordered map in memory, made durable by a backend. Clones share one store;
/// it closes when the last is dropped or [`Store::close`] is called.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Message>,
}

impl Store {
    /// Loads everything from `backend` and starts the writer on the present tokio runtime.
    ///
    /// Damaged values do not stop it: they are logged with their keys, listed by [`Store::corrupt`] and left as they
    /// are.
    ///
    /// # Errors
    /// [`OpenError`]; a missing encryption key is an error and not damage, so that nobody mistakes a store that cannot
    /// be read for an empty one.
    pub async fn open(mut backend: Box<dyn Backend>, options: Options) -> Result<Store, OpenError> {
        let envelope = Envelope::new(&options.keys).map_err(OpenError::Options)?;
        let loaded = backend.load().await?;
        let revision = loaded.revision;
        let (state, corrupt) = writer::load(loaded, &envelope, &options)?;
        let others = backend.watch(revision).await?;
        let shared = Arc::new(Shared::new(state, corrupt));
        let (queue, requests) = mpsc::channel(QUEUE_MAX);
        let writer = Writer::new(backend, shared.clone(), requests, others, envelope, options);
        tokio::spawn(writer.run());
        Ok(Store { shared, queue })
    }

    /// Applies `ops` together or not at all, at one revision, and returns when they are durable and visible.
    ///
    /// When the future is dropped after the request was queued, the commit may still happen.
    ///
    /// # Errors
    /// [`CommitError`]; after any of them but `Backend`, nothing has happened and nothing will.
    pub async fn commit(&self, ops: Vec<Op>) -> Result<Committed, CommitError> {
        op::validate(&ops)?;
        if ops.is_empty() {
            return Ok(Committed { revision: self.revision(), entries: Vec::new() });
        }
        self.ask(|reply| Message::Commit { ops, reply }).await?
    }

    async fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Result<T, CommitError> {
        let (reply, answer) = oneshot::channel();
        self.queue.send(message(reply)).await.map_err(|_| CommitError::Closed)?;
        answer.await.map_err(|_| CommitError::Closed)
    }

    /// The newest revision.
    pub fn revision(&self) -> u64 {
        self.shared.read(|state| state.newest().revision)
    }

    /// The oldest revision that [`Store::snapshot_at`] and [`Store::watch`] accept.
    pub fn oldest_revision(&self) -> u64 {
        self.shared.read(State::oldest)
    }

    /// Bytes of keys and newest values, with bookkeeping; what `Options::bytes_max` limits.
    pub fn bytes(&self) -> u64 {
        self.shared.read(State::bytes)
    }

    /// The newest entry of `key`.
    pub fn get(&self, key: &str) -> Option<Arc<Entry>> {
        self.shared.read(|state| state.newest().get(key).cloned())
    }

    /// A page of the newest state, see [`Snapshot::range`].
    pub fn range(&self, prefix: &str, after: Option<&str>, limit: usize) -> Page {
        self.snapshot().range(prefix, after, limit)
    }

    /// The newest state.
    pub fn snapshot(&self) -> Snapshot {
        self.shared.read(|state| state.newest().clone())
    }

    /// The state at exactly `revision`.
    ///
    /// # Errors
    /// [`RevisionError`].
    pub fn snapshot_at(&self, revision: u64) -> Result<Snapshot, RevisionError> {
        if let Some(snapshot) = self.shared.read(|state| state.at_hand(revision))? {
            return Ok(snapshot);
        }
        let rewind = self.shared.read(|state| state.rewind_to(revision))?;
        let snapshot = rewind.run();
        self.shared.change(|state| state.keep(snapshot.clone()));
        Ok(snapshot)
    }

    /// Every change of keys that start with `prefix` after `from_revision`.
    ///
    /// # Errors
    /// [`RevisionError`].
    pub fn watch(&self, prefix: &str, from_revision: u64) -> Result<Watch, RevisionError> {
        self.shared.watch(prefix, Some(from_revision)).map(|(_, watch)| watch)
    }

    /// The newest state, and every change after it.
    pub fn snapshot_and_watch(&self, prefix: &str) -> (Snapshot, Watch) {
        self.shared.watch(prefix, None).expect("the newest revision is neither compacted nor in the future")
    }

    /// Waits until the store is at `revision` or later, at most for `patience`: reads that must not be older.
    ///
    /// # Errors
    /// [`WaitError`] when it took too long.
    pub async fn wait_for(&self, revision: u64, patience: Duration) -> Result<(), WaitError> {
        let mut newest = self.shared.revision.subscribe();
        let reached = tokio::time::timeout(patience, newest.wait_for(|current| *current >= revision)).await;
        match reached {
            Ok(Ok(_)) => Ok(()),
            // The sender lives as long as this handle, so only time can run out.
            Ok(Err(_)) | Err(_) => Err(WaitError { wanted: revision, current: self.revision() }),
        }
    }

    /// Forgets history up to and including `revision`; the state at that revision is the oldest that stays. Without
    /// this call, history is trimmed by the limits in [`Options`].
    ///
    /// # Errors
    /// [`CommitError::Backend`] and [`CommitError::Closed`].
    pub async fn compact(&self, revision: u64) -> Result<(), CommitError> {
        self.ask(|reply| Message::Compact { revision, reply }).await?
    }

    /// The values that could not be read. Their keys are absent from every read, and writes to them are refused.
    pub fn corrupt(&self) -> BTreeMap<Key, Corrupt> {
        self.shared.corrupt().clone()
    }

    /// Removes the damaged value of `key` from the medium for good, so that the key can be written again.
    ///
    /// # Errors
    /// `NotFound` when the key is not damaged; else as [`Store::commit`].
    pub async fn discard_corrupt(&self, key: &Key) -> Result<u64, CommitError> {
        self.ask(|reply| Message::Discard { key: key.clone(), reply }).await?
    }

    /// Finishes what is queued, ends every watch and releases the medium. Reads go on from memory.
    pub async fn close(&self) {
        // An error says that the writer has already ended, which is what was asked for.
        let _ended = self.ask(|reply| Message::Close { reply }).await;
    }
}

#[cfg(test)]
mod tests;
