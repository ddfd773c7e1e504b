//! Which certificates a cluster has: one line of [`ROLES`] for each.

use crate::authority::Purpose;
use crate::template::San;
use std::net::IpAddr;
use std::time::SystemTime;

/// The authorities of a cluster. They are apart because what one signs must not open what another guards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuthorityName {
    /// Everything that speaks to the API server or is spoken to by it.
    Cluster,
    /// The API server towards aggregated API servers.
    FrontProxy,
    /// Docker's TCP port: whoever holds one of these is root, so no signing request is ever signed by it.
    Docker,
}

impl AuthorityName {
    /// Every authority.
    pub const ALL: [Self; 3] = [Self::Cluster, Self::FrontProxy, Self::Docker];

    /// Name of its files, without ending.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Self::Cluster => "ca",
            Self::FrontProxy => "front-proxy-ca",
            Self::Docker => "docker-ca",
        }
    }

    /// Its common name; those of the first two are kubeadm's.
    #[must_use]
    pub const fn common_name(self) -> &'static str {
        match self {
            Self::Cluster => "kubernetes",
            Self::FrontProxy => "front-proxy-ca",
            Self::Docker => "docker-ca",
        }
    }
}

/// What the certificates are made for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The present time.
    pub now: SystemTime,
    /// Name of this node.
    pub node: String,
    /// Addresses of this node under which its servers are called.
    pub addresses: Vec<IpAddr>,
    /// Further DNS names under which its servers are called.
    pub names: Vec<String>,
    /// Addresses of the Service `default/kubernetes`.
    pub service_addresses: Vec<IpAddr>,
    /// The cluster's DNS domain.
    pub domain: String,
}

/// A certificate of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The API server's port.
    ApiServer,
    /// The API server towards kubelets.
    ApiServerKubeletClient,
    /// The API server towards aggregated API servers.
    FrontProxyClient,
    /// The first administrator.
    Admin,
    /// The controllers.
    ControllerManager,
    /// The scheduler.
    Scheduler,
    /// The kubelet towards the API server.
    Kubelet,
    /// The kubelet's port.
    KubeletServer,
    /// The service proxy and DNS towards the API server.
    Proxy,
    /// Docker's TCP port.
    DockerServer,
}

/// One certificate: its file, who signs it, and what it says.
#[derive(Debug)]
pub struct Entry {
    /// The role.
    pub role: Role,
    /// Name of its file, without ending.
    pub file: &'static str,
    /// Who signs it.
    pub authority: AuthorityName,
    /// What it is used for.
    pub purpose: Purpose,
    /// Common name, from the node's name.
    pub common_name: fn(&str) -> String,
    /// Organizations: groups of the user.
    pub organizations: &'static [&'static str],
    /// Further names.
    pub sans: fn(&Request) -> Vec<San>,
}

const fn entry(
    role: Role,
    file: &'static str,
    authority: AuthorityName,
    purpose: Purpose,
    common_name: fn(&str) -> String,
    organizations: &'static [&'static str],
    sans: fn(&Request) -> Vec<San>,
) -> Entry {
    Entry { role, file, authority, purpose, common_name, organizations, sans }
}

use AuthorityName::{Cluster, Docker, FrontProxy};
use Purpose::{Client, Server};

/// Every certificate of a cluster. Users and groups are those of kubeadm and of the bootstrap policy in
/// `k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy`.
#[rustfmt::skip]
pub static ROLES: &[Entry] = &[
    entry(Role::ApiServer, "apiserver", Cluster, Server, |_| "kube-apiserver".into(), &[], api_server_names),
    entry(Role::ApiServerKubeletClient, "apiserver-kubelet-client", Cluster, Client, |_| "kube-apiserver-kubelet-client".into(), &["system:masters"], nobody),
    entry(Role::FrontProxyClient, "front-proxy-client", FrontProxy, Client, |_| "front-proxy-client".into(), &[], nobody),
    entry(Role::Admin, "admin", Cluster, Client, |_| "kubernetes-admin".into(), &["system:masters"], nobody),
    entry(Role::ControllerManager, "controller-manager", Cluster, Client, |_| "system:kube-controller-manager".into(), &[], nobody),
    entry(Role::Scheduler, "scheduler", Cluster, Client, |_| "system:kube-scheduler".into(), &[], nobody),
    entry(Role::Kubelet, "kubelet", Cluster, Client, node_user, &["system:nodes"], nobody),
    entry(Role::KubeletServer, "kubelet-server", Cluster, Server, node_user, &["system:nodes"], node_names),
    entry(Role::Proxy, "proxy", Cluster, Client, |_| "system:kube-proxy".into(), &["system:node-proxier"], nobody),
    entry(Role::DockerServer, "docker-server", Docker, Server, |_| "dockerd".into(), &[], node_names),
];

impl Role {
    /// Its line in [`ROLES`].
    #[must_use]
    pub fn entry(self) -> &'static Entry {
        ROLES.iter().find(|entry| entry.role == self).expect("every role has a line in ROLES, as a test checks")
    }
}

fn node_user(node: &str) -> String {
    format!("system:node:{node}")
}

fn nobody(_: &Request) -> Vec<San> {
    Vec::new()
}

fn node_names(request: &Request) -> Vec<San> {
    let mut names = vec![San::Dns(request.node.clone()), San::Dns("localhost".to_owned())];
    names.extend(request.names.iter().cloned().map(San::Dns));
    names.extend([IpAddr::from([127, 0, 0, 1]), IpAddr::from(std::net::Ipv6Addr::LOCALHOST)].map(San::Ip));
    names.extend(request.addresses.iter().copied().map(San::Ip));
    unique(names)
}

fn api_server_names(request: &Request) -> Vec<San> {
    let mut names: Vec<San> = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
        .into_iter()
        .map(|name| San::Dns(name.to_owned()))
        .collect();
    names.push(San::Dns(format!("kubernetes.default.svc.{}", request.domain)));
    names.extend(node_names(request));
    names.extend(request.service_addresses.iter().copied().map(San::Ip));
    unique(names)
}

fn unique(mut names: Vec<San>) -> Vec<San> {
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}
