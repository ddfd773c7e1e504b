//! From what a backend holds to the state and its history: pure.

use super::events::deletion;
use crate::backend::{Change, Loaded, Row};
use crate::entry::{Entry, Key, Value};
use crate::envelope::{Envelope, Unsealed};
use crate::options::Options;
use crate::state::{Limits, State};
use crate::store::{Corrupt, OpenError};
use crate::watch::Event;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The state in `loaded`, and the values that could not be read. History is kept back to the last unreadable piece.
pub(crate) fn load(
    loaded: Loaded,
    envelope: &Envelope,
    options: &Options,
) -> Result<(State, BTreeMap<Key, Corrupt>), OpenError> {
    let mut corrupt = BTreeMap::new();
    let mut entries: HashMap<Key, Arc<Entry>> = HashMap::with_capacity(loaded.rows.len());
    for row in &loaded.rows {
        match readable(&row.key, envelope.open(&row.key, &row.sealed))? {
            Ok(value) => {
                let revisions = (row.create_revision, row.mod_revision);
                entries.insert(row.key.clone(), Entry::new(row.key.clone(), value, revisions, None, &options.extract));
            }
            Err(reason) => {
                tracing::error!(key = %row.key, reason, "a stored value is damaged; it is left as it is");
                corrupt.insert(row.key.clone(), Corrupt { reason, mod_revision: row.mod_revision });
            }
        }
    }
    let mut oldest = loaded.oldest;
    let mut history = Vec::new();
    let mut replay = Replay { newest: &entries, latest: HashMap::new(), envelope, options };
    for change in &loaded.history {
        match replay.event(change)? {
            Ok(event) => history.push(event),
            Err(reason) => {
                tracing::warn!(key = %change.key, revision = change.revision, reason, "history before this is dropped");
                oldest = change.revision;
            }
        }
    }
    history.retain(|event| event.revision > oldest);
    let mut state = State::new(loaded.revision, oldest, entries.into_values(), Limits::from(options));
    let now = (options.clock)();
    for event in history {
        state.remember(now, event);
    }
    state.trim(now);
    Ok((state, corrupt))
}

/// Tells damage, which is reported, from what must stop the opening.
fn readable(key: &Key, opened: Unsealed) -> Result<Result<Value, &'static str>, OpenError> {
    match opened {
        Unsealed::Value(value) => Ok(Ok(value)),
        Unsealed::Corrupt(reason) => Ok(Err(reason)),
        Unsealed::KeyMissing(id) => Err(OpenError::KeyMissing { key: key.clone(), id }),
        Unsealed::Newer(found) => Err(OpenError::Newer { key: key.clone(), found }),
    }
}

/// Rebuilds events, sharing entries between the event that made them, the one that replaced them and the newest state.
struct Replay<'a> {
    newest: &'a HashMap<Key, Arc<Entry>>,
    latest: HashMap<Key, Arc<Entry>>,
    envelope: &'a Envelope,
    options: &'a Options,
}

impl Replay<'_> {
    fn event(&mut self, change: &Change) -> Result<Result<Arc<Event>, &'static str>, OpenError> {
        let previous = match &change.previous {
            None => None,
            Some(row) => match self.entry(row)? {
                Ok(entry) => Some(entry),
                Err(reason) => return Ok(Err(reason)),
            },
        };
        let event = match (&change.row, previous) {
            (Some(row), previous) => match self.entry(row)? {
                Ok(entry) => Event::put(previous, entry),
                Err(reason) => return Ok(Err(reason)),
            },
            (None, None) => return Ok(Err("a deletion of nothing")),
            (None, Some(previous)) => {
                let last = match &change.last {
                    None => None,
                    Some(sealed) => {
                        let opened = self.envelope.open(&change.key, sealed);
                        match readable(&change.key, opened)? {
                            Ok(value) => {
                                let revisions = (previous.create_revision, change.revision);
                                let key = change.key.clone();
                                Some(Entry::new(key, value, revisions, None, &self.options.extract))
                            }
                            Err(reason) => return Ok(Err(reason)),
                        }
                    }
                };
                deletion(previous, last, change.revision, &self.options.extract)
            }
        };
        match &event.entry {
            Some(entry) => self.latest.insert(change.key.clone(), entry.clone()),
            None => self.latest.remove(&change.key),
        };
        Ok(Ok(event))
    }

    fn entry(&self, row: &Row) -> Result<Result<Arc<Entry>, &'static str>, OpenError> {
        let known = [self.latest.get(&row.key), self.newest.get(&row.key)];
        if let Some(entry) = known.into_iter().flatten().find(|entry| entry.mod_revision == row.mod_revision) {
            return Ok(Ok(entry.clone()));
        }
        let opened = readable(&row.key, self.envelope.open(&row.key, &row.sealed))?;
        let revisions = (row.create_revision, row.mod_revision);
        Ok(opened.map(|value| Entry::new(row.key.clone(), value, revisions, None, &self.options.extract)))
    }
}
