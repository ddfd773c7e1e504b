//! Runs the probes of one run of a container: one task each, which sleeps from one probing to the next and ends with
//! its handle.
//!
//! It must not know what a result leads to.

use super::exec::{Exec, judge};
use super::tracker::{Next, Tracker, delay, period, timeout};
use super::{Kind, Outcome, Subject, grpc, http, port, tcp};
use crate::env::static_command;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Probe};
use metrics::{Metric, Values};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How often a probe is tried that could not be asked at all, before that is told; upstream's `maxProbeRetries`.
pub const TRIES_MAX: u32 = 3;

/// What comes out of the probes.
#[derive(Clone, Debug)]
pub enum Told {
    /// A result that holds from now on; told when it changes, and first of all what holds before any probing.
    Result {
        /// The pod's uid.
        uid: String,
        /// The container's name.
        container: String,
        /// The runtime's id of this run of it.
        container_id: String,
        /// Which probe.
        kind: Kind,
        /// Startup: started, or to be killed. Readiness: ready or not. Liveness: well, or to be killed.
        ok: bool,
    },
    /// An event about the container (`involvedObject.fieldPath` is `spec.containers{NAME}`), in upstream's words.
    Event {
        /// The pod.
        pod: Arc<Pod>,
        /// The container's name.
        container: String,
        /// `Unhealthy` or `ProbeWarning`; both are of type `Warning`.
        reason: &'static str,
        /// For people.
        message: String,
    },
}

/// Starts probes.
#[derive(Clone)]
pub struct Prober {
    exec: Exec,
    told: mpsc::UnboundedSender<Told>,
    counts: Arc<Values>,
}

static PROBES: Metric = Metric::counter(
    "prober_probe_total",
    &["probe_type", "result", "container", "pod", "namespace", "pod_uid"],
    "Probes of containers, by how they went.",
);

/// What probes count, under upstream's name.
pub static METRICS: metrics::Table = &[&PROBES];

/// No values yet.
#[must_use]
pub fn values() -> Values {
    Values::new(&[METRICS])
}

/// The probes of one run of a container; dropping it stops them.
pub struct Running {
    killing: CancellationToken,
    started: watch::Sender<bool>,
    _stop: DropGuard,
}

impl Running {
    /// The pod is going: readiness is probed on, nothing else, so that nobody kills what is ending by itself.
    pub fn terminating(&self) {
        self.killing.cancel();
    }

    /// Whether the container has passed its startup probe, or had none.
    #[must_use]
    pub fn started(&self) -> bool {
        *self.started.borrow()
    }
}

impl Prober {
    /// Probes that run commands by `exec` and tell of what they find. The channel has no limit of its own: there is at
    /// most one message in flight for each probe and probing.
    #[must_use]
    pub fn new(exec: Exec, told: mpsc::UnboundedSender<Told>) -> Prober {
        Prober { exec, told, counts: Arc::new(values()) }
    }

    /// The same, counting there.
    #[must_use]
    pub fn counting(self, counts: Arc<Values>) -> Prober {
        Prober { counts, ..self }
    }

    /// Probes a container until the handle is dropped. Must be called within a tokio runtime; `now` is the time of day.
    #[must_use]
    pub fn start(&self, subject: Subject, now: Timestamp) -> Running {
        let stop = CancellationToken::new();
        let killing = stop.child_token();
        let started = watch::Sender::new(subject.started || subject.container.startup_probe.is_none());
        let age = Duration::try_from(now.duration_since(subject.started_at)).unwrap_or(Duration::ZERO);
        let subject = Arc::new(subject);
        for kind in [Kind::Startup, Kind::Readiness, Kind::Liveness] {
            let Some(probe) = kind.of(&subject.container) else { continue };
            if kind == Kind::Startup && *started.borrow() {
                continue;
            }
            let one = One {
                kind,
                probe: probe.clone(),
                subject: subject.clone(),
                prober: self.clone(),
                started: started.clone(),
                first: Instant::now() + delay(probe).saturating_sub(age),
            };
            let ends = if kind == Kind::Readiness { stop.clone() } else { killing.clone() };
            tokio::spawn(async move {
                tokio::select! {
                    biased;
                    () = ends.cancelled() => (),
                    () = one.run() => (),
                }
            });
        }
        Running { killing, started, _stop: stop.drop_guard() }
    }
}

/// One probe of one run of a container.
struct One {
    kind: Kind,
    probe: Probe,
    subject: Arc<Subject>,
    prober: Prober,
    started: watch::Sender<bool>,
    first: Instant,
}

