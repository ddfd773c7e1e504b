//! The services: one table, a supervisor for each. Starting follows readiness, a service that ends is started again
//! after a wait that grows.

pub mod backoff;
pub mod demand;
pub mod hashing;
pub mod outward;
pub mod rest;
pub mod supervise;

use crate::children::Children;
use crate::config::Config;
use crate::config::keys::{DOCKER, DOCKER_IDLE, SHELL};
use crate::console::Console;
use crate::logs::ring::Ring;
use crate::phases;
use crate::readiness::Readiness;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Where services find programs.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How a service is known to be ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// A connection to this socket is accepted.
    Socket(&'static str),
    /// As soon as it runs.
    Started,
}

/// What starts a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The boot.
    Boot,
    /// The first connection to this socket, which init holds open and passes on as descriptor 3.
    Connection(&'static str),
}

/// What a service that sleeps until it is called is awake for.
#[derive(Clone, Copy, Debug)]
pub struct Rest {
    /// How long it stays awake unused; none for ever.
    pub after: fn(&Config) -> Option<Duration>,
    /// The cgroup whose processes it is awake for, beside its callers.
    pub works_in: &'static str,
}

/// One service.
pub struct Service {
    /// Its name.
    pub name: &'static str,
    /// The program.
    pub program: &'static str,
    /// Its arguments.
    pub arguments: &'static [&'static str],
    /// More of its environment than `PATH` and `HOME`.
    pub environment: &'static [(&'static str, &'static str)],
    /// What must be ready before it starts, or before it is given its settings: phases, services and milestones of
    /// `node`.
    pub needs: &'static [&'static str],
    /// The file of its settings, for one that reads them from its standard input: it may then begin before it has what
    /// it needs.
    pub settings: Option<&'static str>,
    /// How it is known to be ready.
    pub ready: Ready,
    /// What starts it.
    pub start: Start,
    /// When it goes back to sleep, for one that a connection has started.
    pub rest: Option<Rest>,
    /// Whether the boot has failed when it cannot be brought up.
    pub vital: bool,
    /// Whether it starts even when the boot has failed.
    pub for_diagnosis: bool,
    /// Whether readiness is a milestone that init reports.
    pub milestone: bool,
    /// How dear it is when memory runs out: -1000 is never killed.
    pub oom_score: i16,
    /// Its share of the processors while others want them, against the kernel's default of 100.
    pub cpu_weight: u32,
    /// How long it may take to end after SIGTERM.
    pub stop_wait: Duration,
    /// Whether this machine has it.
    pub wanted: fn(&Config) -> bool,
    /// The terminal it is given instead of a log.
    pub terminal: fn(&Config) -> Option<String>,
}

const fn no_terminal(_: &Config) -> Option<String> {
    None
}

