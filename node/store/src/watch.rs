//! Watches: every change under a prefix once, in order, or an error that says that some were missed.
//!
//! Each watch has a queue of its own, filled while the new state is published; a watch whose queue is full is cut off.

use crate::entry::{Entry, Forms, Key};
use crate::store::Shared;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

/// Events that may wait in one watch before it is cut off. A reader that is this far behind is better served by a new
/// list; each place costs a pointer until it is used.
pub const WATCH_QUEUE_MAX: usize = 8_192;

/// One change of one key.
pub struct Event {
    /// The revision of the change; the changes of one commit share it.
    pub revision: u64,
    /// The key.
    pub key: Key,
    /// The state before; `None` when the key came into being.
    pub previous: Option<Arc<Entry>>,
    /// The state after; `None` when the key was deleted.
    pub entry: Option<Arc<Entry>>,
    /// The final state of a deleted key, with the revision of the deletion.
    pub last: Option<Arc<Entry>>,
    /// Encodings of this event, so that a frame is made once for all watchers.
    pub forms: Forms,
}

impl Event {
    pub(crate) fn put(previous: Option<Arc<Entry>>, entry: Arc<Entry>) -> Arc<Event> {
        let (revision, key) = (entry.mod_revision, entry.key.clone());
        Arc::new(Event { revision, key, previous, entry: Some(entry), last: None, forms: Forms::default() })
    }

    pub(crate) fn delete(previous: Arc<Entry>, last: Arc<Entry>) -> Arc<Event> {
        let (revision, key) = (last.mod_revision, last.key.clone());
        let previous = Some(previous);
        Arc::new(Event { revision, key, previous, entry: None, last: Some(last), forms: Forms::default() })
    }

    /// The entry that a watcher is shown: the state after, or the final state of a deleted key.
    pub fn shown(&self) -> &Arc<Entry> {
        self.entry.as_ref().or(self.last.as_ref()).expect("an event has a state after or a final state")
    }

    /// Bytes that history keeps alive for this event: the state before, which the map has no more.
    pub(crate) fn cost(&self) -> u64 {
        let of = |entry: &Option<Arc<Entry>>| entry.as_ref().map_or(0, |entry| entry.cost());
        EVENT_OVERHEAD_BYTES + of(&self.previous) + of(&self.last)
    }
}

/// Bytes of an event itself: the struct, its allocation and its place in the ring. An estimate for the limits.
const EVENT_OVERHEAD_BYTES: u64 = 128;

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match (&self.previous, &self.entry) {
            (None, _) => "create",
            (_, Some(_)) => "update",
            (_, None) => "delete",
        };
        write!(f, "{what} {} at {}", self.key, self.revision)
    }
}

/// Why a watch has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// The reader was too slow and changes were missed; list again.
    #[error("the watch was too slow and was cut off after revision {synced}")]
    Lagged {
        /// Everything up to this revision was delivered.
        synced: u64,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// The publisher's end of a watch.
pub(crate) struct Watcher {
    prefix: String,
    queue: mpsc::Sender<Arc<Event>>,
}

impl Watcher {
    /// Hands the events over; `false` when the watch is gone or was cut off.
    pub fn offer(&self, events: &[Arc<Event>]) -> bool {
        let mine = events.iter().filter(|event| event.key.starts_with(&self.prefix));
        mine.map(|event| self.queue.try_send(event.clone())).all(|sent| sent.is_ok()) && !self.queue.is_closed()
    }
}

/// A stream of changes. Dropping it ends it.
pub struct Watch {
    backlog: VecDeque<Arc<Event>>,
    queue: mpsc::Receiver<Arc<Event>>,
    synced: AtomicU64,
    shared: Arc<Shared>,
}

impl Watch {
    /// A watch that has seen everything up to `revision`, with `backlog` still to deliver.
    pub(crate) fn new(
        shared: Arc<Shared>,
        prefix: &str,
        revision: u64,
        backlog: VecDeque<Arc<Event>>,
    ) -> (Watch, Watcher) {
        let (sender, queue) = mpsc::channel(WATCH_QUEUE_MAX);
        let watch = Watch { backlog, queue, synced: AtomicU64::new(revision), shared };
        (watch, Watcher { prefix: prefix.to_owned(), queue: sender })
    }

    /// The next change. May be dropped and called again without losing one.
    ///
    /// # Errors
    /// [`WatchError`] when changes were missed or the store is closed; it stays so.
    pub async fn next(&mut self) -> Result<Arc<Event>, WatchError> {
        let event = match self.backlog.pop_front() {
            Some(event) => Some(event),
            None => self.queue.recv().await,
        };
        event.map(|event| self.delivered(event)).ok_or_else(|| self.ended())
    }

    /// The next change if it is there already, for callers that gather several into one write.
    ///
    /// # Errors
    /// As [`Watch::next`].
    pub fn try_next(&mut self) -> Result<Option<Arc<Event>>, WatchError> {
        if let Some(event) = self.backlog.pop_front() {
            return Ok(Some(self.delivered(event)));
        }
        match self.queue.try_recv() {
            Ok(event) => Ok(Some(self.delivered(event))),
            Err(mpsc::error::TryRecvError::Empty) => Ok(None),
            Err(mpsc::error::TryRecvError::Disconnected) => Err(self.ended()),
        }
    }

    /// The revision up to which every change was delivered: what a bookmark may say. It moves on without events, too.
    pub fn synced_revision(&self) -> u64 {
        // Events are handed over under the lock that `read` takes, so with that lock and nothing waiting, nothing is
        // missing. A watch that was cut off stays where it was.
        let newest = self.shared.read(|state| {
            let idle = self.backlog.is_empty() && self.queue.is_empty() && !self.queue.is_closed();
            idle.then(|| state.newest().revision)
        });
        if let Some(newest) = newest {
            self.synced.fetch_max(newest, Ordering::Relaxed);
        }
        self.synced.load(Ordering::Relaxed)
    }

    /// A revision may have several events, so one delivered event only completes the revision before it.
    fn delivered(&self, event: Arc<Event>) -> Arc<Event> {
        self.synced.fetch_max(event.revision - 1, Ordering::Relaxed);
        event
    }

    fn ended(&self) -> WatchError {
        if self.shared.is_closed() {
            return WatchError::Closed;
        }
        WatchError::Lagged { synced: self.synced.load(Ordering::Relaxed) }
    }
}
