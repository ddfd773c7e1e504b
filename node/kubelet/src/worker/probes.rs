//! Starts and stops the probes of a pod's containers, and keeps what they say.

use super::Worker;
use crate::inbox::Verdict;
use crate::memory::Memory;
use crate::observed::{Container as Seen, State};
use crate::pod;
use crate::probe::{Kind, Subject};
use client::Meta;
use k8s_openapi::api::core::v1::Container;

/// Keeps one verdict.
pub(super) fn note(memory: &mut Memory, verdict: &Verdict) {
    let probed = memory.probed.entry(verdict.container_id.clone()).or_default();
    let slot = match verdict.kind {
        Kind::Startup => &mut probed.startup,
        Kind::Readiness => &mut probed.readiness,
        Kind::Liveness => &mut probed.liveness,
    };
    *slot = Some(verdict.ok);
}

fn has_probes(container: &Container) -> bool {
    [Kind::Startup, Kind::Readiness, Kind::Liveness].into_iter().any(|kind| kind.of(container).is_some())
}

impl Worker {
    /// Probes what runs and wants it, and nothing else.
    pub(super) fn probe(&mut self) {
        let observed = self.observed.clone();
        let running = |id: &str| observed.containers.iter().any(|c| c.id == id && c.state == State::Running);
        self.probes.retain(|id, _| running(id));
        self.memory.probed.retain(|id, _| observed.containers.iter().any(|c| c.id == *id));
        self.memory.killed.retain(|id| observed.containers.iter().any(|c| c.id == *id));
        if self.pod.is_deleting() || self.verdict.is_some() {
            return;
        }
        let sidecars = pod::init_containers(&self.pod).iter().filter(|c| pod::is_sidecar(c));
        let wanted: Vec<Container> =
            sidecars.chain(&pod::spec(&self.pod).containers).filter(|c| has_probes(c)).cloned().collect();
        for container in wanted {
            let seen = observed.latest(&container.name).filter(|seen| seen.state == State::Running);
            if let Some(seen) = seen.filter(|seen| !self.probes.contains_key(&seen.id)) {
                let subject = self.subject(container, seen);
                let running = self.ctx.prober.start(subject, self.ctx.now());
                self.probes.insert(seen.id.clone(), running);
            }
        }
    }

    fn subject(&self, container: Container, seen: &Seen) -> Subject {
        let facts = crate::act::facts(&self.ctx, &self.pod, &self.observed);
        let started_at = seen.started.unwrap_or_else(|| self.ctx.now());
        let id = format!("{}://{}", self.ctx.machine.runtime, seen.id);
        let lists = [&self.told.init_container_statuses, &self.told.container_statuses];
        let told = lists.into_iter().flat_map(|list| list.iter().flatten()).find(|s| s.name == container.name);
        let told = told.filter(|told| told.container_id.as_deref() == Some(&id));
        let known = self.memory.probed.get(&seen.id).and_then(|probed| probed.startup);
        Subject {
            pod: self.pod.clone(),
            started: container.startup_probe.is_none()
                || known == Some(true)
                || told.is_some_and(|told| told.started == Some(true)),
            adopted: started_at < self.ctx.since,
            container,
            container_id: seen.id.clone(),
            pod_ip: facts.pod_ips.first().cloned().unwrap_or_default(),
            started_at,
        }
    }
}