impl One {
    async fn run(self) {
        let mut known = None;
        if let Some(ok) = Tracker::initial(self.kind).filter(|_| !self.subject.adopted) {
            known = Some(ok);
            self.tell(ok);
        }
        if self.kind != Kind::Startup {
            let mut started = self.started.subscribe();
            // The sender lives in self, so the channel cannot close meanwhile.
            let _ = started.wait_for(|yes| *yes).await;
        }
        let mut tracker = Tracker::new(self.kind, &self.probe);
        // A container that started long ago is probed at once; one that has just passed its startup probe too.
        let mut ticks = tokio::time::interval_at(self.first.max(Instant::now()), period(&self.probe));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let Some(ok) = self.ask().await else { continue };
            let (ok, ends) = match tracker.take(ok) {
                Next::Unchanged => continue,
                Next::Is(ok) => (ok, false),
                Next::Final(ok) => (ok, true),
            };
            if self.kind == Kind::Startup && ok {
                self.started.send_replace(true);
            }
            if known != Some(ok) {
                known = Some(ok);
                self.tell(ok);
            }
            if ends {
                return;
            }
        }
    }

    fn tell(&self, ok: bool) {
        let subject = &self.subject;
        let told = Told::Result {
            uid: subject.pod.metadata.uid.clone().unwrap_or_default(),
            container: subject.container.name.clone(),
            container_id: subject.container_id.clone(),
            kind: self.kind,
            ok,
        };
        self.send(told);
    }

    fn event(&self, reason: &'static str, message: String) {
        let (pod, container) = (self.subject.pod.clone(), self.subject.container.name.clone());
        self.send(Told::Event { pod, container, reason, message });
    }

    fn send(&self, told: Told) {
        if self.prober.told.send(told).is_err() {
            tracing::debug!("nobody listens to the probes any more");
        }
    }

    /// One probing, with its events; none when it could not be asked.
    async fn ask(&self) -> Option<bool> {
        let mut outcome = self.once().await;
        for _ in 1..TRIES_MAX {
            if !matches!(outcome, Outcome::Error(_)) {
                break;
            }
            outcome = self.once().await;
        }
        let kind = self.kind;
        let result = match &outcome {
            Outcome::Success | Outcome::Warning(_) => "successful",
            Outcome::Failure(_) => "failed",
            Outcome::Error(_) => "unknown",
        };
        let meta = &self.subject.pod.metadata;
        let [name, namespace, uid] =
            [&meta.name, &meta.namespace, &meta.uid].map(|text| text.as_deref().unwrap_or_default());
        let probe_type = kind.to_string();
        let labels = [probe_type.as_str(), result, &self.subject.container.name, name, namespace, uid];
        self.prober.counts.count(&PROBES, &labels);
        match outcome {
            Outcome::Success => Some(true),
            Outcome::Warning(text) => {
                self.event("ProbeWarning", format!("{kind} probe warning: {text}"));
                Some(true)
            }
            Outcome::Failure(text) => {
                self.event("Unhealthy", format!("{kind} probe failed: {text}"));
                Some(false)
            }
            Outcome::Error(text) => {
                self.event("Unhealthy", format!("{kind} probe errored and resulted in unknown state: {text}"));
                None
            }
        }
    }

    async fn once(&self) -> Outcome {
        let (probe, container, ip) = (&self.probe, &self.subject.container, self.subject.pod_ip.as_str());
        let wait = timeout(probe);
        if let Some(action) = &probe.exec {
            let command = static_command(action.command.as_deref().unwrap_or_default(), container);
            return judge((self.prober.exec)(self.subject.container_id.clone(), command, wait).await);
        }
        if let Some(action) = &probe.http_get {
            return http::probe(action, container, ip, wait).await;
        }
        if let Some(action) = &probe.tcp_socket {
            let host = action.host.as_deref().filter(|h| !h.is_empty()).unwrap_or(ip);
            return match port::resolve(&action.port, container) {
                Ok(number) => tcp::probe(host, number, wait).await,
                Err(text) => Outcome::Error(text),
            };
        }
        if let Some(action) = &probe.grpc {
            let service = action.service.as_deref().unwrap_or_default();
            return match u16::try_from(action.port) {
                Ok(number) => grpc::probe(ip, number, service, wait).await,
                Err(_) => Outcome::Error(format!("invalid port number: {}", action.port)),
            };
        }
        Outcome::Error(format!("missing probe handler for container {}", container.name))
    }
}

/// The grace that a container killed by this probe has: the probe's own, or the pod's. Seconds.
#[must_use]
pub fn grace(pod: &Pod, probe: Option<&Probe>) -> Option<i64> {
    let own = probe.and_then(|p| p.termination_grace_period_seconds);
    own.or_else(|| pod.spec.as_ref().and_then(|s| s.termination_grace_period_seconds))
}

#[cfg(test)]
mod tests;
