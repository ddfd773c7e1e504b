//! What makes writes durable: the trait that the store stands on, with the semantics of etcd.
//!
//! A backend sees keys, revisions and sealed bytes; it must not know what a value means.

pub mod embedded;
pub mod ledger;
mod rows;
pub mod volatile;

use crate::entry::Key;
use bytes::Bytes;
use std::future::Future;
use std::pin::Pin;
use tokio::sync::mpsc;

/// A boxed future, so that backends can be chosen at run time.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The revision of an empty store. The first write gets the next one, as with etcd, so that 0 can mean "any".
pub const FIRST_REVISION: u64 = 1;

/// One state of one key as the backend keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The key.
    pub key: Key,
    /// The revision at which the key came into being.
    pub create_revision: u64,
    /// The revision of this state.
    pub mod_revision: u64,
    /// The sealed value.
    pub sealed: Bytes,
}

/// One change of one key, as history and foreign writes report it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The revision of the change; the changes of one batch share it.
    pub revision: u64,
    /// The key.
    pub key: Key,
    /// The state before.
    pub previous: Option<Row>,
    /// The state after; `None` for a deletion.
    pub row: Option<Row>,
    /// The sealed final state that a deletion shows to watchers, where it differs from `previous`.
    pub last: Option<Bytes>,
}

/// One compare-and-set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The key.
    pub key: Key,
    /// The `mod_revision` that the key must have; 0 when it must not exist.
    pub expect: u64,
    /// What to do when it has.
    pub action: Action,
}

/// The effect of a [`Write`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Store these sealed bytes.
    Put(Bytes),
    /// Remove the key; `last` is the sealed final state for watchers, where it differs from the stored one.
    Delete {
        /// See [`Change::last`].
        last: Option<Bytes>,
    },
}

/// Writes that happen together or not at all, at one revision. No key comes twice.
pub type Batch = Vec<Write>;

/// What became of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Durable, at this revision.
    Committed(u64),
    /// A comparison failed; nothing of the batch happened.
    Conflict {
        /// The revision of the state that the comparison looked at.
        revision: u64,
    },
}

/// What a backend holds when it is opened.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The revision of the newest change ever committed; at least [`FIRST_REVISION`].
    pub revision: u64,
    /// History is complete after this revision.
    pub oldest: u64,
    /// The newest state, in any order.
    pub rows: Vec<Row>,
    /// The changes after `oldest`, in order of revision.
    pub history: Vec<Change>,
}

/// Why a backend did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// There is no room. Nothing of the group happened; later writes may succeed.
    #[error("no space left: {0}")]
    Full(String),
    /// The medium failed. What became of the group is unknown, and nothing more will be written.
    #[error("{0}")]
    Broken(String),
    /// The data was written by a later version of this program; nothing was touched.
    #[error("the stored data has format {found}, this program knows formats up to {known}; use a newer version")]
    Newer {
        /// The format found.
        found: u64,
        /// The newest format known here.
        known: u64,
    },
}

/// Durable storage behind a [`crate::Store`]. Only the store's writer calls it, one call at a time.
///
/// Revisions come from the backend and are known only after a commit, as with etcd; they grow and never go back, also
/// across restarts and compaction.
pub trait Backend: Send + 'static {
    /// Everything it holds. Called once, first.
    fn load(&mut self) -> Pending<'_, Result<Loaded, BackendError>>;

    /// Commits the batches of `group`, in order, each atomically, and returns a verdict for each. Batches of a group
    /// have no key in common. When it returns `Ok`, all committed batches survive a loss of power.
    fn commit(&mut self, group: Vec<Batch>) -> Pending<'_, Result<Vec<Verdict>, BackendError>>;

    /// Forgets history up to and including `revision`. It may be put off until the next commit.
    fn compact(&mut self, revision: u64) -> Pending<'_, Result<(), BackendError>>;

    /// The changes after `revision` by every writer, this one included, in order and all of a revision together, for a backend that others write to as
    /// well; `None` when this store is the only writer. A stream that ends means that the backend is lost.
    fn watch(&mut self, revision: u64) -> Pending<'_, Result<Option<mpsc::Receiver<Vec<Change>>>, BackendError>>;

    /// Releases the medium, so that it can be opened again at once.
    fn close(&mut self) -> Pending<'_, ()>;
}