/// Every service: one entry each. At the end of the machine they are stopped from the bottom up.
pub const TABLE: &[Service] = &[
    Service {
        name: "containerd",
        program: "/usr/bin/containerd",
        // It makes itself ready for as long as all phases of the boot take before it reads its settings.
        arguments: &["--config", "/proc/self/fd/0"],
        // Its shim is found in `shim::FOLDER`.
        environment: &[("PATH", "/usr/lib/skerry/shim:/usr/bin")],
        needs: &["disk"],
        settings: Some("/usr/lib/skerry/containerd.toml"),
        ready: Ready::Socket("/run/containerd/containerd.sock"),
        start: Start::Boot,
        rest: None,
        vital: true,
        for_diagnosis: false,
        milestone: true,
        oom_score: -999,
        // At boot everything waits for it. Containers have cgroups of their own and no part in this.
        cpu_weight: 400,
        stop_wait: Duration::from_secs(5),
        wanted: |_| true,
        terminal: no_terminal,
    },
    Service {
        name: "docker",
        program: "/usr/bin/dockerd",
        arguments: &[
            "--host=fd://",
            // Not the engine itself: `node` stands between, so that neither side takes an image that the other needs.
            "--containerd=/run/skerry/docker-engine.sock",
            "--containerd-namespace=k8s.io",
            "--containerd-plugins-namespace=plugins.moby",
            "--feature=containerd-snapshotter=true",
            "--data-root=/var/lib/docker",
            "--exec-root=/run/docker",
            "--bridge=docker0",
            // The cluster's DNS, so that builds and containers find Services and host.skerry.internal.
            "--dns=10.96.0.10",
            "--iptables=false",
            "--ip6tables=false",
            "--exec-opt=native.cgroupdriver=cgroupfs",
            "--cgroup-parent=/docker",
            "--add-runtime=crun=/usr/bin/crun",
            "--default-runtime=crun",
            "--init-path=/usr/bin/tini-static",
            // A daemon that ends or crashes takes no container with it.
            "--live-restore",
            // Upstream's packages set no limit; here the hard one is the kernel's, the soft one what old programs bear.
            "--default-ulimit=nofile=1024:524288",
            // Logs are on the state disk, which is not theirs alone.
            "--log-opt=max-size=16m",
            "--log-opt=max-file=3",
        ],
        // For the resolver of networks that users make, inside the containers: the machine has nft and no iptables.
        environment: &[("DOCKER_FIREWALL_BACKEND", "nftables")],
        // `bridge`: docker0 and the way to the engine are there. Not that the node is Ready, for what runs the pods may
        // itself be a container of Docker.
        needs: &["containerd", crate::control::BRIDGE],
        settings: None,
        ready: Ready::Started,
        start: Start::Connection("/run/docker.sock"),
        rest: Some(Rest {
            after: |config| match config.number(&DOCKER_IDLE) {
                0 => None,
                seconds => Some(Duration::from_secs(seconds.into())),
            },
            works_in: "/sys/fs/cgroup/docker",
        }),
        vital: false,
        for_diagnosis: false,
        milestone: false,
        oom_score: -500,
        cpu_weight: 100,
        // A build that its caller has left is undone first; emulated, that has taken longer than ten.
        stop_wait: Duration::from_secs(25),
        wanted: |config| config.flag(&DOCKER) && std::path::Path::new("/usr/bin/dockerd").exists(),
        terminal: no_terminal,
    },
    // It makes itself ready beside the phases of the boot, and does not wait for containerd: its store, authority and API
    // start meanwhile on the other processor.
    Service {
        name: "node",
        program: "/usr/bin/node",
        arguments: &["--config", "-"],
        environment: &[("SKERRY_INIT_SOCKET", crate::control::PATH)],
        needs: &["disk", "network", phases::services::SET_UP],
        settings: Some(phases::config::NODE_TOML),
        ready: Ready::Started,
        start: Start::Boot,
        rest: None,
        vital: true,
        for_diagnosis: false,
        milestone: false,
        oom_score: -999,
        cpu_weight: 100,
        stop_wait: Duration::from_secs(20),
        wanted: |_| true,
        terminal: no_terminal,
    },
    // Only an image made for debugging has a shell.
    Service {
        name: "shell",
        program: "/bin/sh",
        arguments: &["-l"],
        environment: &[("TERM", "linux")],
        needs: &[],
        settings: None,
        ready: Ready::Started,
        start: Start::Boot,
        rest: None,
        vital: false,
        for_diagnosis: true,
        milestone: false,
        oom_score: 0,
        cpu_weight: 100,
        stop_wait: Duration::from_secs(1),
        wanted: |config| !config.text(&SHELL).is_empty() && std::path::Path::new("/bin/sh").exists(),
        terminal: |config| Some(format!("/dev/{}", config.text(&SHELL))),
    },
];

/// What a supervisor is told.
#[derive(Debug)]
pub enum Order {
    /// End the process and start it anew.
    Restart,
    /// End the process and the supervisor.
    Stop,
}

/// Where a service is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Something it needs is not ready.
    Waiting,
    /// Its socket is open; nobody has called yet.
    Sleeping,
    /// Its process runs but is not ready.
    Starting,
    /// It is ready.
    Running,
    /// It ended and will be started again.
    Restarting,
    /// It was stopped for good.
    Stopped,
}

/// One service as others see it.
pub struct Entry {
    /// Where it is in its life.
    pub state: State,
    /// Its process, while it has one.
    pub pid: Option<u32>,
    /// How often it was started again.
    pub restarts: u32,
    /// How it last ended.
    pub last_end: Option<String>,
    /// Its log.
    pub log: Rc<RefCell<Ring>>,
    /// Its supervisor's ear.
    pub orders: mpsc::Sender<Order>,
}

/// All services of this machine. Cheap to clone.
#[derive(Clone, Default)]
pub struct Services {
    /// By name.
    pub entries: Rc<RefCell<BTreeMap<&'static str, Entry>>>,
}

/// What supervisors share.
#[derive(Clone)]
pub struct Surroundings {
    /// The settings.
    pub config: Rc<Config>,
    /// Where to say things.
    pub console: Console,
    /// The processes.
    pub children: Children,
    /// What is ready.
    pub readiness: Readiness,
    /// The services.
    pub services: Services,
    /// Told once when a service cannot be brought up during the boot.
    pub failed: mpsc::Sender<(&'static str, crate::boot::Failure)>,
}

impl Services {
    /// Changes what others see of `name`.
    pub fn update(&self, name: &str, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.entries.borrow_mut().get_mut(name) {
            change(entry);
        }
    }

    /// Gives an order; `false` when there is no such service or it is behind with its orders.
    pub fn order(&self, name: &str, order: Order) -> bool {
        self.entries.borrow().get(name).is_some_and(|entry| entry.orders.try_send(order).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_needs_only_what_the_boot_or_another_service_makes_ready() {
        let made: Vec<&str> = ["disk", "network", phases::services::SET_UP, crate::control::BRIDGE]
            .into_iter()
            .chain(TABLE.iter().map(|service| service.name))
            .collect();
        for service in TABLE {
            for need in service.needs {
                assert!(made.contains(need) && *need != service.name, "{} needs {need}", service.name);
            }
        }
    }

    #[test]
    fn names_of_services_are_their_own() {
        let names: std::collections::BTreeSet<&str> = TABLE.iter().map(|service| service.name).collect();
        assert_eq!(names.len(), TABLE.len());
    }
}
