//! Tables of pods and what the engine is asked for.

use super::{dns, hosts, resources, sandbox, security};
use crate::config::Config;
use crate::cri::v1;
use crate::pod;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use std::path::Path;

fn pod(spec: Value) -> Pod {
    let meta = json!({"name": "p", "namespace": "ns", "uid": "u", "labels": {"a": "b"}});
    serde_json::from_value(json!({"metadata": meta, "spec": spec})).unwrap()
}

#[test]
fn a_resolver_file_follows_the_policy() {
    let node = dns::parse("nameserver 9.9.9.9\nsearch old\nsearch example.com .\noptions timeout:1\n# x\n");
    let cluster = dns::Cluster { servers: &["10.96.0.10".to_owned()], domain: "cluster.local" };
    let text = |spec: Value| {
        let found = dns::of_pod(&pod(spec), &node, cluster);
        format!("{} | {} | {}", found.servers.join(" "), found.searches.join(" "), found.options.join(" "))
    };
    let first = "10.96.0.10 | ns.svc.cluster.local svc.cluster.local cluster.local example.com | ndots:5";
    let own = "9.9.9.9 | example.com | timeout:1";
    assert_eq!(text(json!({"containers": []})), first);
    assert_eq!(text(json!({"hostNetwork": true, "containers": []})), own);
    assert_eq!(text(json!({"hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet", "containers": []})), first);
    assert_eq!(text(json!({"dnsPolicy": "Default", "containers": []})), own);
    let config = json!({"nameservers": ["1.1.1.1"], "searches": ["x"], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]});
    assert_eq!(
        text(json!({"dnsPolicy": "None", "dnsConfig": config, "containers": []})),
        "1.1.1.1 | x | edns0 ndots:2"
    );
}

#[test]
fn host_names_and_hosts_files_know_subdomains_and_aliases() {
    let spec = json!({"hostname": "h", "subdomain": "s", "setHostnameAsFQDN": true, "containers": [],
        "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]});
    assert_eq!(hosts::kernel_name(&pod(spec.clone()), "cluster.local").unwrap(), "h.s.ns.svc.cluster.local");
    let file = hosts::file(&pod(spec), &["10.0.0.1".to_owned()], "cluster.local", "");
    assert!(file.contains("10.0.0.1\th.s.ns.svc.cluster.local\th\n"), "{file}");
    assert!(file.ends_with("# Entries added by HostAliases.\n1.2.3.4\ta\tb\n"), "{file}");
    let host = pod(json!({"hostNetwork": true, "containers": []}));
    assert_eq!(hosts::file(&host, &[], "cluster.local", "x\n"), "# Kubernetes-managed hosts file (host network).\nx\n");
}

#[test]
fn amounts_become_the_kernels_numbers() {
    let resources =
        json!({"requests": {"cpu": "250m", "memory": "64Mi"}, "limits": {"cpu": "500m", "memory": "128Mi"}});
    let burstable = pod(json!({"containers": [{"name": "c", "resources": resources}]}));
    let (_, container) = pod::container(&burstable, "c").unwrap();
    let linux = resources::of_container(&burstable, &container, 1 << 30);
    assert_eq!((linux.cpu_shares, linux.cpu_quota, linux.memory_limit_in_bytes), (256, 50_000, 128 << 20));
    assert_eq!(linux.oom_score_adj, 1000 - 62);
    let nothing = pod(json!({"containers": [{"name": "c"}]}));
    let (_, container) = pod::container(&nothing, "c").unwrap();
    let linux = resources::of_container(&nothing, &container, 1 << 30);
    assert_eq!((linux.cpu_shares, linux.cpu_quota, linux.memory_limit_in_bytes, linux.oom_score_adj), (2, 0, 0, 1000));
    let same = json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}});
    let guaranteed = pod(json!({"containers": [{"name": "c", "resources": same}]}));
    let (_, container) = pod::container(&guaranteed, "c").unwrap();
    assert_eq!(resources::oom_score(&guaranteed, &container, 1 << 30), -997);
}

