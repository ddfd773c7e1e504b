//! Probes of containers: startup, readiness, liveness; by HTTP, TCP, gRPC, or a command. Behaviour as upstream's
//! `pkg/kubelet/prober` and `pkg/probe`.
//!
//! Pure core: [`Tracker`], which counts results against thresholds. It must not know what a result leads to.

mod exec;
mod grpc;
pub mod http;
mod port;
mod run;
mod tcp;
mod tracker;

pub use exec::{Exec, ExecAnswer, ExecFailure, OUTPUT_BYTES_MAX};
pub use run::{METRICS, Prober, Running, Told, grace, values};
pub use tracker::{Next, Tracker};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, Probe};
use std::fmt;
use std::sync::Arc;

/// Which of a container's probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Whether the container has started; the others wait for it.
    Startup,
    /// Whether it can serve.
    Readiness,
    /// Whether it must be restarted.
    Liveness,
}

impl Kind {
    /// The probe of a container.
    #[must_use]
    pub fn of(self, container: &Container) -> Option<&Probe> {
        match self {
            Kind::Startup => container.startup_probe.as_ref(),
            Kind::Readiness => container.readiness_probe.as_ref(),
            Kind::Liveness => container.liveness_probe.as_ref(),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Startup => "Startup",
            Kind::Readiness => "Readiness",
            Kind::Liveness => "Liveness",
        })
    }
}

/// What one probing came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Success,
    /// Well, but worth telling.
    Warning(String),
    /// Not well, and why.
    Failure(String),
    /// It could not be asked at all; thrown away after being told.
    Error(String),
}

/// A running container that is to be probed.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Its pod, for events and the seconds of grace.
    pub pod: Arc<Pod>,
    /// The container as the spec has it.
    pub container: Container,
    /// The runtime's id of this very run of it.
    pub container_id: String,
    /// The pod's first address.
    pub pod_ip: String,
    /// When the container started.
    pub started_at: Timestamp,
    /// Whether it has passed its startup probe already (or has none): what was known before a restart of the node's
    /// program.
    pub started: bool,
    /// Whether it was running before this program: results stay as they were then until a probe says otherwise.
    pub adopted: bool,
}
