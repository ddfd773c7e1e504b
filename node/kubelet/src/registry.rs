//! The pods of this node as their workers see them now: who asks gets an answer from memory.
//!
//! Its writers are the workers, each for its own pod. It must not know the engine.

use crate::observed::Observed;
use k8s_openapi::api::core::v1::Pod;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// One pod.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The pod with the status that we know, which may be ahead of the API server's.
    pub pod: Arc<Pod>,
    /// What runs of it.
    pub observed: Arc<Observed>,
}

/// All pods by uid.
#[derive(Debug)]
pub struct Registry {
    pods: Mutex<BTreeMap<String, Entry>>,
    changes: watch::Sender<u64>,
}

impl Default for Registry {
    fn default() -> Registry {
        Registry { pods: Mutex::default(), changes: watch::Sender::new(0) }
    }
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a pod in, or in the place of what was known of it.
    pub fn put(&self, uid: &str, entry: Entry) {
        self.lock().insert(uid.to_owned(), entry);
        self.touch();
    }

    /// Forgets a pod.
    pub fn remove(&self, uid: &str) {
        self.lock().remove(uid);
        self.touch();
    }

    /// Says that something changed that is not kept here, a log file for example.
    pub fn touch(&self) {
        self.changes.send_modify(|number| *number = number.wrapping_add(1));
    }

    /// All pods.
    #[must_use]
    pub fn all(&self) -> Vec<Entry> {
        self.lock().values().cloned().collect()
    }

    /// One pod.
    #[must_use]
    pub fn get(&self, uid: &str) -> Option<Entry> {
        self.lock().get(uid).cloned()
    }

    /// Changes with every change.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
