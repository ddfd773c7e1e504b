//! From a committed write to the events that readers and watches see: pure.

use crate::backend::Change;
use crate::entry::{Entry, Extract, Key};
use crate::envelope::{Envelope, Unsealed};
use crate::op::Op;
use crate::snapshot::Map;
use crate::store::Corrupt;
use crate::watch::Event;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The events of our own operations, which were checked against `map`.
pub(super) fn of_ops(ops: &[Op], revision: u64, map: &Map, extract: &Extract) -> Vec<Arc<Event>> {
    ops.iter().map(|op| of_op(op, revision, map.get(op.key()).cloned(), extract)).collect()
}

fn of_op(op: &Op, revision: u64, previous: Option<Arc<Entry>>, extract: &Extract) -> Arc<Event> {
    match op {
        Op::Create { key, value, extra } | Op::Update { key, value, extra, .. } => {
            let created = previous.as_ref().map_or(revision, |previous| previous.create_revision);
            let entry = Entry::new(key.clone(), value.clone(), (created, revision), extra.clone(), extract);
            Event::put(previous, entry)
        }
        Op::Delete { last, .. } => {
            let previous = previous.expect("a deletion was checked against the map that holds the key");
            let last = last.as_ref().map(|value| {
                Entry::new(previous.key.clone(), value.clone(), (previous.create_revision, revision), None, extract)
            });
            deletion(previous, last, revision, extract)
        }
    }
}

/// A deletion; without a final state of its own it shows the one before.
pub(super) fn deletion(previous: Arc<Entry>, last: Option<Arc<Entry>>, revision: u64, extract: &Extract) -> Arc<Event> {
    let last = last.unwrap_or_else(|| {
        let revisions = (previous.create_revision, revision);
        Entry::new(previous.key.clone(), previous.value.clone(), revisions, previous.extra_if_made(), extract)
    });
    Event::delete(previous, last)
}

/// The events of what another writer did. A value that cannot be read takes its key out of `map` and into `corrupt`.
pub(super) fn of_changes(
    changes: &[Change],
    map: &Map,
    envelope: &Envelope,
    extract: &Extract,
    corrupt: &mut BTreeMap<Key, Corrupt>,
) -> Vec<Arc<Event>> {
    let mut events = Vec::new();
    for change in changes {
        let previous = map.get(&change.key).cloned();
        corrupt.remove(&change.key);
        let entry = match &change.row {
            None => None,
            Some(row) => match envelope.open(&change.key, &row.sealed) {
                Unsealed::Value(value) => {
                    let revisions = (row.create_revision, row.mod_revision);
                    Some(Entry::new(change.key.clone(), value, revisions, None, extract))
                }
                unreadable => {
                    let reason = unreadable.reason();
                    tracing::error!(key = %change.key, reason, "a stored value cannot be read; it is left as it is");
                    corrupt.insert(change.key.clone(), Corrupt { reason, mod_revision: row.mod_revision });
                    None
                }
            },
        };
        match (previous, entry) {
            (previous, Some(entry)) => events.push(Event::put(previous, entry)),
            (Some(previous), None) => {
                let last = change.last.as_ref().and_then(|sealed| match envelope.open(&change.key, sealed) {
                    Unsealed::Value(value) => {
                        let revisions = (previous.create_revision, change.revision);
                        Some(Entry::new(change.key.clone(), value, revisions, None, extract))
                    }
                    _ => None,
                });
                events.push(deletion(previous, last, change.revision, extract));
            }
            (None, None) => {}
        }
    }
    events
}
