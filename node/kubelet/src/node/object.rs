//! The Node as the API server has it: pure, from the settings, the machine, and how both are now. As upstream's
//! `pkg/kubelet/nodestatus`.

use super::machine::{self, Disk};
use crate::config::Config;
use crate::context::Machine;
use crate::cri::v1;
use crate::status::seconds;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerImage, DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeRuntimeHandler,
    NodeRuntimeHandlerFeatures, NodeSpec, NodeStatus, NodeSystemInfo,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeMap;

/// Images that are listed, upstream's `nodeStatusMaxImages`.
pub const IMAGES_MAX: usize = 50;
/// Names of one image that are listed, as upstream.
pub const NAMES_MAX: usize = 5;
/// Bytes of memory below which the node is short of it, upstream's hard eviction threshold.
pub const MEMORY_MIN: i64 = 100 << 20;
/// Percent of the disk (and of its inodes: half of that) below which it is short of it, upstream's threshold.
pub const DISK_PERCENT_MIN: u64 = 10;

/// How the node is now.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// Images that are there; `None` when the engine did not say, and then those of before stay.
    pub images: Option<Vec<v1::Image>>,
    /// What the engine says of itself.
    pub engine: Vec<v1::RuntimeCondition>,
    /// Bytes of memory that are free.
    pub memory_available: i64,
    /// The disk of the kubelet's folder.
    pub disk: Disk,
}

