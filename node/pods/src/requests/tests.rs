//! Facts of upstream's tables, as pods in JSON.

use super::*;
use crate::tree;
use api::Quantity;
use serde_json::{Value, json};

fn text(list: &ResourceList) -> String {
    list.iter().map(|(name, amount)| format!("{name}={amount}")).collect::<Vec<_>>().join(" ")
}

fn requests(pod: Value, options: &Options) -> String {
    text(&pod_requests(&tree(pod), options).unwrap())
}

fn container(name: &str, cpu: &str) -> Value {
    json!({"name": name, "resources": {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}}})
}

fn sidecar(name: &str, cpu: &str) -> Value {
    let mut container = container(name, cpu);
    container["restartPolicy"] = json!("Always");
    container
}

fn pod(containers: Vec<Value>, init: Vec<Value>) -> Value {
    json!({"spec": {"containers": containers, "initContainers": init}})
}

#[test]
fn containers_add_up_and_init_containers_do_not() {
    let cases = [
        (pod(vec![container("a", "1"), container("b", "500m")], vec![]), "cpu=1500m"),
        (pod(vec![container("a", "1")], vec![container("i", "2"), container("j", "3")]), "cpu=3"),
        (pod(vec![container("a", "5")], vec![container("i", "2")]), "cpu=5"),
        (pod(vec![], vec![]), ""),
    ];
    for (pod, wants) in cases {
        assert_eq!(requests(pod.clone(), &Options::default()), wants, "{pod}");
        assert_eq!(text(&pod_limits(&tree(pod), &Options::default()).unwrap()), wants);
    }
}

#[test]
fn sidecars_count_beside_containers_and_beside_later_init_containers() {
    let cases = [
        (vec![sidecar("s", "2")], "cpu=3"),
        (vec![sidecar("s", "2"), container("i", "4")], "cpu=6"),
        (vec![container("i", "4"), sidecar("s", "2")], "cpu=4"),
        (vec![sidecar("s", "2"), sidecar("t", "3"), container("i", "1")], "cpu=6"),
        (vec![container("i", "5"), sidecar("s", "3"), container("j", "10"), sidecar("t", "200")], "cpu=204"),
    ];
    for (init, wants) in cases {
        assert_eq!(requests(pod(vec![container("a", "1")], init.clone()), &Options::default()), wants, "{init:?}");
    }
}

#[test]
fn overhead_is_added_to_requests_and_to_limits_that_exist() {
    let mut with = pod(vec![container("a", "1")], vec![]);
    with["spec"]["overhead"] = json!({"cpu": "250m", "memory": "64Mi"});
    assert_eq!(requests(with.clone(), &Options::default()), "cpu=1250m memory=64Mi");
    assert_eq!(text(&pod_limits(&tree(with.clone()), &Options::default()).unwrap()), "cpu=1250m");
    let without = Options { without_overhead: true, ..Options::default() };
    assert_eq!(requests(with, &without), "cpu=1");
}

#[test]
fn the_pod_as_a_whole_overrides_the_sum_where_it_may() {
    let mut whole = pod(vec![container("a", "1")], vec![]);
    whole["spec"]["resources"] = json!({
        "requests": {"cpu": "5", "memory": "1Gi", "hugepages-2Mi": "4Mi", "ephemeral-storage": "9Gi"},
        "limits": {"cpu": "6"},
    });
    assert_eq!(requests(whole.clone(), &Options::default()), "cpu=5 hugepages-2Mi=4Mi memory=1Gi");
    assert_eq!(text(&pod_limits(&tree(whole.clone()), &Options::default()).unwrap()), "cpu=6");
    let without = Options { without_pod_level: true, ..Options::default() };
    assert_eq!(requests(whole, &without), "cpu=1");
}

fn resizing(reason: Option<&str>, infeasible: bool) -> Value {
    let mut pod = pod(vec![container("a", "2")], vec![sidecar("s", "1"), container("i", "1")]);
    pod["status"] = json!({
        "containerStatuses": [{"name": "a", "allocatedResources": {"cpu": "3"}, "resources": {"requests": {"cpu": "4"}, "limits": {"cpu": "1"}}}],
        "initContainerStatuses": [
            {"name": "s", "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "2"}}},
            {"name": "i", "resources": {"requests": {"cpu": "90"}}},
        ],
    });
    if let Some(reason) = reason {
        pod["status"]["conditions"] = json!([{"type": "PodResizePending", "reason": reason}]);
    }
    if infeasible {
        pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!("50");
        pod["spec"]["containers"][0]["resources"]["limits"]["cpu"] = json!("50");
    }
    pod
}

#[test]
fn a_pod_on_a_node_counts_with_the_most_of_wish_allocation_and_fact() {
    let status = Options { use_status: true, ..Options::default() };
    assert_eq!(requests(resizing(None, false), &status), "cpu=6");
    assert_eq!(requests(resizing(None, false), &Options::default()), "cpu=3");
    assert_eq!(requests(resizing(Some("Deferred"), true), &status), "cpu=52");
    assert_eq!(requests(resizing(Some("Infeasible"), true), &status), "cpu=6");
}

#[test]
fn limits_of_a_pod_on_a_node_know_no_allocation() {
    let status = Options { use_status: true, ..Options::default() };
    assert_eq!(text(&pod_limits(&tree(resizing(None, false)), &status).unwrap()), "cpu=4");
}

#[test]
fn missing_requests_are_filled_in_but_explicit_zeros_are_kept() {
    let missing = ResourceList::from([
        ("cpu".to_owned(), Quantity::parse("100m").unwrap()),
        ("memory".to_owned(), Quantity::parse("200Mi").unwrap()),
    ]);
    let options = Options { missing, ..Options::default() };
    let pod = pod(vec![container("a", "0"), json!({"name": "b"})], vec![]);
    assert_eq!(requests(pod, &options), "cpu=100m memory=400Mi");
}

#[test]
fn an_amount_that_is_none_is_named_with_its_field() {
    let wrong = pod_requests(&tree(pod(vec![container("a", "much")], vec![])), &Options::default()).unwrap_err();
    assert_eq!((wrong.field.as_str(), wrong.text.as_str()), ("resources.requests[cpu]", "much"));
}
