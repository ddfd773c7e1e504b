//! One pod's worker: observes, tells, plans, acts; again whenever something changes. Everything it needs to go on after
//! a restart is in the API server and the engine, so an adopted pod is just one that is observed for the first time.
//!
//! It must not know other pods.

mod ending;
mod probes;

use crate::act::{self, Outcome, Steps};
use crate::context::Context;
use crate::cri;
use crate::inbox::Inbox;
use crate::memory::Memory;
use crate::observe::{Known, observe};
use crate::observed::Observed;
use crate::plan::{Action, plan};
use crate::registry::{Entry, Registry};
use crate::status::{self, Verdict, phase_of, status};
use crate::{pod, purge, report};
use client::Meta;
use client::backoff::Backoff;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

/// Waits after a sandbox or volume that failed, or after an engine or server that does not answer.
pub const RETRY: Backoff = Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(60) };

/// What is under way beside the worker.
enum Busy {
    /// Steps of a plan.
    Steps(JoinHandle<Outcome>),
    /// The end of the pod, with the grace it was begun with.
    Ending(JoinHandle<cri::Result<()>>, Option<i64>),
}

/// One pod's worker.
pub struct Worker {
    ctx: Arc<Context>,
    registry: Arc<Registry>,
    inbox: Arc<Inbox>,
    pod: Arc<Pod>,
    /// The status that the API server has, as far as we know.
    told: PodStatus,
    memory: Memory,
    known: Known,
    observed: Arc<Observed>,
    probes: HashMap<String, crate::probe::Running>,
    busy: Option<Busy>,
    verdict: Option<Verdict>,
    /// Whether this worker has looked at its pod before.
    adopted: bool,
    /// Whether volumes and cgroup of a pod that is over are gone.
    torn: bool,
    refresh_at: Option<Timestamp>,
    failures: u32,
}

/// What a round leaves to do.
enum Next {
    /// Sleep until something happens, at the latest then.
    Sleep(Option<Timestamp>),
    /// Nothing any more: the pod is gone.
    Leave,
}

impl Worker {
    /// A worker of a pod that the node has taken, or turned away with a verdict.
    #[must_use]
    pub fn new(
        ctx: Arc<Context>,
        registry: Arc<Registry>,
        inbox: Arc<Inbox>,
        pod: Arc<Pod>,
        verdict: Option<Verdict>,
    ) -> Worker {
        Worker {
            told: pod.status.clone().unwrap_or_default(),
            ctx,
            registry,
            inbox,
            pod,
            memory: Memory::default(),
            known: Known::default(),
            observed: Arc::default(),
            probes: HashMap::new(),
            busy: None,
            verdict,
            adopted: false,
            torn: false,
            refresh_at: None,
            failures: 0,
        }
    }

