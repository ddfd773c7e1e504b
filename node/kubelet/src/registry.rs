//! The pods of this node as their workers see them now: who asks gets an answer from memory.
//!
//! Its writers are the workers, each for its own pod. It must not know the engine.

use crate::observed::Observed;
use k8s_openapi::api::core::v1::Pod;
use std::collections::{BTreeMap, BTreeSet};
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
    /// Pods whose status the API server has from this kubelet; nobody's any more once all of the start were told.
    told: Mutex<Option<BTreeSet<String>>>,
    changes: watch::Sender<u64>,
}

impl Default for Registry {
    fn default() -> Registry {
        Registry { pods: Mutex::default(), told: Mutex::new(Some(BTreeSet::new())), changes: watch::Sender::new(0) }
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
        // One that is gone has nothing left to be told.
        self.told(uid);
    }

    /// The API server has this pod's status from us.
    pub fn told(&self, uid: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.as_mut().is_some_and(|told| told.insert(uid.to_owned())) {
            drop(told);
            self.touch();
        }
    }

    /// Waits until the API server has had word of all these pods.
    pub async fn all_told(&self, uids: &[String]) {
        let mut changes = self.changes();
        loop {
            let all = {
                let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
                told.as_ref().is_none_or(|told| uids.iter().all(|uid| told.contains(uid)))
            };
            // The sender lives as long as this.
            if all || changes.changed().await.is_err() {
                *self.told.lock().unwrap_or_else(PoisonError::into_inner) = None;
                return;
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_look_is_over_when_every_pod_was_told_or_is_gone() {
        let registry = Arc::new(Registry::default());
        let uids = ["a".to_owned(), "b".to_owned()];
        let waits = registry.all_told(&uids);
        tokio::pin!(waits);
        registry.told("a");
        assert!(futures_util::poll!(waits.as_mut()).is_pending());
        registry.remove("b");
        waits.await;
        registry.all_told(&["later".to_owned()]).await;
    }
}
