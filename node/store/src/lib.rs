//! Revisions, snapshots, the watch log and compaction over an ordered map in memory; a backend makes writes durable.
//!
//! RAM is the database and the backend is its log: every read is served from memory, and a write shows in memory only
//! after the backend has it on disk. Story of one write:
//!
//! ```text
//! Store::commit -> bounded queue -> writer: drain, check against the newest state, seal -> Backend::commit (one fsync
//! for the whole group) -> publish to map, history and watches under one lock -> answer every request
//! ```
//!
//! Pure core: `state` (map and history), `op` (preconditions), `group` (who shares a transaction), `envelope`.
//! Thin shell: `writer` (the only task that changes the state), the backends.
//!
//! It must know neither JSON nor Kubernetes: keys are strings, values are bytes, what a caller wants to look up in a
//! value (labels, fields) it derives itself and keeps in the entry as [`Extra`].

pub mod backend;
mod entry;
mod envelope;
mod group;
mod op;
mod options;
mod snapshot;
mod state;
mod store;
mod watch;
mod writer;

pub use backend::{
    Backend, BackendError,
    embedded::{Embedded, Medium},
    volatile::Volatile,
};
pub use entry::{Entry, Extra, Extract, FORMS_MAX, Forms, Key, Value};
pub use envelope::{Envelope, EnvelopeKey, Unsealed};
pub use op::{CommitError, Committed, KEY_BYTES_MAX, OPS_MAX, Op, VALUE_BYTES_MAX};
pub use options::{Clock, Options};
pub use snapshot::{Page, Snapshot};
pub use state::RevisionError;
pub use store::{Corrupt, OpenError, Store, WaitError};
pub use watch::{Event, WATCH_QUEUE_MAX, Watch, WatchError};