#[test]
fn a_container_without_limit_leaves_the_pod_without_limit() {
    let limited = json!({"limits": {"cpu": "1", "memory": "1Mi"}});
    let both = pod(json!({"containers": [{"name": "a", "resources": limited}, {"name": "b", "resources": limited}]}));
    let one = pod(json!({"containers": [{"name": "a", "resources": limited}, {"name": "b"}]}));
    assert_eq!(resources::of_pod(&both, false).memory_limit_in_bytes, 2 << 20);
    assert_eq!(resources::of_pod(&one, false).memory_limit_in_bytes, 0);
}

#[test]
fn the_containers_security_goes_before_the_pods() {
    let own = json!({"runAsUser": 5, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": true,
        "allowPrivilegeEscalation": false, "seccompProfile": {"type": "Localhost", "localhostProfile": "x.json"}});
    let shared = json!({"runAsUser": 1, "runAsGroup": 2, "fsGroup": 3, "supplementalGroups": [4],
        "seccompProfile": {"type": "RuntimeDefault"}});
    let pod = pod(json!({"securityContext": shared, "shareProcessNamespace": true,
        "containers": [{"name": "a", "securityContext": own}, {"name": "b"}]}));
    let of = |name: &str| {
        let (_, container) = pod::container(&pod, name).unwrap();
        security::of_container(&pod, &container, &security::ImageUser::default(), None, Path::new("/s")).unwrap()
    };
    let (a, b) = (of("a"), of("b"));
    assert_eq!((a.run_as_user.unwrap().value, a.run_as_group.unwrap().value), (5, 2));
    assert_eq!((a.supplemental_groups, a.readonly_rootfs, a.no_new_privs), (vec![3, 4], true, true));
    assert_eq!(a.seccomp.unwrap().localhost_ref, "/s/x.json");
    assert_eq!((b.run_as_user.unwrap().value, b.no_new_privs, b.capabilities), (1, false, None));
    assert_eq!(b.seccomp.unwrap().profile_type(), v1::security_profile::ProfileType::RuntimeDefault);
    assert_eq!(b.namespace_options.unwrap().pid(), v1::NamespaceMode::Pod);
}

#[test]
fn root_is_refused_where_it_must_not_be() {
    let check = |context: Value, image: security::ImageUser| {
        let pod = pod(json!({"containers": [{"name": "c", "securityContext": context}]}));
        let (_, container) = pod::container(&pod, "c").unwrap();
        security::check_non_root(&pod, &container, &image).err().unwrap_or_default()
    };
    let uid = |uid| security::ImageUser { uid: Some(uid), name: String::new() };
    let named = security::ImageUser { uid: None, name: "app".to_owned() };
    assert_eq!(check(json!({"runAsNonRoot": true}), uid(7)), "");
    assert!(check(json!({"runAsNonRoot": true}), uid(0)).contains("image will run as root"));
    assert!(check(json!({"runAsNonRoot": true, "runAsUser": 0}), uid(7)).contains("breaks non-root policy"));
    assert!(check(json!({"runAsNonRoot": true}), named).contains("non-numeric user (app)"));
}

#[test]
fn a_sandbox_has_ports_sysctls_and_a_log_folder() {
    let spec = json!({"securityContext": {"sysctls": [{"name": "net/ipv4.x", "value": "1"}]},
        "containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 8080, "protocol": "UDP"}, {"containerPort": 81}]}]});
    let config = Config::new("n", "10.250.0.1");
    let found =
        sandbox::config(&config, &pod(spec), 2, "/kubepods/besteffort/podu", &dns::Resolver::default()).unwrap();
    assert_eq!((found.log_directory.as_str(), found.hostname.as_str()), ("/var/log/pods/ns_p_u", "p"));
    assert_eq!((found.port_mappings.len(), found.port_mappings[0].host_port), (1, 8080));
    let linux = found.linux.unwrap();
    assert_eq!(linux.sysctls["net.ipv4.x"], "1");
    assert_eq!(linux.cgroup_parent, "/kubepods/besteffort/podu");
    assert_eq!((found.metadata.unwrap().attempt, found.labels["a"].as_str()), (2, "b"));
}
