//! The settings of a kubelet. Values only; who reads arguments fills them in.

use std::path::PathBuf;

/// Pods on one node, upstream's `maxPods`.
pub const PODS_MAX: usize = 110;

/// Where pod cgroups are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cgroups {
    /// Below this folder of a cgroup v2 file system, as `kubepods/...`.
    Below(PathBuf),
    /// None are made: the engine puts containers where it likes. For hosts without cgroup v2.
    Off,
}

/// The settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node's name.
    pub node_name: String,
    /// The node's addresses, the preferred family first.
    pub node_ips: Vec<String>,
    /// Labels that the node gets besides the usual ones.
    pub node_labels: std::collections::BTreeMap<String, String>,
    /// The engine's CRI socket.
    pub cri_socket: PathBuf,
    /// The folder of everything below `/var/lib/kubelet`.
    pub root: PathBuf,
    /// The folder of the pods' logs, `/var/log/pods`.
    pub pod_logs: PathBuf,
    /// The folder of the links to them by container, `/var/log/containers`.
    pub container_logs: PathBuf,
    /// The cluster's DNS.
    pub cluster_dns: Vec<String>,
    /// The cluster's domain.
    pub cluster_domain: String,
    /// The node's resolver file, for pods that want it.
    pub resolv_conf: PathBuf,
    /// Pod cgroups.
    pub cgroups: Cgroups,
    /// Pods at most.
    pub max_pods: usize,
    /// CPU kept for the system, thousandths of one.
    pub reserved_milli_cpu: i64,
    /// Memory kept for the system, bytes.
    pub reserved_memory: i64,
    /// The port of the kubelet's API.
    pub port: u16,
    /// What `nodeInfo.kubeletVersion` says.
    pub version: String,
    /// Where probes are counted.
    pub probes: std::sync::Arc<metrics::Values>,
}

impl Config {
    /// The settings of the appliance for a node of this name and address.
    #[must_use]
    pub fn new(node_name: &str, node_ip: &str) -> Config {
        Config {
            node_name: node_name.to_owned(),
            node_ips: vec![node_ip.to_owned()],
            node_labels: std::collections::BTreeMap::new(),
            cri_socket: "/run/containerd/containerd.sock".into(),
            root: "/var/lib/kubelet".into(),
            pod_logs: "/var/log/pods".into(),
            container_logs: "/var/log/containers".into(),
            cluster_dns: vec!["10.96.0.10".to_owned()],
            cluster_domain: "cluster.local".to_owned(),
            resolv_conf: "/etc/resolv.conf".into(),
            cgroups: Cgroups::Below("/sys/fs/cgroup".into()),
            max_pods: PODS_MAX,
            reserved_milli_cpu: 0,
            reserved_memory: 0,
            port: 10250,
            version: "v1.36.0+skerry".to_owned(),
            probes: std::sync::Arc::new(crate::probe::values()),
        }
    }
}
