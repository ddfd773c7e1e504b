//! What every backend means by commit, history and compaction, as a pure value: the model of the others.

use super::{Action, Batch, Change, FIRST_REVISION, Loaded, Row, Verdict, Write};
use crate::entry::Key;
use std::collections::{BTreeMap, VecDeque};

/// Rows and history in memory.
#[derive(Clone, Debug)]
pub struct Ledger {
    revision: u64,
    oldest: u64,
    rows: BTreeMap<Key, Row>,
    history: VecDeque<Change>,
}

impl Default for Ledger {
    fn default() -> Ledger {
        let rows = BTreeMap::new();
        Ledger { revision: FIRST_REVISION, oldest: FIRST_REVISION, rows, history: VecDeque::new() }
    }
}

impl Ledger {
    /// The newest revision.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The changes after `revision`, in order.
    pub fn changes_after(&self, revision: u64) -> impl Iterator<Item = &Change> {
        self.history.iter().filter(move |change| change.revision > revision)
    }

    /// Everything, as [`super::Backend::load`] gives it.
    pub fn load(&self) -> Loaded {
        Loaded {
            revision: self.revision,
            oldest: self.oldest,
            rows: self.rows.values().cloned().collect(),
            history: self.history.iter().cloned().collect(),
        }
    }

    /// Commits one batch if all its comparisons hold.
    pub fn commit(&mut self, batch: &Batch) -> Verdict {
        let holds = |write: &Write| self.rows.get(&write.key).map_or(0, |row| row.mod_revision) == write.expect;
        if !batch.iter().all(holds) {
            return Verdict::Conflict { revision: self.revision };
        }
        self.revision += 1;
        let revision = self.revision;
        for Write { key, action, .. } in batch {
            let previous = self.rows.remove(key);
            let (row, last) = match action {
                Action::Put(sealed) => {
                    let create_revision = previous.as_ref().map_or(revision, |row| row.create_revision);
                    let row = Row { key: key.clone(), create_revision, mod_revision: revision, sealed: sealed.clone() };
                    self.rows.insert(key.clone(), row.clone());
                    (Some(row), None)
                }
                Action::Delete { last } => (None, last.clone()),
            };
            self.history.push_back(Change { revision, key: key.clone(), previous, row, last });
        }
        Verdict::Committed(revision)
    }

    /// Forgets history up to and including `revision`.
    pub fn compact(&mut self, revision: u64) {
        self.oldest = self.oldest.max(revision.min(self.revision));
        let oldest = self.oldest;
        self.history.retain(|change| change.revision > oldest);
    }
}
