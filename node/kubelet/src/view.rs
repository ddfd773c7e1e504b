//! What the kubelet's own API sees of the pods: the registry's entries in its words.
//!
//! It must not ask the engine: answers come from memory.

use crate::observed::{self, Observed};
use crate::registry::{Entry, Registry};
use crate::server::{Container, Running, Sandbox, State, View};
use crate::{cgroups, config, pod};
use client::Meta;
use k8s_openapi::api::core::v1::Pod;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;

/// The pods of one kubelet.
#[derive(Clone, Debug)]
pub struct Seen {
    registry: Arc<Registry>,
    cgroups: config::Cgroups,
}

impl Seen {
    /// What a registry shows; `cgroups` says where the pods' cgroups are.
    #[must_use]
    pub fn new(registry: Arc<Registry>, cgroups: config::Cgroups) -> Seen {
        Seen { registry, cgroups }
    }

    fn cgroup(&self, pod: &Pod) -> Option<PathBuf> {
        let config::Cgroups::Below(mount) = &self.cgroups else { return None };
        Some(mount.join(cgroups::path(&self.cgroups, pod).trim_start_matches('/')))
    }

    fn running(&self, entry: &Entry) -> Running {
        let sandbox = entry.observed.sandbox().map(|sandbox| Sandbox {
            id: sandbox.id.clone(),
            network: sandbox.network.as_ref().map(PathBuf::from),
            cgroup: self.cgroup(&entry.pod),
        });
        Running { pod: entry.pod.clone(), sandbox, containers: containers(&entry.observed) }
    }
}

fn containers(observed: &Observed) -> Vec<Container> {
    let one = |seen: &observed::Container| Container {
        name: seen.name.clone(),
        id: seen.id.clone(),
        attempt: seen.restarts,
        state: match seen.state {
            observed::State::Created => State::Created,
            observed::State::Running => State::Running,
            observed::State::Exited | observed::State::Unknown => State::Exited,
        },
        log: PathBuf::from(&seen.log),
    };
    observed.containers.iter().map(one).collect()
}

impl View for Seen {
    fn pods(&self) -> Vec<Arc<Pod>> {
        self.registry.all().into_iter().map(|entry| entry.pod).collect()
    }

    fn running(&self, namespace: &str, name: &str) -> Option<Running> {
        let named = |entry: &Entry| entry.pod.namespace() == namespace && entry.pod.name() == name;
        let mut all: Vec<Entry> = self.registry.all().into_iter().filter(named).collect();
        // One that ends may still be here beside the one that took its name.
        all.sort_by_key(|entry| (pod::is_terminal(pod::phase(&entry.pod)), entry.pod.is_deleting()));
        all.first().map(|entry| Seen::running(self, entry))
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.registry.changes()
    }
}
