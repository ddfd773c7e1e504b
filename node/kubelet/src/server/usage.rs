//! What pods and node use: `/stats/summary` for people and `/metrics/resource` for autoscalers; and `/pods`.
//!
//! Pure core: `cgroup` and `detail` read the kernel's texts, `summary`, `metrics` and `cadvisor` write ours.

mod cadvisor;
mod cgroup;
mod detail;
mod metrics;
mod summary;

pub use cadvisor::table as cadvisor_table;
pub use metrics::{OWN, RESOURCE};

use super::Shared;
use super::answer::{self, Answer, Refusal};
use super::view::{Measured, Running, State, View};
use cgroup::Used;
use detail::{Detail, Interface};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use serde_json::json;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Below this time between two looks a rate would be noise.
const RATE_SECONDS_MIN: f64 = 1.0;

/// A container with what it uses.
struct Container {
    name: String,
    image: String,
    started: Option<Timestamp>,
    measured: Measured,
    nano_cores: Option<u64>,
    detail: Option<Detail>,
}

/// A pod with what it uses.
struct PodUsage {
    pod: Arc<Pod>,
    /// The path of its cgroup below the root of all.
    cgroup: Option<String>,
    used: Option<Used>,
    nano_cores: Option<u64>,
    detail: Option<Detail>,
    interfaces: Vec<Interface>,
    containers: Vec<Container>,
}

/// Room on a file system, bytes and inodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Room {
    capacity: u64,
    available: u64,
    used: u64,
    inodes: u64,
    inodes_free: u64,
}

/// Everything at one moment.
struct Usage {
    node: String,
    at: Timestamp,
    used: Used,
    nano_cores: Option<u64>,
    booted: Option<Timestamp>,
    room: Option<Room>,
    interfaces: Vec<Interface>,
    pods: Vec<PodUsage>,
}

/// Rates of CPU use, from one look to the next. What is not looked at any more is forgotten.
#[derive(Default)]
pub struct Rates(Mutex<HashMap<String, Look>>);

#[derive(Clone, Copy)]
struct Look {
    at: Timestamp,
    cpu_ns: u64,
    rate: Option<u64>,
}

impl Rates {
    /// Billionths of a core that each of these used since the last look, by name.
    fn look(&self, at: Timestamp, seen: Vec<(String, u64)>) -> HashMap<String, u64> {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh: HashMap<String, Look> = seen
            .into_iter()
            .map(|(name, cpu_ns)| {
                let look = looks.get(&name).map_or(Look { at, cpu_ns, rate: None }, |last| last.next(at, cpu_ns));
                (name, look)
            })
            .collect();
        *looks = fresh;
        looks.iter().filter_map(|(name, look)| Some((name.clone(), look.rate?))).collect()
    }
}

impl Look {
    fn next(self, at: Timestamp, cpu_ns: u64) -> Look {
        let seconds = at.duration_since(self.at).as_secs_f64();
        if seconds < RATE_SECONDS_MIN {
            return self;
        }
        // A container that was started anew counts from nothing.
        let grown = cpu_ns.checked_sub(self.cpu_ns);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rate"
        )]
        let rate = grown.map(|ns| (ns as f64 / seconds) as u64);
        Look { at, cpu_ns, rate }
    }
}

/// A list of pods.
pub fn pods(pods: &[Arc<Pod>]) -> Answer {
    answer::json(
        &json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods.iter().map(|p| &**p).collect::<Vec<_>>()}),
    )
}

/// The pods of which a container runs.
pub fn running(view: &dyn View) -> Vec<Arc<Pod>> {
    let runs = |running: &Running| running.containers.iter().any(|c| c.state == State::Running);
    all(view).into_iter().filter(runs).map(|running| running.pod).collect()
}

fn all(view: &dyn View) -> Vec<Running> {
    let name =
        |pod: &Pod| (pod.metadata.namespace.clone().unwrap_or_default(), pod.metadata.name.clone().unwrap_or_default());
    view.pods().iter().map(|pod| name(pod)).filter_map(|(namespace, name)| view.running(&namespace, &name)).collect()
}

