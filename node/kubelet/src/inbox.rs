//! What a worker is to look at: the newest pod, whether it is gone, and what its probes say. Any number of wakes are one.
//!
//! It must not know what a worker does.

use crate::probe::Kind;
use k8s_openapi::api::core::v1::Pod;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// One verdict of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The container, by the engine's id.
    pub container_id: String,
    /// Which probe.
    pub kind: Kind,
    /// What it says.
    pub ok: bool,
}

#[derive(Debug, Default)]
struct Letters {
    pod: Option<Arc<Pod>>,
    gone: bool,
    objects: bool,
    verdicts: Vec<Verdict>,
}

/// What came since the worker looked last.
#[derive(Debug, Default)]
pub struct Taken {
    /// The newest pod, if it changed.
    pub pod: Option<Arc<Pod>>,
    /// Whether the API server has it no more.
    pub gone: bool,
    /// Whether a ConfigMap or Secret of it changed.
    pub objects: bool,
    /// Probes' verdicts, the oldest first.
    pub verdicts: Vec<Verdict>,
}

/// One worker's inbox.
#[derive(Debug, Default)]
pub struct Inbox {
    letters: Mutex<Letters>,
    wake: Notify,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Letters> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pod is now this.
    pub fn pod(&self, pod: Arc<Pod>) {
        self.lock().pod = Some(pod);
        self.wake.notify_one();
    }

    /// The API server has it no more.
    pub fn gone(&self) {
        self.lock().gone = true;
        self.wake.notify_one();
    }

    /// Something that it refers to changed.
    pub fn objects(&self) {
        self.lock().objects = true;
        self.wake.notify_one();
    }

    /// A probe has spoken.
    pub fn verdict(&self, verdict: Verdict) {
        self.lock().verdicts.push(verdict);
        self.wake.notify_one();
    }

    /// Its containers may have changed.
    pub fn look(&self) {
        self.wake.notify_one();
    }

    /// Waits until there is something to look at.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Takes all there is.
    pub fn take(&self) -> Taken {
        let mut letters = self.lock();
        Taken {
            pod: letters.pod.take(),
            gone: letters.gone,
            objects: std::mem::take(&mut letters.objects),
            verdicts: std::mem::take(&mut letters.verdicts),
        }
    }
}
