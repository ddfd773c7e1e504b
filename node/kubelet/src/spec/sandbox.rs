//! The configuration of a pod's sandbox, as upstream's `generatePodSandboxConfig`.

use super::{dns, hosts, resources, security};
use crate::config::Config;
use crate::cri::v1;
use crate::{labels, pod};
use client::Meta;
use k8s_openapi::api::core::v1::{Container, Pod};
use std::path::{Path, PathBuf};

/// The folder of a pod's logs.
#[must_use]
pub fn log_folder(pod_logs: &Path, pod: &Pod) -> PathBuf {
    pod_logs.join(format!("{}_{}_{}", pod.namespace(), pod.name(), pod.uid()))
}

fn ports(container: &Container) -> impl Iterator<Item = v1::PortMapping> {
    container.ports.iter().flatten().filter(|port| port.host_port.is_some_and(|port| port > 0)).map(|port| {
        let protocol = match port.protocol.as_deref() {
            Some("UDP") => v1::Protocol::Udp,
            Some("SCTP") => v1::Protocol::Sctp,
            _ => v1::Protocol::Tcp,
        };
        v1::PortMapping {
            protocol: protocol as i32,
            container_port: port.container_port,
            host_port: port.host_port.unwrap_or(0),
            host_ip: port.host_ip.clone().unwrap_or_default(),
        }
    })
}

/// The configuration. `cgroup` is the pod's cgroup for the engine, empty when there is none.
///
/// # Errors
/// When the host name is too long.
pub fn config(
    config: &Config,
    pod: &Pod,
    attempt: u32,
    cgroup: &str,
    node: &dns::Resolver,
) -> Result<v1::PodSandboxConfig, String> {
    let host = pod::on_host_network(pod);
    let cluster = dns::Cluster { servers: &config.cluster_dns, domain: &config.cluster_domain };
    let sidecars = pod::init_containers(pod).iter().filter(|c| pod::is_sidecar(c));
    let mapped = pod::spec(pod).containers.iter().chain(sidecars).flat_map(ports);
    let sysctls = pod::spec(pod).security_context.iter().flat_map(|context| context.sysctls.iter().flatten());
    Ok(v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata {
            name: pod.name().to_owned(),
            uid: pod.uid().to_owned(),
            namespace: pod.namespace().to_owned(),
            attempt,
        }),
        hostname: if host { String::new() } else { hosts::kernel_name(pod, &config.cluster_domain)? },
        log_directory: log_folder(&config.pod_logs, pod).to_string_lossy().into_owned(),
        dns_config: Some(dns::of_pod(pod, node, cluster)),
        // On the node's network the ports are the node's already.
        port_mappings: if host { Vec::new() } else { mapped.collect() },
        labels: labels::of_sandbox(pod),
        annotations: pod.metadata.annotations.clone().unwrap_or_default(),
        linux: Some(v1::LinuxPodSandboxConfig {
            cgroup_parent: cgroup.to_owned(),
            security_context: Some(security::of_sandbox(pod)),
            sysctls: sysctls.map(|sysctl| (sysctl.name.replace('/', "."), sysctl.value.clone())).collect(),
            overhead: Some(resources::of_overhead(pod)),
            resources: Some(resources::of_pod(pod, true)),
        }),
    })
}
