//! A pod's host name and its `/etc/hosts`, as upstream's `ensureHostsFile` and `GeneratePodHostNameAndDomain`.

use crate::pod;
use client::Meta;
use k8s_openapi::api::core::v1::Pod;

/// Letters of a host name, as the kernel takes.
pub const HOST_NAME_MAX: usize = 63;

/// The host name and the domain below which it is known, empty without one.
#[must_use]
pub fn names(pod: &Pod, cluster_domain: &str) -> (String, String) {
    let spec = pod::spec(pod);
    if let Some(name) = spec.hostname_override.as_ref().filter(|name| !name.is_empty()) {
        return (name.clone(), String::new());
    }
    let name = match spec.hostname.as_deref() {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => pod.name().chars().take(HOST_NAME_MAX).collect::<String>().trim_end_matches(['-', '.']).to_owned(),
    };
    let domain = match spec.subdomain.as_deref() {
        Some(sub) if !sub.is_empty() => format!("{sub}.{}.svc.{cluster_domain}", pod.namespace()),
        _ => String::new(),
    };
    (name, domain)
}

/// What the kernel is told as host name.
///
/// # Errors
/// When the full name that the pod wants is too long for it.
pub fn kernel_name(pod: &Pod, cluster_domain: &str) -> Result<String, String> {
    let (name, domain) = names(pod, cluster_domain);
    if pod::spec(pod).set_hostname_as_fqdn != Some(true) || domain.is_empty() {
        return Ok(name);
    }
    let full = format!("{name}.{domain}");
    if full.len() > HOST_NAME_MAX + 1 {
        return Err(format!(
            "failed to construct FQDN from pod hostname and cluster domain, FQDN {full} is too long ({} is the max \
             characters requested)",
            HOST_NAME_MAX + 1
        ));
    }
    Ok(full)
}

/// The file's text. On the node's network it is the node's own with the aliases added.
#[must_use]
pub fn file(pod: &Pod, ips: &[String], cluster_domain: &str, node_file: &str) -> String {
    let mut text = String::new();
    if pod::on_host_network(pod) {
        text.push_str("# Kubernetes-managed hosts file (host network).\n");
        text.push_str(node_file);
    } else {
        text.push_str("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n");
        text.push_str("::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\n");
        text.push_str("fe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n");
        let (name, domain) = names(pod, cluster_domain);
        for ip in ips {
            let full = if domain.is_empty() { name.clone() } else { format!("{name}.{domain}\t{name}") };
            text.push_str(&format!("{ip}\t{full}\n"));
        }
    }
    let aliases = pod::spec(pod).host_aliases.as_deref().unwrap_or_default();
    if !aliases.is_empty() {
        text.push_str("\n# Entries added by HostAliases.\n");
        for alias in aliases {
            let names = alias.hostnames.clone().unwrap_or_default().join("\t");
            text.push_str(&format!("{}\t{names}\n", alias.ip));
        }
    }
    text
}
