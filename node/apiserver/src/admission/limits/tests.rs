//! Limit ranges against trees, in the words of upstream.

use super::*;
use api::tree;

fn range(limit: Tree) -> Tree {
    let mut range = tree!({"spec": {}});
    range.set_at(&["spec", "limits"], vec![limit]);
    range
}

fn pod(resources: Tree) -> Tree {
    let container = tree!({"name": "c", "resources": (resources)});
    let mut pod = tree!({"metadata": {"name": "p"}, "spec": {}});
    pod.set_at(&["spec", "containers"], vec![container]);
    pod
}

#[test]
fn containers_get_what_they_do_not_say_and_an_annotation_tells() {
    let range = range(tree!({"type": "Container",
        "default": {"cpu": "500m", "memory": "500Mi"},
        "defaultRequest": {"cpu": "100m", "memory": "200Mi"}}));
    let mut pod = tree!({"metadata": {"name": "p"}, "spec": {
        "containers": [{"name": "a"}, {"name": "b", "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}}],
        "initContainers": [{"name": "i"}]}});
    fill(&range, &mut pod);
    let of = |list: &str, at: usize, side: &str, name: &str| {
        pod.list_at(&["spec", list])[at].str_at(&["resources", side, name]).map(str::to_owned)
    };
    assert_eq!(of("containers", 0, "requests", "cpu").as_deref(), Some("100m"));
    assert_eq!(of("containers", 0, "limits", "memory").as_deref(), Some("500Mi"));
    assert_eq!(of("containers", 1, "requests", "cpu").as_deref(), Some("1"));
    assert_eq!(of("containers", 1, "requests", "memory").as_deref(), Some("200Mi"));
    assert_eq!(of("initContainers", 0, "limits", "cpu").as_deref(), Some("500m"));
    assert_eq!(
        meta::annotation(&pod, ANNOTATION),
        Some(
            "LimitRanger plugin set: cpu, memory request for container a; cpu, memory limit for container a; \
             memory request for container b; memory limit for container b; \
             cpu, memory request for init container i; cpu, memory limit for init container i"
        )
    );
}

#[test]
fn a_pod_that_says_all_is_not_touched() {
    let range = range(tree!({"type": "Container", "default": {"cpu": "1"}}));
    let mut said = pod(tree!({"limits": {"cpu": "2"}}));
    let before = said.clone();
    fill(&range, &mut said);
    assert_eq!(said, before);
}

fn check(limit: Tree, resources: Tree, wants: &[&str]) {
    let faults = judge_pod(&range(limit), &pod(resources)).expect("quantities of a test");
    assert_eq!(faults, wants);
}

#[test]
fn bounds_of_containers_are_kept() {
    let min = || tree!({"type": "Container", "min": {"cpu": "50m"}});
    check(min(), tree!({"requests": {"cpu": "50m"}}), &[]);
    check(min(), tree!({}), &["minimum cpu usage per Container is 50m.  No request is specified"]);
    check(min(), tree!({"requests": {"cpu": "10m"}}), &["minimum cpu usage per Container is 50m, but request is 10m"]);
    check(
        min(),
        tree!({"requests": {"cpu": "60m"}, "limits": {"cpu": "40m"}}),
        &["minimum cpu usage per Container is 50m, but limit is 40m"],
    );
    let max = || tree!({"type": "Container", "max": {"memory": "1Gi"}});
    check(max(), tree!({"limits": {"memory": "1Gi"}}), &[]);
    check(max(), tree!({}), &["maximum memory usage per Container is 1Gi.  No limit is specified"]);
    check(
        max(),
        tree!({"limits": {"memory": "2Gi"}}),
        &["maximum memory usage per Container is 1Gi, but limit is 2Gi"],
    );
    check(
        max(),
        tree!({"requests": {"memory": "3Gi"}, "limits": {"memory": "1Gi"}}),
        &["maximum memory usage per Container is 1Gi, but request is 3Gi"],
    );
}

#[test]
fn a_limit_may_be_only_so_many_times_the_request() {
    let ratio = || tree!({"type": "Container", "maxLimitRequestRatio": {"cpu": "1500m"}});
    check(ratio(), tree!({"requests": {"cpu": "1"}, "limits": {"cpu": "1500m"}}), &[]);
    check(
        ratio(),
        tree!({"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}),
        &["cpu max limit to request ratio per Container is 1500m, but provided ratio is 2.000000"],
    );
    check(
        ratio(),
        tree!({"limits": {"cpu": "2"}}),
        &["cpu max limit to request ratio per Container is 1500m, but no request is specified or request is 0"],
    );
    check(
        ratio(),
        tree!({"requests": {"cpu": "2"}}),
        &["cpu max limit to request ratio per Container is 1500m, but no limit is specified or limit is 0"],
    );
}

#[test]
fn bounds_of_pods_look_at_the_sum() {
    let range = range(tree!({"type": "Pod", "max": {"cpu": "3"}}));
    let mut pod = pod(tree!({"requests": {"cpu": "2"}, "limits": {"cpu": "2"}}));
    assert!(judge_pod(&range, &pod).unwrap().is_empty());
    let twice = [pod.list_at(&["spec", "containers"])[0].clone(), pod.list_at(&["spec", "containers"])[0].clone()];
    pod.set_at(&["spec", "containers"], twice.to_vec());
    assert_eq!(judge_pod(&range, &pod).unwrap(), ["maximum cpu usage per Pod is 3, but limit is 4"]);
}

#[test]
fn bounds_of_claims_look_at_requests_only() {
    let range = range(tree!({"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}));
    let claim = |size: &str| tree!({"spec": {"resources": {"requests": {"storage": (size)}}}});
    let faults = |size: &str| judge_claim(&range, &claim(size)).unwrap();
    assert!(faults("2Gi").is_empty());
    assert_eq!(faults("3Gi"), ["maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"]);
    assert_eq!(faults("1Mi"), ["minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi"]);
}

#[test]
fn faults_are_told_once_each() {
    let faults = |texts: &[&str]| joined(&texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
    assert_eq!(faults(&[]), None);
    assert_eq!(faults(&["a", "a"]).as_deref(), Some("a"));
    assert_eq!(faults(&["a", "b", "a"]).as_deref(), Some("[a, b]"));
}
