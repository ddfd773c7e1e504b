//! A backend that keeps everything in memory, for tests and for clusters that need not outlive their process.

use super::ledger::Ledger;
use super::{Backend, BackendError, Batch, Change, Loaded, Pending, Verdict};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// Memory as the medium. Clones share it, so a store can be closed and opened again on the same content.
#[derive(Clone, Default)]
pub struct Volatile(Arc<Mutex<Ledger>>);

impl Volatile {
    /// An empty medium.
    pub fn new() -> Volatile {
        Volatile::default()
    }

    fn with<T>(&self, act: impl FnOnce(&mut Ledger) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Backend for Volatile {
    fn load(&mut self) -> Pending<'_, Result<Loaded, BackendError>> {
        Box::pin(async { Ok(self.with(|ledger| ledger.load())) })
    }

    fn commit(&mut self, group: Vec<Batch>) -> Pending<'_, Result<Vec<Verdict>, BackendError>> {
        Box::pin(async move { Ok(self.with(|ledger| group.iter().map(|batch| ledger.commit(batch)).collect())) })
    }

    fn compact(&mut self, revision: u64) -> Pending<'_, Result<(), BackendError>> {
        Box::pin(async move {
            self.with(|ledger| ledger.compact(revision));
            Ok(())
        })
    }

    fn watch(&mut self, _: u64) -> Pending<'_, Result<Option<mpsc::Receiver<Vec<Change>>>, BackendError>> {
        Box::pin(async { Ok(None) })
    }

    fn close(&mut self) -> Pending<'_, ()> {
        Box::pin(async {})
    }
}
