//! The newest state and the history behind it: a pure value that changes are applied to.
//!
//! History is a ring of events that hold the state before and after, so an older state is the newest one with events
//! undone. It must know neither the backend nor a clock: times come in as values.

use crate::entry::{Entry, Key};
use crate::options::Options;
use crate::snapshot::{Map, Snapshot};
use crate::watch::Event;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Why a revision cannot be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevisionError {
    /// It is too old: history reaches back to `oldest` only.
    #[error("the revision is compacted; the oldest one is {oldest}")]
    Compacted {
        /// The oldest revision that can be served.
        oldest: u64,
    },
    /// It has not happened yet.
    #[error("the revision is in the future; the current one is {current}")]
    Future {
        /// The newest revision.
        current: u64,
    },
}

/// Limits of the history.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub age: Duration,
    pub events_min: usize,
    pub events_max: usize,
    pub bytes_max: u64,
}

impl From<&Options> for Limits {
    fn from(options: &Options) -> Limits {
        Limits {
            age: options.history_age,
            events_min: options.history_events_min,
            events_max: options.history_events_max,
            bytes_max: options.history_bytes_max,
        }
    }
}

/// Reconstructed old states kept for the next page of the same list. Each shares all but its differences.
const PAST_MAX: usize = 8;

#[derive(Debug)]
pub(crate) struct State {
    newest: Snapshot,
    /// Bytes of keys and values of the newest state.
    bytes: u64,
    /// Every event after `oldest`, with the time it was published.
    history: VecDeque<(Duration, Arc<Event>)>,
    /// Bytes that history alone keeps alive.
    history_bytes: u64,
    oldest: u64,
    /// Old states asked for lately, the latest last.
    past: VecDeque<Snapshot>,
    limits: Limits,
}

impl State {
    pub fn new(revision: u64, oldest: u64, entries: impl IntoIterator<Item = Arc<Entry>>, limits: Limits) -> State {
        let mut map = Map::new_sync();
        let mut bytes = 0;
        for entry in entries {
            bytes += entry.cost();
            map.insert_mut(entry.key.clone(), entry);
        }
        let newest = Snapshot { revision, map };
        State { newest, bytes, history: VecDeque::new(), history_bytes: 0, oldest, past: VecDeque::new(), limits }
    }

    pub fn newest(&self) -> &Snapshot {
        &self.newest
    }

    pub fn oldest(&self) -> u64 {
        self.oldest
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds an event that the newest state already contains; for loading, in order, oldest first.
    pub fn remember(&mut self, now: Duration, event: Arc<Event>) {
        self.history_bytes += event.cost();
        self.history.push_back((now, event));
    }

    /// Makes the events of one revision, which must be later than the newest, the newest state.
    pub fn apply(&mut self, now: Duration, revision: u64, events: &[Arc<Event>]) {
        assert!(revision > self.newest.revision, "revision {revision} after {}", self.newest.revision);
        for event in events {
            self.bytes += event.entry.as_ref().map_or(0, |entry| entry.cost());
            self.bytes -= event.previous.as_ref().map_or(0, |entry| entry.cost());
            set(&mut self.newest.map, &event.key, event.entry.as_ref());
            self.remember(now, event.clone());
        }
        self.newest.revision = revision;
        self.trim(now);
    }

    /// Forgets what the limits do not cover any more.
    pub fn trim(&mut self, now: Duration) {
        while let Some((born, event)) = self.history.front() {
            let length = self.history.len();
            let old = length > self.limits.events_min && now.saturating_sub(*born) > self.limits.age;
            let much = length > self.limits.events_max || self.history_bytes > self.limits.bytes_max;
            if !old && !much {
                return;
            }
            let revision = event.revision;
            self.compact(revision);
        }
    }

    /// Forgets history up to and including `revision`, but never the newest state.
    pub fn compact(&mut self, revision: u64) {
        let revision = revision.min(self.newest.revision);
        while self.history.front().is_some_and(|(_, event)| event.revision <= revision) {
            let (_, event) = self.history.pop_front().expect("the front was just looked at");
            self.history_bytes -= event.cost();
        }
        self.oldest = self.oldest.max(revision);
        let oldest = self.oldest;
        self.past.retain(|snapshot| snapshot.revision >= oldest);
    }

    fn check(&self, revision: u64) -> Result<(), RevisionError> {
        if revision > self.newest.revision {
            return Err(RevisionError::Future { current: self.newest.revision });
        }
        if revision < self.oldest {
            return Err(RevisionError::Compacted { oldest: self.oldest });
        }
        Ok(())
    }

    /// The events after `revision` whose keys start with `prefix`, in order.
    pub fn events_after(&self, prefix: &str, revision: u64) -> Result<VecDeque<Arc<Event>>, RevisionError> {
        self.check(revision)?;
        let start = self.history.partition_point(|(_, event)| event.revision <= revision);
        let matching =
            self.history.range(start..).map(|(_, event)| event).filter(|event| event.key.starts_with(prefix));
        Ok(matching.cloned().collect())
    }

    /// The state at `revision`, when it is at hand without undoing anything.
    pub fn at_hand(&self, revision: u64) -> Result<Option<Snapshot>, RevisionError> {
        self.check(revision)?;
        if revision == self.newest.revision {
            return Ok(Some(self.newest.clone()));
        }
        Ok(self.past.iter().find(|past| past.revision == revision).cloned())
    }

    /// What it takes to make the state at `revision`: the nearest later state at hand and the events in between. The
    /// work itself is [`Rewind::run`], which needs no lock.
    pub fn rewind_to(&self, revision: u64) -> Result<Rewind, RevisionError> {
        self.check(revision)?;
        let later = self.past.iter().filter(|past| past.revision > revision).min_by_key(|past| past.revision);
        let from = later.unwrap_or(&self.newest).clone();
        let start = self.history.partition_point(|(_, event)| event.revision <= revision);
        let end = self.history.partition_point(|(_, event)| event.revision <= from.revision);
        let undo = self.history.range(start..end).map(|(_, event)| event.clone()).collect();
        Ok(Rewind { revision, from, undo })
    }

    /// Keeps an old state for whoever asks for it next, if history still reaches that far.
    pub fn keep(&mut self, snapshot: Snapshot) {
        let known = self.past.iter().any(|past| past.revision == snapshot.revision);
        if known || snapshot.revision == self.newest.revision || snapshot.revision < self.oldest {
            return;
        }
        self.past.push_back(snapshot);
        if self.past.len() > PAST_MAX {
            self.past.pop_front();
        }
    }
}

/// A state and the events to undo on it.
pub(crate) struct Rewind {
    revision: u64,
    from: Snapshot,
    undo: Vec<Arc<Event>>,
}

impl Rewind {
    /// The older state.
    pub fn run(self) -> Snapshot {
        let mut map = self.from.map;
        for event in self.undo.iter().rev() {
            set(&mut map, &event.key, event.previous.as_ref());
        }
        Snapshot { revision: self.revision, map }
    }
}

fn set(map: &mut Map, key: &Key, entry: Option<&Arc<Entry>>) {
    match entry {
        Some(entry) => map.insert_mut(key.clone(), entry.clone()),
        None => {
            map.remove_mut(&**key);
        }
    }
}

#[cfg(test)]
mod tests;