/// The labels of the node.
#[must_use]
pub fn labels(config: &Config) -> BTreeMap<String, String> {
    let mut all = config.node_labels.clone();
    for (key, value) in [
        ("kubernetes.io/hostname", config.node_name.as_str()),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", architecture()),
        ("beta.kubernetes.io/os", "linux"),
        ("beta.kubernetes.io/arch", architecture()),
    ] {
        all.insert(key.to_owned(), value.to_owned());
    }
    all
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A node that is not there yet.
#[must_use]
pub fn registration(config: &Config, machine: &Machine, health: &Health, now: Timestamp) -> Node {
    let attach = "volumes.kubernetes.io/controller-managed-attach-detach".to_owned();
    Node {
        metadata: ObjectMeta {
            name: Some(config.node_name.clone()),
            labels: Some(labels(config)),
            annotations: Some(BTreeMap::from([(attach, "true".to_owned())])),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec::default()),
        status: Some(status(config, machine, health, &NodeStatus::default(), now)),
    }
}

/// The status.
#[must_use]
pub fn status(config: &Config, machine: &Machine, health: &Health, old: &NodeStatus, now: Timestamp) -> NodeStatus {
    let address = |type_: &str, address: &String| NodeAddress { type_: type_.to_owned(), address: address.clone() };
    let mut addresses: Vec<NodeAddress> = config.node_ips.iter().map(|ip| address("InternalIP", ip)).collect();
    addresses.push(address("Hostname", &config.node_name));
    NodeStatus {
        addresses: Some(addresses),
        capacity: Some(machine.capacity.clone()),
        allocatable: Some(machine.allocatable.clone()),
        conditions: Some(conditions(health, old, now)),
        daemon_endpoints: Some(NodeDaemonEndpoints {
            kubelet_endpoint: Some(DaemonEndpoint { port: i32::from(config.port) }),
        }),
        images: health.images.as_deref().map(images).or_else(|| old.images.clone()),
        node_info: Some(info(config, machine)),
        runtime_handlers: Some(machine.handlers.iter().map(handler).collect::<Vec<_>>()).filter(|all| !all.is_empty()),
        ..NodeStatus::default()
    }
}

fn handler(handler: &v1::RuntimeHandler) -> NodeRuntimeHandler {
    let features = handler.features.unwrap_or_default();
    NodeRuntimeHandler {
        name: Some(handler.name.clone()),
        features: Some(NodeRuntimeHandlerFeatures {
            recursive_read_only_mounts: Some(features.recursive_read_only_mounts),
            user_namespaces: Some(features.user_namespaces),
        }),
    }
}

fn info(config: &Config, machine: &Machine) -> NodeSystemInfo {
    NodeSystemInfo {
        architecture: architecture().to_owned(),
        boot_id: machine::text("/proc/sys/kernel/random/boot_id"),
        container_runtime_version: format!("{}://{}", machine.runtime, machine.runtime_version.trim_start_matches('v')),
        kernel_version: machine::text("/proc/sys/kernel/osrelease"),
        kube_proxy_version: String::new(),
        kubelet_version: config.version.clone(),
        machine_id: machine::text("/etc/machine-id"),
        operating_system: "linux".to_owned(),
        os_image: machine::os_name(),
        swap: None,
        system_uuid: machine::text("/sys/class/dmi/id/product_uuid"),
    }
}

/// The largest images, with their digests and tags.
fn images(all: &[v1::Image]) -> Vec<ContainerImage> {
    let mut all: Vec<&v1::Image> = all.iter().collect();
    all.sort_by_key(|image| std::cmp::Reverse(image.size));
    let one = |image: &v1::Image| {
        let names = image.repo_digests.iter().chain(&image.repo_tags).take(NAMES_MAX).cloned().collect();
        ContainerImage { names: Some(names), size_bytes: i64::try_from(image.size).ok() }
    };
    all.into_iter().take(IMAGES_MAX).map(one).collect()
}

/// Why the engine is not ready, in upstream's words; empty when it is.
fn unready(engine: &[v1::RuntimeCondition]) -> String {
    let of = |name: &str| engine.iter().find(|c| c.r#type == name);
    for (name, what) in [("RuntimeReady", "container runtime"), ("NetworkReady", "container runtime network")] {
        match of(name) {
            Some(c) if !c.status => {
                return format!("{what} not ready: {name}=false reason:{} message:{}", c.reason, c.message);
            }
            None if name == "RuntimeReady" => {
                return "container runtime status check may not have completed yet".to_owned();
            }
            _ => (),
        }
    }
    String::new()
}

fn conditions(health: &Health, old: &NodeStatus, now: Timestamp) -> Vec<NodeCondition> {
    let memory = health.memory_available < MEMORY_MIN;
    let little = |free: u64, all: u64, percent: u64| all > 0 && free.saturating_mul(100) / all < percent;
    let Disk { total, available, inodes, inodes_free } = health.disk;
    let disk = little(available, total, DISK_PERCENT_MIN) || little(inodes_free, inodes, DISK_PERCENT_MIN / 2);
    let pick =
        |short: bool, yes: [&str; 2], no: [&str; 2]| if short { yes.map(str::to_owned) } else { no.map(str::to_owned) };
    let unready = unready(&health.engine);
    let ready = unready.is_empty();
    let [ready_reason, ready_message] = if ready {
        ["KubeletReady".to_owned(), "kubelet is posting ready status".to_owned()]
    } else {
        ["KubeletNotReady".to_owned(), unready]
    };
    let [memory_reason, memory_message] = pick(
        memory,
        ["KubeletHasInsufficientMemory", "kubelet has insufficient memory available"],
        ["KubeletHasSufficientMemory", "kubelet has sufficient memory available"],
    );
    let [disk_reason, disk_message] = pick(
        disk,
        ["KubeletHasDiskPressure", "kubelet has disk pressure"],
        ["KubeletHasNoDiskPressure", "kubelet has no disk pressure"],
    );
    let pids = ["KubeletHasSufficientPID", "kubelet has sufficient PID available"].map(str::to_owned);
    let [pid_reason, pid_message] = pids;
    [
        ("MemoryPressure", memory, memory_reason, memory_message),
        ("DiskPressure", disk, disk_reason, disk_message),
        ("PIDPressure", false, pid_reason, pid_message),
        ("Ready", ready, ready_reason, ready_message),
    ]
    .into_iter()
    .map(|(type_, holds, reason, message)| {
        let status = if holds { "True" } else { "False" };
        let before = old.conditions.iter().flatten().find(|c| c.type_ == type_ && c.status == status);
        let since = before.and_then(|c| c.last_transition_time.clone());
        NodeCondition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: Some(reason),
            message: Some(message),
            last_heartbeat_time: Some(seconds(now)),
            last_transition_time: Some(since.unwrap_or_else(|| seconds(now))),
        }
    })
    .collect()
}

/// Whether two statuses differ in nothing but their heartbeats.
#[must_use]
pub fn says_the_same(old: &NodeStatus, new: &NodeStatus) -> bool {
    let still = |status: &NodeStatus| {
        let mut status = status.clone();
        for condition in status.conditions.iter_mut().flatten() {
            condition.last_heartbeat_time = None;
        }
        let conditions: BTreeMap<String, NodeCondition> =
            status.conditions.take().into_iter().flatten().map(|c| (c.type_.clone(), c)).collect();
        (status, conditions)
    };
    let ((old, there), (new, wanted)) = (still(old), still(new));
    let fields = |s: &NodeStatus| {
        (
            s.addresses.clone(),
            s.capacity.clone(),
            s.allocatable.clone(),
            s.images.clone(),
            s.node_info.clone(),
            s.daemon_endpoints.clone(),
        )
    };
    fields(&old) == fields(&new) && wanted.iter().all(|(name, condition)| there.get(name) == Some(condition))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn engine(network: bool) -> Vec<v1::RuntimeCondition> {
        let one = |name: &str, status: bool| v1::RuntimeCondition {
            r#type: name.to_owned(),
            status,
            reason: "R".to_owned(),
            message: "m".to_owned(),
        };
        vec![one("RuntimeReady", true), one("NetworkReady", network)]
    }

    fn check(health: &Health, wants: [&str; 4]) {
        let config = Config::new("n", "10.250.0.1");
        let found = status(&config, &Machine::default(), health, &NodeStatus::default(), at(1));
        let got: Vec<String> = found.conditions.unwrap().into_iter().map(|c| c.status).collect();
        assert_eq!(got, wants, "memory, disk, pids, ready");
    }

    #[test]
    fn conditions_follow_engine_memory_and_disk() {
        let disk = Disk { total: 1000, available: 500, inodes: 100, inodes_free: 50 };
        let well = Health { engine: engine(true), memory_available: 1 << 30, disk, ..Health::default() };
        check(&well, ["False", "False", "False", "True"]);
        check(&Health { engine: engine(false), ..well.clone() }, ["False", "False", "False", "False"]);
        check(&Health { memory_available: 1, ..well.clone() }, ["True", "False", "False", "True"]);
        check(&Health { disk: Disk { available: 99, ..disk }, ..well.clone() }, ["False", "True", "False", "True"]);
        check(&Health { disk: Disk { inodes_free: 4, ..disk }, ..well }, ["False", "True", "False", "True"]);
        let why = "container runtime network not ready: NetworkReady=false reason:R message:m";
        assert_eq!(unready(&engine(false)), why);
    }

    #[test]
    fn images_stay_while_the_engine_is_silent() {
        let (config, machine) = (Config::new("n", "10.250.0.1"), Machine::default());
        let image = v1::Image { repo_tags: vec!["a:1".to_owned()], size: 7, ..v1::Image::default() };
        let health = Health { images: Some(vec![image]), ..Health::default() };
        let first = status(&config, &machine, &health, &NodeStatus::default(), at(1));
        assert_eq!(first.images.as_ref().map(Vec::len), Some(1));
        assert_eq!(status(&config, &machine, &Health::default(), &first, at(2)).images, first.images);
        let none = Health { images: Some(Vec::new()), ..Health::default() };
        assert_eq!(status(&config, &machine, &none, &first, at(3)).images, Some(Vec::new()));
    }

    #[test]
    fn a_heartbeat_alone_is_no_news() {
        let config = Config::new("n", "10.250.0.1");
        let health = Health { engine: engine(true), memory_available: 1 << 30, ..Health::default() };
        let first = status(&config, &Machine::default(), &health, &NodeStatus::default(), at(1));
        let second = status(&config, &Machine::default(), &health, &first, at(2));
        assert!(says_the_same(&first, &second));
        let changed = Health { engine: engine(false), ..health };
        assert!(!says_the_same(&first, &status(&config, &Machine::default(), &changed, &first, at(3))));
    }
}