/// `/stats/summary`.
pub async fn summary(shared: &Shared) -> Result<Answer, Refusal> {
    Ok(answer::json(&summary::of(&gather(shared, Depth::Network).await?)))
}

/// `/metrics/resource`.
pub async fn metrics(shared: &Shared) -> Result<Answer, Refusal> {
    Ok(answer::metrics(metrics::of(&gather(shared, Depth::Plain).await?)))
}

/// `/metrics/cadvisor`.
pub async fn cadvisor(shared: &Shared) -> Result<Answer, Refusal> {
    Ok(answer::metrics(cadvisor::of(&gather(shared, Depth::Detail).await?)))
}

/// `/metrics/probes`.
pub fn probes(shared: &Shared) -> Answer {
    let mut text = ::metrics::Text::default();
    ::metrics::Source::write(&*shared.settings.probes, &mut text);
    answer::metrics(text.into_string())
}

/// `/metrics`: how many pods and containers there are, and what the other parts of the node count.
pub fn own_metrics(shared: &Shared) -> Answer {
    let all = all(&*shared.view);
    let count = |state: State| all.iter().flat_map(|r| &r.containers).filter(|c| c.state == state).count();
    let pods = all.iter().filter(|r| r.sandbox.is_some()).count();
    let containers = [count(State::Created), count(State::Running), count(State::Exited)];
    let mut process = ::metrics::Text::default();
    ::metrics::process(&mut process);
    answer::metrics(
        metrics::own(&shared.settings.node, pods, containers)
            + &process.into_string()
            + &shared.settings.registry.read(),
    )
}

/// How much is read of each pod: metrics.k8s.io asks often and for little.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Depth {
    Plain,
    Network,
    Detail,
}

/// What the kernel says of a pod.
#[derive(Default)]
struct Read {
    used: Option<Used>,
    detail: Option<Detail>,
    interfaces: Vec<Interface>,
    /// Of its containers, by id.
    containers: HashMap<String, Detail>,
}

impl Read {
    fn of(folder: &Path, containers: &[String], own_network: bool, depth: Depth) -> Read {
        let mut read = Read::default();
        if depth >= Depth::Network && own_network {
            read.interfaces = detail::of_pod(folder);
        }
        if depth < Depth::Detail {
            read.used = cgroup::read(folder);
        } else {
            read.detail = Detail::of_cgroup(folder);
            read.used = read.detail.as_ref().map(|detail| detail.used);
            let of = |id: &String| Some((id.clone(), Detail::of_cgroup(&folder.join(id))?));
            read.containers = containers.iter().filter_map(of).collect();
        }
        read
    }
}

async fn gather(shared: &Shared, depth: Depth) -> Result<Usage, Refusal> {
    let failed = |error: anyhow::Error| Refusal::new(500, format!("{error:#}"));
    let measured = shared.runtime.measured().await.map_err(failed)?;
    let running = all(&*shared.view);
    let (at, root) = (shared.now(), shared.settings.root.clone());
    let asked = |r: &Running| {
        let folder = r.sandbox.as_ref().and_then(|sandbox| sandbox.cgroup.clone());
        let own_network = r.pod.spec.as_ref().and_then(|spec| spec.host_network) != Some(true);
        (folder, r.containers.iter().map(|c| c.id.clone()).collect::<Vec<_>>(), own_network)
    };
    let asked: Vec<_> = running.iter().map(asked).collect();
    let read = tokio::task::spawn_blocking(move || {
        let of = |(folder, ids, own_network): &(Option<PathBuf>, Vec<String>, bool)| {
            folder.as_deref().map(|folder| Read::of(folder, ids, *own_network, depth)).unwrap_or_default()
        };
        let interfaces = if depth >= Depth::Network { detail::of_machine() } else { Vec::new() };
        (cgroup::node(), cgroup::booted(), room(&root), interfaces, asked.iter().map(of).collect::<Vec<_>>())
    });
    let (used, booted, room, interfaces, pods) = read.await.map_err(|error| failed(error.into()))?;
    let node = shared.settings.node.clone();
    let mut usage = Usage { node, at, used, nano_cores: None, booted, room, interfaces, pods: Vec::new() };
    usage.pods = running.into_iter().zip(pods).map(|(running, read)| pod(running, read, &measured)).collect();
    rate(&mut usage, &shared.usage);
    Ok(usage)
}

