//! The consistent state at one revision, and pages of it. Cheap to take and to keep: it shares everything unchanged.

use crate::entry::{Entry, Key};
use rpds::RedBlackTreeMapSync;
use std::ops::Bound;
use std::sync::Arc;

/// The ordered map; persistent, so that a clone costs nothing and a change copies one path.
pub(crate) type Map = RedBlackTreeMapSync<Key, Arc<Entry>>;

/// Everything as it was at one revision.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The revision.
    pub revision: u64,
    pub(crate) map: Map,
}

/// A piece of a range.
#[derive(Clone, Debug)]
pub struct Page {
    /// The revision at which the entries stood.
    pub revision: u64,
    /// The entries, in order of their keys.
    pub entries: Vec<Arc<Entry>>,
    /// Entries of the range beyond this page; the next page starts after the last key of this one.
    pub remaining: usize,
}

impl Snapshot {
    /// The entry of `key`.
    pub fn get(&self, key: &str) -> Option<&Arc<Entry>> {
        self.map.get(key)
    }

    /// The entries whose keys start with `prefix`, in order; with `after`, only those beyond that key.
    pub fn iter<'a>(&'a self, prefix: &'a str, after: Option<&'a str>) -> impl Iterator<Item = &'a Arc<Entry>> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        self.map
            .range::<str, _>((start, Bound::Unbounded))
            .take_while(move |(key, _)| key.starts_with(prefix))
            .map(|(_, entry)| entry)
    }

    /// At most `limit` entries whose keys start with `prefix` and lie beyond `after`; 0 means all.
    pub fn range(&self, prefix: &str, after: Option<&str>, limit: usize) -> Page {
        let mut rest = self.iter(prefix, after);
        let limit = if limit == 0 { usize::MAX } else { limit };
        let entries: Vec<_> = rest.by_ref().take(limit).cloned().collect();
        let remaining = rest.count();
        Page { revision: self.revision, entries, remaining }
    }

    /// How many keys start with `prefix`.
    pub fn count(&self, prefix: &str) -> usize {
        self.iter(prefix, None).count()
    }
}
