//! What the server sees of the node: its pods, and the few calls that it makes to the container runtime. The core of the
//! kubelet implements both; tests have fakes.

use anyhow::Result;
use futures_util::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The pods of this node at this moment. Nothing here waits or does I/O: an implementation answers from memory.
pub trait View: Send + Sync + 'static {
    /// All pods that this node has, as `/pods` lists them: the spec as bound, the status as the kubelet sees it now,
    /// which may be ahead of what the API server has.
    fn pods(&self) -> Vec<Arc<Pod>>;

    /// A pod with what runs of it; `None` when this node has none of that name.
    fn running(&self, namespace: &str, name: &str) -> Option<Running>;

    /// Changes whenever an answer of this trait may have changed: pods, containers that start or end, log files that
    /// were rotated. The number means nothing; whoever is woken asks again.
    fn changes(&self) -> watch::Receiver<u64>;
}

/// A pod with its sandbox and containers.
#[derive(Clone, Debug)]
pub struct Running {
    /// The pod, as in [`View::pods`].
    pub pod: Arc<Pod>,
    /// Its present sandbox; `None` before there is one and after it is gone.
    pub sandbox: Option<Sandbox>,
    /// Its containers of all kinds (init, main, ephemeral) and attempts that the runtime still knows, in any order.
    pub containers: Vec<Container>,
}

/// A pod's sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    /// The runtime's name of it.
    pub id: String,
    /// The file of its network namespace, such as `/proc/PID/ns/net` or `/run/netns/NAME`; `None` when the pod uses the
    /// node's network.
    pub network: Option<PathBuf>,
    /// Folder of the pod's cgroup, such as `/sys/fs/cgroup/kubepods.slice/…`; `None` when it is not known.
    pub cgroup: Option<PathBuf>,
}

/// One attempt of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its name in the pod.
    pub name: String,
    /// The runtime's name of it, without the `containerd://` that the pod's status has before it.
    pub id: String,
    /// How many attempts were before it.
    pub attempt: u32,
    /// What it does.
    pub state: State,
    /// Its log: the file that is being written. Older parts lie beside it, as `FILE.TIMESTAMP` and
    /// `FILE.TIMESTAMP.gz`.
    pub log: PathBuf,
}

/// What a container does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Made, not yet started.
    Created,
    /// Running.
    Running,
    /// Ended.
    Exited,
}

/// Which streams of a container are wanted, as CRI's `ExecRequest` and `AttachRequest` have them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streams {
    /// Input.
    pub stdin: bool,
    /// Output.
    pub stdout: bool,
    /// Error output; never together with a terminal.
    pub stderr: bool,
    /// A terminal.
    pub tty: bool,
}

/// What a command that was run to its end has said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// Its output.
    pub stdout: Vec<u8>,
    /// Its error output.
    pub stderr: Vec<u8>,
    /// Its exit code.
    pub code: i32,
}

/// What the runtime measured of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// The container, by the runtime's name.
    pub id: String,
    /// Nanoseconds of CPU since it started.
    pub cpu_ns: Option<u64>,
    /// Bytes of memory that cannot be given back easily.
    pub memory_working_set: Option<u64>,
    /// Bytes in its writable layer.
    pub writable_bytes: Option<u64>,
    /// Inodes in its writable layer.
    pub writable_inodes: Option<u64>,
}

/// What the server asks of the container runtime.
pub trait Runtime: Send + Sync + 'static {
    /// Prepares a command in a container, and says at which URL its streams are.
    fn exec<'a>(&'a self, id: &'a str, command: &'a [String], streams: Streams) -> BoxFuture<'a, Result<String>>;

    /// Prepares the streams of a container's first process, and says at which URL they are.
    fn attach<'a>(&'a self, id: &'a str, streams: Streams) -> BoxFuture<'a, Result<String>>;

    /// Runs a command to its end; it is killed when it takes longer than `limit`.
    fn run<'a>(&'a self, id: &'a str, command: &'a [String], limit: Duration) -> BoxFuture<'a, Result<Ran>>;

    /// What it measured of all running containers.
    fn measured(&self) -> BoxFuture<'_, Result<Vec<Measured>>>;
}
