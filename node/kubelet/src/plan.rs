//! What to do next for one pod: pure, from what is wanted, what runs, what is remembered, and the time. Semantics as
//! upstream's `computePodActions` (`pkg/kubelet/kuberuntime`), one stage at a time: after each the pod is observed anew.
//!
//! It must not know how anything is done.

mod init;
#[cfg(test)]
mod tests;

use crate::memory::{Memory, Waiting};
use crate::observed::{Container as Seen, Observed, State};
use crate::pod::{self, Sort};
use crate::restart;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};

/// Why a container is ended while its pod goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its name or image changed.
    Changed,
    /// It failed its liveness probe.
    Liveness,
    /// It failed its startup probe.
    Startup,
    /// The engine lost track of it.
    Unknown,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// End all containers and all sandboxes; the pod itself goes on or is over.
    StopAll,
    /// Remove ended containers, so that they run again in the next sandbox.
    Remove(Vec<String>),
    /// Make a sandbox.
    CreateSandbox {
        /// How many were before.
        attempt: u32,
    },
    /// End one container.
    Kill {
        /// By the engine's name.
        id: String,
        /// By its name in the pod.
        name: String,
        /// For people.
        message: String,
        /// The cause.
        why: Why,
    },
    /// Make and start a container.
    Start {
        /// Its name.
        name: String,
        /// When the attempt before it ended.
        ended: Option<Timestamp>,
    },
    /// Nothing yet: tell why, and look again then.
    Wait {
        /// The container.
        name: String,
        /// What its status says.
        waiting: Waiting,
    },
    /// Nothing at all yet: look again then.
    Hold {
        /// When.
        until: Timestamp,
    },
}

/// Whether a new sandbox is needed, and how many were before it.
#[must_use]
pub fn sandbox_wanted(pod: &Pod, observed: &Observed) -> Option<u32> {
    let Some(newest) = observed.sandboxes.first() else { return Some(0) };
    let several = observed.sandboxes.iter().filter(|s| s.ready).count() > 1;
    let host = pod::on_host_network(pod);
    let unusable = !newest.ready || newest.host_network != host || (!host && newest.ips.is_empty());
    (several || unusable).then_some(newest.attempt + 1)
}

/// The steps for a pod that is to run.
#[must_use]
pub fn plan(pod: &Pod, observed: &Observed, memory: &Memory, now: Timestamp) -> Vec<Action> {
    if let Some(until) = memory.held_until.filter(|until| *until > now) {
        return vec![Action::Hold { until }];
    }
    match sandbox_wanted(pod, observed) {
        Some(attempt) => renew(pod, observed, attempt),
        None => Planner { pod, observed, memory, now, actions: Vec::new() }.run(),
    }
}

/// Whether any main container was ever made.
#[must_use]
pub fn has_begun(pod: &Pod, observed: &Observed) -> bool {
    pod::spec(pod).containers.iter().any(|c| observed.latest(&c.name).is_some())
}

fn renew(pod: &Pod, observed: &Observed, attempt: u32) -> Vec<Action> {
    if !observed.is_still() {
        return vec![Action::StopAll];
    }
    if pod::restart_policy(pod) == "Never" && attempt != 0 && !observed.containers.is_empty() {
        return Vec::new();
    }
    let once = |c: &Container| c.restart_policy.as_deref().unwrap_or(pod::restart_policy(pod)) == "OnFailure";
    let succeeded =
        |c: &Container| observed.latest(&c.name).is_some_and(|seen| seen.state == State::Exited && seen.exit_code == 0);
    let left = pod::spec(pod).containers.iter().any(|c| !(once(c) && succeeded(c)));
    if !left && has_begun(pod, observed) {
        return Vec::new();
    }
    let inits = pod::init_containers(pod);
    let old: Vec<String> =
        observed.containers.iter().filter(|c| inits.iter().any(|i| i.name == c.name)).map(|c| c.id.clone()).collect();
    let mut actions = Vec::new();
    if !old.is_empty() {
        actions.push(Action::Remove(old));
    }
    actions.push(Action::CreateSandbox { attempt });
    actions
}

struct Planner<'a> {
    pod: &'a Pod,
    observed: &'a Observed,
    memory: &'a Memory,
    now: Timestamp,
    actions: Vec<Action>,
}

