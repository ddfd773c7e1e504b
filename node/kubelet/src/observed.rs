//! What runs of one pod, as the container engine tells it, in the form that `plan` and `status` reason about.
//!
//! It must not know the API server.

use crate::cri::v1;
use crate::labels;
use jiff::Timestamp;

/// What a container does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Made, not started.
    Created,
    /// Running.
    Running,
    /// Ended.
    Exited,
    /// The engine does not know.
    Unknown,
}

/// One attempt of a container.
#[derive(Clone, Debug, PartialEq)]
pub struct Container {
    /// The engine's name of it.
    pub id: String,
    /// Its name in the pod.
    pub name: String,
    /// The sandbox it is in, by the engine's name.
    pub sandbox: String,
    /// How many attempts were before it.
    pub restarts: u32,
    /// What it does.
    pub state: State,
    /// When it was made, nanoseconds since 1970.
    pub created_ns: i64,
    /// When it was started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// How it ended.
    pub exit_code: i32,
    /// `Completed`, `Error`, `OOMKilled` or the engine's own.
    pub reason: String,
    /// The engine's words, and after the end the termination message.
    pub message: String,
    /// The image as the spec names it.
    pub image: String,
    /// The image as the engine found it, by digest.
    pub image_id: String,
    /// [`crate::pod::hash`] of the container when it was made.
    pub hash: String,
    /// How long the restart before this attempt had to wait, seconds.
    pub backoff_seconds: i64,
    /// The log file.
    pub log: String,
    /// User, group and supplemental groups of its first process.
    pub user: Option<v1::LinuxContainerUser>,
    /// What its cgroup got.
    pub resources: Option<v1::LinuxContainerResources>,
    /// The signal that asks it to end, if the engine tells.
    pub stop_signal: Option<String>,
}

/// One sandbox.
#[derive(Clone, Debug, PartialEq)]
pub struct Sandbox {
    /// The engine's name of it.
    pub id: String,
    /// How many were before it.
    pub attempt: u32,
    /// Whether it is usable.
    pub ready: bool,
    /// Its addresses; none on the node's network.
    pub ips: Vec<String>,
    /// Whether it uses the node's network.
    pub host_network: bool,
    /// When it was made, nanoseconds since 1970.
    pub created_ns: i64,
    /// The network namespace's file, if it has its own.
    pub network: Option<String>,
}

/// Everything of one pod, the newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Sandboxes.
    pub sandboxes: Vec<Sandbox>,
    /// Containers of all sandboxes.
    pub containers: Vec<Container>,
}

impl Observed {
    /// The same with the newest first.
    #[must_use]
    pub fn sorted(mut self) -> Observed {
        self.sandboxes.sort_by_key(|s| std::cmp::Reverse(s.created_ns));
        self.containers.sort_by_key(|c| std::cmp::Reverse((c.created_ns, c.restarts)));
        self
    }

    /// The newest attempt of a container.
    #[must_use]
    pub fn latest(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|c| c.name == name)
    }

    /// All attempts of a container, the newest first.
    pub fn attempts<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Container> {
        self.containers.iter().filter(move |c| c.name == name)
    }

    /// The containers that run, or may.
    pub fn running(&self) -> impl Iterator<Item = &Container> {
        self.containers.iter().filter(|c| matches!(c.state, State::Running | State::Unknown))
    }

    /// Whether nothing runs: no container, no sandbox.
    #[must_use]
    pub fn is_still(&self) -> bool {
        self.running().next().is_none() && !self.sandboxes.iter().any(|s| s.ready)
    }

    /// The newest sandbox, if it is usable.
    #[must_use]
    pub fn sandbox(&self) -> Option<&Sandbox> {
        self.sandboxes.first().filter(|s| s.ready)
    }
}

/// A time of the engine, nanoseconds since 1970; 0 is none.
#[must_use]
pub fn time(nanoseconds: i64) -> Option<Timestamp> {
    if nanoseconds <= 0 { None } else { Timestamp::from_nanosecond(i128::from(nanoseconds)).ok() }
}

/// A container's status in our form. The termination message is still to be read.
#[must_use]
pub fn container(status: v1::ContainerStatus, sandbox: &str) -> Container {
    let state = match status.state() {
        v1::ContainerState::ContainerCreated => State::Created,
        v1::ContainerState::ContainerRunning => State::Running,
        v1::ContainerState::ContainerExited => State::Exited,
        v1::ContainerState::ContainerUnknown => State::Unknown,
    };
    let stop_signal = match status.stop_signal() {
        v1::Signal::RuntimeDefault => None,
        signal => Some(signal.as_str_name().to_owned()),
    };
    let number = |name: &str| status.annotations.get(name).and_then(|text| text.parse::<i64>().ok());
    let spec = status.image.unwrap_or_default();
    let asked = if spec.user_specified_image.is_empty() { spec.image } else { spec.user_specified_image };
    let metadata = status.metadata.unwrap_or_default();
    let restarts = number(labels::RESTART_COUNT).and_then(|n| u32::try_from(n).ok()).unwrap_or(metadata.attempt);
    let image_id = if status.image_ref.is_empty() { status.image_id } else { status.image_ref };
    Container {
        restarts,
        backoff_seconds: number(labels::BACKOFF_SECONDS).unwrap_or(0),
        hash: status.annotations.get(labels::HASH).cloned().unwrap_or_default(),
        id: status.id,
        name: metadata.name,
        sandbox: sandbox.to_owned(),
        state,
        created_ns: status.created_at,
        started: time(status.started_at),
        finished: time(status.finished_at),
        exit_code: status.exit_code,
        reason: status.reason,
        message: status.message,
        image: asked,
        image_id,
        log: status.log_path,
        user: status.user.and_then(|user| user.linux),
        resources: status.resources.and_then(|resources| resources.linux),
        stop_signal,
    }
}

/// A sandbox's status in our form.
#[must_use]
pub fn sandbox(status: v1::PodSandboxStatus, network: Option<String>) -> Sandbox {
    let addresses = status.network.clone().unwrap_or_default();
    let more = addresses.additional_ips.into_iter().map(|more| more.ip);
    let options = status.linux.and_then(|linux| linux.namespaces).and_then(|namespaces| namespaces.options);
    let host_network = options.is_some_and(|options| options.network() == v1::NamespaceMode::Node);
    Sandbox {
        id: status.id,
        attempt: status.metadata.map_or(0, |metadata| metadata.attempt),
        ready: status.state == v1::PodSandboxState::SandboxReady as i32,
        ips: std::iter::once(addresses.ip).chain(more).filter(|ip| !ip.is_empty()).collect(),
        host_network,
        created_ns: status.created_at,
        network: network.filter(|_| !host_network),
    }
}
