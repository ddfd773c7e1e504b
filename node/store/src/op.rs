//! Writes as callers ask for them, and the pure check of their preconditions against a state.

use crate::backend::{Action, Batch, Write};
use crate::entry::{Entry, Extra, Key, Value, cost};
use crate::envelope::Envelope;
use crate::snapshot::Map;
use std::sync::Arc;

/// Bytes in a key. Kubernetes' longest (group, resource, namespace, name) stay below 1 KiB.
pub const KEY_BYTES_MAX: usize = 4096;
/// Bytes in a value. The API server refuses bodies of more than 3 MiB; defaulting may add to them.
pub const VALUE_BYTES_MAX: usize = 8 << 20;
/// Operations in one commit; etcd's default, so that no caller grows to depend on more.
pub const OPS_MAX: usize = 128;

/// One operation of a commit.
#[derive(Clone)]
pub enum Op {
    /// Store a key that must not exist.
    Create {
        /// The key.
        key: Key,
        /// Its value.
        value: Value,
        /// What the caller derived from the value, if it has it at hand.
        extra: Option<Extra>,
    },
    /// Replace the value of a key.
    Update {
        /// The key.
        key: Key,
        /// Its new value.
        value: Value,
        /// What the caller derived from the value, if it has it at hand.
        extra: Option<Extra>,
        /// The revision that the present state must have.
        expect_mod_revision: u64,
    },
    /// Remove a key.
    Delete {
        /// The key.
        key: Key,
        /// The revision that the present state must have; `None` for any.
        expect_mod_revision: Option<u64>,
        /// The final state to show to watchers, where it differs from the stored one.
        last: Option<Value>,
    },
}

impl Op {
    /// The key it writes.
    pub fn key(&self) -> &Key {
        match self {
            Op::Create { key, .. } | Op::Update { key, .. } | Op::Delete { key, .. } => key,
        }
    }

    /// The value it brings.
    fn value(&self) -> Option<&Value> {
        match self {
            Op::Create { value, .. } | Op::Update { value, .. } => Some(value),
            Op::Delete { last, .. } => last.as_ref(),
        }
    }
}

/// A successful commit.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The revision of all its changes; for a commit without operations, the revision of the store.
    pub revision: u64,
    /// The new entry of each operation, in order; for a deletion the final state, with the revision of the deletion.
    pub entries: Vec<Arc<Entry>>,
}

/// Why nothing of a commit happened.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommitError {
    /// The key has another revision than expected.
    #[error("{key} has changed")]
    Conflict {
        /// The key.
        key: Key,
        /// Its present state.
        current: Option<Arc<Entry>>,
    },
    /// The key to create exists.
    #[error("{key} exists")]
    AlreadyExists {
        /// The key.
        key: Key,
        /// Its present state.
        current: Arc<Entry>,
    },
    /// The key to update or delete does not exist.
    #[error("{key} does not exist")]
    NotFound {
        /// The key.
        key: Key,
    },
    /// The stored value of the key is damaged; it is kept as it is.
    #[error("the stored value of {key} is damaged and was left as it is: {reason}")]
    Corrupt {
        /// The key.
        key: Key,
        /// How it is damaged.
        reason: &'static str,
    },
    /// The operations make no sense: a key twice, too many, too large.
    #[error("{0}")]
    Invalid(String),
    /// A limit of the store or the disk is reached; deleting something may help.
    #[error("the store is full: {0}")]
    Full(String),
    /// The backend failed. Reads go on; whether this write survives a restart is unknown.
    #[error("the store cannot write: {0}")]
    Backend(String),
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

/// Refuses operations that no state could accept.
pub(crate) fn validate(ops: &[Op]) -> Result<(), CommitError> {
    let invalid = |why: String| Err(CommitError::Invalid(why));
    if ops.len() > OPS_MAX {
        return invalid(format!("{} operations in one commit, at most {OPS_MAX}", ops.len()));
    }
    for (index, op) in ops.iter().enumerate() {
        let key = op.key();
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return invalid(format!("a key of {} bytes, allowed are 1 to {KEY_BYTES_MAX}", key.len()));
        }
        if ops[..index].iter().any(|earlier| earlier.key() == key) {
            return invalid(format!("{key} comes twice in one commit"));
        }
        let Some(value) = op.value() else { continue };
        if value.bytes.len() > VALUE_BYTES_MAX {
            return invalid(format!("{key} has {} bytes, at most {VALUE_BYTES_MAX}", value.bytes.len()));
        }
        if value.splice as usize > value.bytes.len() {
            return invalid(format!("{key} splices at {} of {} bytes", value.splice, value.bytes.len()));
        }
    }
    Ok(())
}

/// The `mod_revision` that `op` wants in `map`, 0 for absence.
fn expected(op: &Op, map: &Map) -> Result<u64, CommitError> {
    let key = op.key().clone();
    match (op, map.get(op.key())) {
        (Op::Create { .. }, None) => Ok(0),
        (Op::Create { .. }, Some(current)) => Err(CommitError::AlreadyExists { key, current: current.clone() }),
        (_, None) => Err(CommitError::NotFound { key }),
        (Op::Delete { expect_mod_revision: None, .. }, Some(current)) => Ok(current.mod_revision),
        (
            Op::Update { expect_mod_revision: wanted, .. } | Op::Delete { expect_mod_revision: Some(wanted), .. },
            Some(current),
        ) if *wanted == current.mod_revision => Ok(*wanted),
        (_, Some(current)) => Err(CommitError::Conflict { key, current: Some(current.clone()) }),
    }
}

/// Checks the preconditions of `ops` against `map` and makes the batch for the backend.
pub(crate) fn prepare(ops: &[Op], map: &Map, envelope: &Envelope) -> Result<Batch, CommitError> {
    let expects = ops.iter().map(|op| expected(op, map)).collect::<Result<Vec<_>, _>>()?;
    let seal = |key: &Key, value: &Value| envelope.seal(key, value).map_err(CommitError::Backend);
    std::iter::zip(ops, expects)
        .map(|(op, expect)| {
            let action = match op {
                Op::Create { key, value, .. } | Op::Update { key, value, .. } => Action::Put(seal(key, value)?),
                Op::Delete { key, last, .. } => {
                    Action::Delete { last: last.as_ref().map(|last| seal(key, last)).transpose()? }
                }
            };
            Ok(Write { key: op.key().clone(), expect, action })
        })
        .collect()
}

/// By how many bytes `ops` grow the newest state, at most; deletions count nothing.
pub(crate) fn growth(ops: &[Op], map: &Map) -> u64 {
    let grown = |op: &Op| match op {
        Op::Create { key, value, .. } | Op::Update { key, value, .. } => {
            let before = map.get(key).map_or(0, |entry| entry.cost());
            cost(key, value).saturating_sub(before)
        }
        Op::Delete { .. } => 0,
    };
    ops.iter().map(grown).sum()
}
