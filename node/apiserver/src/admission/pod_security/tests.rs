//! Pod Security against trees, in the words of upstream.

use super::policy::Version;
use super::*;
use api::tree;

fn of(level: Level, version: Version, pod: &Tree) -> String {
    checks::violations(Standard { level, version }, pod).details()
}

fn spec(spec: Tree) -> Tree {
    let mut pod = tree!({"metadata": {"name": "p"}});
    pod.set("spec", spec);
    pod
}

/// A pod of one container with this security context.
fn secured(context: Tree) -> Tree {
    spec(tree!({"containers": [{"name": "c", "securityContext": (context)}]}))
}

fn good() -> Tree {
    secured(tree!({
        "allowPrivilegeEscalation": false, "runAsNonRoot": true,
        "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}
    }))
}

#[test]
fn a_plain_pod_is_within_the_baseline_but_not_restricted() {
    let plain = spec(tree!({"containers": [{"name": "a"}, {"name": "b"}], "initContainers": [{"name": "i"}]}));
    assert_eq!(of(Level::Privileged, Version::Latest, &plain), "");
    assert_eq!(of(Level::Baseline, Version::Latest, &plain), "");
    let all = r#"containers "i", "a", "b""#;
    assert_eq!(
        of(Level::Restricted, Version::Latest, &plain),
        format!(
            "allowPrivilegeEscalation != false ({all} must set securityContext.allowPrivilegeEscalation=false), \
             unrestricted capabilities ({all} must set securityContext.capabilities.drop=[\"ALL\"]), \
             runAsNonRoot != true (pod or {all} must set securityContext.runAsNonRoot=true), \
             seccompProfile (pod or {all} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"
        )
    );
}

#[test]
fn a_pod_of_good_practice_is_restricted() {
    assert_eq!(of(Level::Restricted, Version::Latest, &good()), "");
    let mut whole = good();
    whole.set_at(&["spec", "securityContext"], tree!({"runAsNonRoot": true, "seccompProfile": {"type": "Localhost"}}));
    for field in ["runAsNonRoot", "seccompProfile"] {
        let containers = whole.at_mut(&["spec", "containers"]).and_then(Tree::as_list_mut).unwrap();
        containers[0].remove_at(&["securityContext", field]);
    }
    assert_eq!(of(Level::Restricted, Version::Latest, &whole), "");
}

fn baseline(pod: Tree, wants: &str) {
    assert_eq!(of(Level::Baseline, Version::Latest, &pod), wants);
}

#[test]
fn the_baseline_forbids_what_leads_out_of_a_pod() {
    baseline(
        secured(tree!({"privileged": true})),
        r#"privileged (container "c" must not set securityContext.privileged=true)"#,
    );
    baseline(
        spec(tree!({"hostNetwork": true, "hostPID": true, "hostIPC": false})),
        "host namespaces (hostNetwork=true, hostPID=true)",
    );
    baseline(
        spec(tree!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}, {"name": "e", "emptyDir": {}}]})),
        r#"hostPath volumes (volume "v")"#,
    );
    baseline(
        spec(tree!({"containers": [{"name": "c", "ports": [{"hostPort": 80}, {"hostPort": 443}, {"hostPort": 0}]}]})),
        r#"hostPort (container "c" uses hostPorts 443, 80)"#,
    );
    baseline(
        secured(tree!({"capabilities": {"add": ["NET_RAW", "CHOWN", "BPF"]}})),
        r#"non-default capabilities (container "c" must not include "BPF", "NET_RAW" in securityContext.capabilities.add)"#,
    );
    baseline(
        secured(tree!({"procMount": "Unmasked"})),
        r#"procMount (container "c" must not set securityContext.procMount to "Unmasked")"#,
    );
    baseline(
        spec(tree!({"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_rmem"}, {"name": "kernel.msgmax"}]}})),
        "forbidden sysctls (kernel.msgmax)",
    );
    baseline(
        spec(tree!({"containers": [{"name": "c", "livenessProbe": {"httpGet": {"host": "10.0.0.1"}}}]})),
        r#"probe or lifecycle host (container "c" uses probe or lifecycle host "10.0.0.1")"#,
    );
}

#[test]
fn the_baseline_forbids_weaker_profiles() {
    baseline(
        spec(tree!({"securityContext": {"seccompProfile": {"type": "Unconfined"}},
            "containers": [{"name": "c", "securityContext": {"seccompProfile": {"type": "Unconfined"}}}]})),
        r#"seccompProfile (pod and container "c" must not set securityContext.seccompProfile.type to "Unconfined")"#,
    );
    baseline(
        secured(tree!({"seLinuxOptions": {"type": "spc_t", "user": "u"}})),
        r#"seLinuxOptions (container "c" set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be set)"#,
    );
    baseline(
        secured(tree!({"appArmorProfile": {"type": "Unconfined"}})),
        r#"forbidden AppArmor profile (container "c" must not set AppArmor profile type to "Unconfined")"#,
    );
    baseline(
        secured(tree!({"windowsOptions": {"hostProcess": true}})),
        r#"hostProcess (container "c" must not set securityContext.windowsOptions.hostProcess=true)"#,
    );
}