impl Planner<'_> {
    fn run(mut self) -> Vec<Action> {
        let ephemeral = pod::ephemeral_containers(self.pod);
        for container in &ephemeral {
            if self.observed.latest(&container.name).is_none() {
                self.start(container, Sort::Ephemeral);
            }
        }
        if !self.init() {
            return self.in_order();
        }
        let mut kept = 0;
        for container in &pod::spec(self.pod).containers {
            kept += usize::from(self.main(container));
        }
        if kept == 0 {
            return vec![Action::StopAll];
        }
        self.in_order()
    }

    /// Ends before starts; with an end under way the pod is looked at again before anything is started.
    fn in_order(self) -> Vec<Action> {
        let (kills, rest): (Vec<Action>, Vec<Action>) =
            self.actions.into_iter().partition(|a| matches!(a, Action::Kill { .. } | Action::StopAll));
        if kills.is_empty() { rest } else { kills }
    }

    /// What one main container needs; whether it runs or will.
    fn main(&mut self, container: &Container) -> bool {
        let Some(seen) = self.observed.latest(&container.name) else {
            self.start(container, Sort::Main);
            return true;
        };
        match seen.state {
            State::Running => self.running(container, seen),
            State::Exited => {
                let again = restart::after(self.pod, container, seen.exit_code);
                if again {
                    self.start(container, Sort::Main);
                }
                again
            }
            // Made but never started: what happened in between is lost, so it is made again.
            State::Created => {
                self.start(container, Sort::Main);
                true
            }
            State::Unknown => {
                let message = "Container is in \"unknown\" state, try killing it before restart".to_owned();
                self.kill(seen, message, Why::Unknown);
                true
            }
        }
    }

    fn running(&mut self, container: &Container, seen: &Seen) -> bool {
        let probed = self.memory.probed.get(&seen.id).copied().unwrap_or_default();
        let (what, why) = if seen.hash != pod::hash(container) {
            ("definition changed", Why::Changed)
        } else if probed.liveness == Some(false) {
            ("failed liveness probe", Why::Liveness)
        } else if probed.startup == Some(false) {
            ("failed startup probe", Why::Startup)
        } else {
            return true;
        };
        let again = why == Why::Changed || restart::after_failure(self.pod, container);
        let rest = if again { ", will be restarted" } else { "" };
        self.kill(seen, format!("Container {} {what}{rest}", container.name), why);
        // The others decide whether the pod is over, once this one has ended.
        true
    }

    fn kill(&mut self, seen: &Seen, message: String, why: Why) {
        self.actions.push(Action::Kill { id: seen.id.clone(), name: seen.name.clone(), message, why });
    }

    /// Starts a container now or says what it waits for.
    fn start(&mut self, container: &Container, sort: Sort) {
        let name = container.name.clone();
        if let Some(waiting) = self.memory.waiting.get(&name).filter(|w| w.until > self.now) {
            self.actions.push(Action::Wait { name, waiting: later(container, waiting) });
            return;
        }
        let ended = self.ended(&container.name);
        if sort != Sort::Ephemeral
            && let Some(ended) = ended
            && let Some((until, wait)) = self.memory.backoffs.until(&name, ended, self.now)
        {
            let message = format!(
                "back-off {} restarting failed container={name} pod={}",
                go_duration(wait.as_secs()),
                pod::full_name(self.pod)
            );
            let waiting = Waiting { reason: "CrashLoopBackOff".to_owned(), message, until };
            self.actions.push(Action::Wait { name, waiting });
            return;
        }
        self.actions.push(Action::Start { name, ended });
    }

    /// When the attempt ended that the restart must wait for. One that we ended ourselves does not count, but the one
    /// before it does: upstream looks at what had ended before it killed.
    fn ended(&self, name: &str) -> Option<Timestamp> {
        let mut attempts = self.observed.attempts(name).filter(|c| c.state == State::Exited);
        let latest = attempts.next()?;
        let counted = if self.memory.killed.contains(&latest.id) { attempts.next()? } else { latest };
        Some(counted.finished.unwrap_or(self.now))
    }
}

/// A failed pull becomes a back-off once it has been told.
fn later(container: &Container, waiting: &Waiting) -> Waiting {
    if waiting.reason != "ErrImagePull" {
        return waiting.clone();
    }
    let image = container.image.as_deref().unwrap_or_default();
    let message = format!("Back-off pulling image \"{image}\": ErrImagePull: {}", waiting.message);
    Waiting { reason: "ImagePullBackOff".to_owned(), message, until: waiting.until }
}

/// Seconds as Go writes a duration: `10s`, `1m20s`, `5m0s`.
#[must_use]
pub fn go_duration(seconds: i64) -> String {
    if seconds < 60 { format!("{seconds}s") } else { format!("{}m{}s", seconds / 60, seconds % 60) }
}