fn pod(running: Running, mut read: Read, measured: &[Measured]) -> PodUsage {
    let of = |id: &str| measured.iter().find(|measured| measured.id == id).cloned();
    let alive = running.containers.iter().filter(|c| c.state == State::Running);
    let containers = alive.filter_map(|container| {
        let started = started(&running.pod, &container.name);
        let image = status(&running.pod, &container.name).map(|status| status.image.clone()).unwrap_or_default();
        let (measured, detail) = (of(&container.id)?, read.containers.remove(&container.id));
        Some(Container { name: container.name.clone(), image, started, measured, nano_cores: None, detail })
    });
    let containers = containers.collect();
    let cgroup = running.sandbox.as_ref().and_then(|sandbox| sandbox.cgroup.as_deref()).and_then(cgroup::path);
    let (used, detail, interfaces) = (read.used, read.detail, read.interfaces);
    PodUsage { containers, cgroup, pod: running.pod.clone(), used, nano_cores: None, detail, interfaces }
}

fn status<'a>(pod: &'a Pod, container: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let lists = [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses];
    lists.into_iter().flatten().flatten().find(|status| status.name == container)
}

fn started(pod: &Pod, container: &str) -> Option<Timestamp> {
    Some(status(pod, container)?.state.as_ref()?.running.as_ref()?.started_at.as_ref()?.0)
}

/// Fills in the rates, all of one look.
fn rate(usage: &mut Usage, rates: &Rates) {
    let pod_key = |pod: &Pod| format!("pod {}", pod.metadata.uid.as_deref().unwrap_or_default());
    let mut seen = vec![("node".to_owned(), usage.used.cpu_ns)];
    for pod in &usage.pods {
        seen.extend(pod.used.map(|used| (pod_key(&pod.pod), used.cpu_ns)));
        let containers = pod.containers.iter().map(|c| &c.measured);
        seen.extend(containers.filter_map(|measured| Some((measured.id.clone(), measured.cpu_ns?))));
    }
    let found = rates.look(usage.at, seen);
    usage.nano_cores = found.get("node").copied();
    for pod in &mut usage.pods {
        pod.nano_cores = found.get(&pod_key(&pod.pod)).copied();
        for container in &mut pod.containers {
            container.nano_cores = found.get(&container.measured.id).copied();
        }
    }
}

fn room(root: &Path) -> Option<Room> {
    let found = nix::sys::statvfs::statvfs(root);
    let found =
        found.inspect_err(|error| tracing::warn!(%error, root = %root.display(), "room cannot be measured")).ok()?;
    let size = found.fragment_size();
    let (blocks, free, available) = (found.blocks(), found.blocks_free(), found.blocks_available());
    Some(Room {
        capacity: blocks * size,
        available: available * size,
        used: blocks.saturating_sub(free) * size,
        inodes: found.files(),
        inodes_free: found.files_free(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_since_the_last_look() {
        let rates = Rates::default();
        let at = |ms: i64| Timestamp::from_millisecond(ms).unwrap();
        let check = |ms: i64, cpu: u64| rates.look(at(ms), vec![("a".to_owned(), cpu)]).get("a").copied();
        assert_eq!(check(0, 1_000), None);
        assert_eq!(check(2_000, 1_000_001_000), Some(500_000_000));
        assert_eq!(check(2_500, 1_500_000_000), Some(500_000_000), "too soon for a new one");
        assert_eq!(check(4_000, 1_000_001_000), Some(0));
        assert_eq!(check(6_000, 5), None, "it was started anew");
        assert!(rates.look(at(8_000), Vec::new()).is_empty());
        assert_eq!(check(9_000, 5), None, "it was forgotten");
    }
}