    /// Works until the pod is gone or the kubelet stops, which leaves the containers alone.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let until = match self.round().await {
                Ok(Next::Leave) => return,
                Ok(Next::Sleep(until)) => {
                    self.failures = 0;
                    until
                }
                Err(error) => {
                    self.failures += 1;
                    tracing::warn!(pod = pod::full_name(&self.pod), %error, failures = self.failures, "a look at a pod failed");
                    self.after(RETRY.after(self.failures))
                }
            };
            let now = self.ctx.now();
            let wait = until.map(|until| Duration::try_from(until.duration_since(now)).unwrap_or(Duration::ZERO));
            let finished = tokio::select! {
                () = stop.cancelled() => return,
                () = self.inbox.woken() => None,
                finished = finish(self.busy.as_mut()) => Some(finished),
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => None,
            };
            if let Some(finished) = finished {
                self.absorb(finished);
            }
        }
    }

    fn after(&self, wait: Duration) -> Option<Timestamp> {
        let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
        Some(self.ctx.now().saturating_add(wait).unwrap_or(Timestamp::MAX))
    }

    /// Remembers what a finished task has brought.
    fn absorb(&mut self, finished: Finished) {
        self.busy = None;
        let name = pod::full_name(&self.pod);
        match finished {
            Finished::Steps(Ok(outcome)) => self.remember(outcome),
            Finished::Ending(Ok(Ok(()))) => (),
            Finished::Ending(Ok(Err(error))) => {
                tracing::warn!(pod = name, %error, "the end of a pod failed");
                self.hold();
            }
            Finished::Steps(Err(error)) | Finished::Ending(Err(error)) => {
                tracing::error!(pod = name, %error, "a task for a pod broke off");
                self.hold();
            }
        }
    }

    fn hold(&mut self) {
        self.memory.failures += 1;
        self.memory.held_until = self.after(RETRY.after(self.memory.failures));
    }

    fn remember(&mut self, outcome: Outcome) {
        let now = self.ctx.now();
        self.memory.killed.extend(outcome.killed);
        for (name, ended) in outcome.started {
            self.memory.waiting.remove(&name);
            self.memory.pulls.clear(&name);
            if let Some(ended) = ended {
                self.memory.backoffs.next(&name, ended, now);
            }
        }
        for (name, waiting) in outcome.waiting {
            if waiting.reason == "ErrImagePull" {
                self.memory.pulls.next(&name, now, now);
            }
            self.memory.waiting.insert(name, waiting);
        }
        self.refresh_at = outcome.refresh_at.or(self.refresh_at);
        if outcome.held {
            self.hold();
        } else {
            self.memory.failures = 0;
            self.memory.held_until = None;
        }
    }

    /// Takes in what came. Whether the pod is gone.
    fn take(&mut self) -> bool {
        let taken = self.inbox.take();
        if let Some(pod) = taken.pod {
            self.ctx.objects.hold(&pod);
            if pod.revision() >= self.pod.revision() {
                self.told = pod.status.clone().unwrap_or_default();
                self.pod = pod;
            }
        }
        for verdict in taken.verdicts {
            probes::note(&mut self.memory, &verdict);
        }
        if taken.objects {
            // What was missing may be there now, and files want the new content.
            self.memory.held_until = None;
            self.memory.waiting.retain(|_, waiting| waiting.reason != "CreateContainerConfigError");
            self.refresh_at = Some(self.ctx.now());
        }
        taken.gone
    }

    async fn round(&mut self) -> anyhow::Result<Next> {
        if self.take() {
            self.abandon();
            purge::pod(&self.ctx, self.pod.uid()).await?;
            self.registry.remove(self.pod.uid());
            return Ok(Next::Leave);
        }
        self.observed = Arc::new(observe(&self.ctx.cri, self.pod.uid(), &mut self.known).await?);
        self.adopt();
        self.deadline();
        self.probe();
        if self.is_ending() {
            return self.end().await;
        }
        self.tell(false).await?;
        purge::tidy(&self.ctx, &self.observed).await;
        self.refresh().await;
        let until = self.step();
        Ok(Next::Sleep([until, self.refresh_at, self.deadline_at()].into_iter().flatten().min()))
    }

    /// Goes on with waits that were begun before our restart.
    fn adopt(&mut self) {
        if std::mem::replace(&mut self.adopted, true) {
            return;
        }
        for container in &self.observed.containers {
            let made = crate::observed::time(container.created_ns).unwrap_or_else(|| self.ctx.now());
            self.memory.backoffs.adopt(&container.name, container.backoff_seconds, made);
        }
    }

    fn deadline_at(&self) -> Option<Timestamp> {
        let seconds = pod::spec(&self.pod).active_deadline_seconds?;
        let started = self.told.start_time.as_ref()?.0;
        started.saturating_add(SignedDuration::from_secs(seconds)).ok()
    }

    fn deadline(&mut self) {
        if self.verdict.is_none() && self.deadline_at().is_some_and(|at| at <= self.ctx.now()) {
            let message = "Pod was active on the node longer than the specified deadline";
            self.ctx.recorder.normal(&*self.pod, "DeadlineExceeded", message);
            let (reason, message) = ("DeadlineExceeded".to_owned(), message.to_owned());
            self.verdict = Some(Verdict { reason, message, at_the_door: false });
        }
    }

    fn input<'a>(&'a self, over: bool) -> status::Input<'a> {
        status::Input {
            pod: &self.pod,
            old: &self.told,
            observed: &self.observed,
            memory: &self.memory,
            host_ips: &self.ctx.config.node_ips,
            runtime: &self.ctx.machine.runtime,
            verdict: self.verdict.as_ref(),
            over,
            now: self.ctx.now(),
        }
    }

    /// Tells the API server, and whoever asks the registry, how the pod is.
    async fn tell(&mut self, over: bool) -> anyhow::Result<()> {
        let new = status(&self.input(over));
        let mut shown = (*self.pod).clone();
        shown.status = Some(new.clone());
        self.registry.put(self.pod.uid(), Entry { pod: Arc::new(shown), observed: self.observed.clone() });
        match report::write(&self.ctx.client, &self.pod, &self.told, &new).await {
            Ok(Some(written)) => {
                self.told = written.status.clone().unwrap_or_default();
                self.pod = Arc::new(written);
            }
            Ok(None) => (),
            // It is gone or another one by now; the informer will say so.
            Err(status) if status.is_not_found() || status.code == 409 => {
                tracing::debug!(pod = pod::full_name(&self.pod), %status, "a status came too late");
            }
            Err(status) => return Err(anyhow::anyhow!("write the status: {status}")),
        }
        self.registry.told(self.pod.uid());
        Ok(())
    }

    /// Brings changed objects into the files of volumes.
    async fn refresh(&mut self) {
        let due = self.refresh_at.is_some_and(|at| at <= self.ctx.now());
        if !due || self.busy.is_some() || self.observed.sandbox().is_none() {
            return;
        }
        let facts = act::facts(&self.ctx, &self.pod, &self.observed);
        match self.ctx.volumes.refresh(&self.pod, &facts).await {
            Ok(next) => self.refresh_at = next,
            Err(failures) => {
                for failure in failures {
                    tracing::warn!(pod = pod::full_name(&self.pod), %failure, "a volume could not be refreshed");
                }
                self.refresh_at = self.after(RETRY.cap);
            }
        }
    }

    /// Plans, and sets off what can be done now. When to look again.
    fn step(&mut self) -> Option<Timestamp> {
        if self.busy.is_some() {
            return None;
        }
        let now = self.ctx.now();
        let actions = plan(&self.pod, &self.observed, &self.memory, now);
        let mut until = None;
        let (mut due, mut news) = (Vec::new(), false);
        for action in actions {
            match action {
                Action::Wait { name, waiting } => {
                    until = [until, Some(waiting.until)].into_iter().flatten().min();
                    news |= self.memory.waiting.insert(name, waiting.clone()) != Some(waiting);
                }
                Action::Hold { until: at } => until = Some(at),
                action => due.push(action),
            }
        }
        if !due.is_empty() {
            let (ctx, pod) = (self.ctx.clone(), self.pod.clone());
            let steps = Steps { ctx, pod, observed: self.observed.clone(), memory: self.memory.clone(), actions: due };
            self.busy = Some(Busy::Steps(tokio::spawn(steps.run())));
        }
        // A new reason to wait is told at once.
        if news { Some(now) } else { until }
    }

    /// Whether the pod is to end: it is deleted, failed, or done.
    fn is_ending(&self) -> bool {
        self.pod.is_deleting()
            || self.verdict.is_some()
            || pod::is_terminal(pod::phase(&self.pod))
            || pod::is_terminal(phase_of(&self.input(false)))
    }
}

/// What a task has brought.
enum Finished {
    Steps(Result<Outcome, JoinError>),
    Ending(Result<cri::Result<()>, JoinError>),
}

/// Waits for the task that is under way, for ever when there is none. May be dropped and called again.
async fn finish(busy: Option<&mut Busy>) -> Finished {
    match busy {
        Some(Busy::Steps(task)) => Finished::Steps(task.await),
        Some(Busy::Ending(task, _)) => Finished::Ending(task.await),
        None => std::future::pending().await,
    }
}
