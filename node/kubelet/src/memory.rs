//! What the kubelet knows of a pod besides the API server and the engine. One worker owns one; it is lost with the
//! process, so nothing here may be needed to be right after a restart, only to be quick.
//!
//! It must not know how any of it is found out.

use crate::restart::Backoffs;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// The last verdict of each probe of one container; `None` before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probed {
    /// Whether it has started.
    pub startup: Option<bool>,
    /// Whether it lives.
    pub liveness: Option<bool>,
    /// Whether it is ready.
    pub readiness: Option<bool>,
}

/// Why a container is not there, as its status says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// `ImagePullBackOff`, `CrashLoopBackOff` and their like.
    pub reason: String,
    /// For people.
    pub message: String,
    /// When it is tried again.
    pub until: Timestamp,
}

/// Everything remembered of one pod.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Waits between restarts, by container.
    pub backoffs: Backoffs,
    /// Waits between pulls, by image.
    pub pulls: Backoffs,
    /// Sandboxes or volumes that failed in a row.
    pub failures: u32,
    /// Why containers are not there, by name.
    pub waiting: BTreeMap<String, Waiting>,
    /// Verdicts of probes, by the engine's id.
    pub probed: BTreeMap<String, Probed>,
    /// Containers that we ended, by the engine's id: their restart does not wait for their own end.
    pub killed: BTreeSet<String>,
    /// When a failed sandbox or volume is tried again.
    pub held_until: Option<Timestamp>,
}