#[test]
fn the_restricted_level_replaces_weaker_checks() {
    let mut pod = good();
    pod.set_at(&["spec", "volumes"], tree!([{"name": "h", "hostPath": {}}, {"name": "n", "nfs": {}}]));
    assert_eq!(
        of(Level::Restricted, Version::Latest, &pod),
        r#"restricted volume types (volumes "h", "n" use restricted volume types "hostPath", "nfs")"#
    );
    let mut root = good();
    root.set_at(&["spec", "securityContext", "runAsUser"], 0);
    assert_eq!(of(Level::Restricted, Version::Latest, &root), "runAsUser=0 (pod must not set runAsUser=0)");
}

#[test]
fn a_version_keeps_its_rules() {
    let tuned = spec(tree!({"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_rmem"}]}}));
    assert_eq!(of(Level::Baseline, Version::Minor(31), &tuned), "forbidden sysctls (net.ipv4.tcp_rmem)");
    assert_eq!(of(Level::Baseline, Version::Minor(32), &tuned), "");
    assert_eq!(of(Level::Restricted, Version::Minor(7), &spec(tree!({"securityContext": {"runAsNonRoot": true}}))), "");
    let own_users = spec(tree!({"hostUsers": false, "containers": [{"name": "c", "securityContext": {"runAsUser": 0,
        "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"}}}]}));
    assert_eq!(of(Level::Restricted, Version::Latest, &own_users), "");
    assert!(of(Level::Restricted, Version::Minor(34), &own_users).starts_with("runAsNonRoot != true (pod or "));
}

fn policy(labels: &[(&str, &str)]) -> (Policy, usize) {
    let labels: api::Map =
        labels.iter().map(|(name, value)| (format!("pod-security.kubernetes.io/{name}"), *value)).collect();
    let (policy, faults) = Policy::of(Some(&labels));
    (policy, faults.len())
}

#[test]
fn labels_say_the_policy() {
    let said = |labels: &[(&str, &str)]| {
        let (policy, faults) = policy(labels);
        (format!("{} {} {}", policy.enforce, policy.audit, policy.warn), faults)
    };
    let text = |enforce: &str, audit: &str, warn: &str| format!("{enforce} {audit} {warn}");
    let free = "privileged:latest";
    assert_eq!(said(&[]), (text(free, free, free), 0));
    assert_eq!(
        said(&[("enforce", "baseline"), ("enforce-version", "v1.30")]),
        (text("baseline:v1.30", free, "baseline:v1.30"), 0)
    );
    assert_eq!(said(&[("enforce", "restricted"), ("warn", "privileged")]), (text("restricted:latest", free, free), 0));
    assert_eq!(said(&[("enforce", "strict")]), (text("restricted:latest", free, free), 1));
    assert_eq!(said(&[("audit", "x"), ("warn", "y"), ("warn-version", "v1.01")]), (text(free, free, free), 3));
}

#[test]
fn only_images_and_new_containers_matter_in_a_change() {
    let old = spec(tree!({"containers": [{"name": "c", "image": "a"}]}));
    let mut new = old.clone();
    new.set_at(&["spec", "activeDeadlineSeconds"], 5);
    assert!(!dares_differently(&new, &old));
    let image = spec(tree!({"containers": [{"name": "c", "image": "b"}]}));
    assert!(dares_differently(&image, &old));
    new.set_at(&["spec", "ephemeralContainers"], tree!([{"name": "debug", "image": "a"}]));
    assert!(dares_differently(&new, &old));
    assert!(!dares_differently(&new, &new.clone()));
}

#[test]
fn pods_that_are_there_already_are_told_by_their_fault() {
    let named = |name: &str| {
        let mut pod = secured(tree!({"privileged": true}));
        pod.set_at(&["metadata", "name"], name);
        pod
    };
    let standard = Standard { level: Level::Baseline, version: Version::Latest };
    let pods = vec![named("c"), named("b"), named("a"), good()];
    assert_eq!(
        existing("ns", standard, pods),
        [
            r#"existing pods in namespace "ns" violate the new PodSecurity enforce level "baseline:latest""#,
            "a (and 2 other pods): privileged",
        ]
    );
    assert!(existing("ns", standard, vec![good()]).is_empty());
}
