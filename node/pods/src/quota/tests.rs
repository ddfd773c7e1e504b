//! Costs, scopes and refusals of quotas, in the words of upstream.

use super::*;
use crate::tree;
use serde_json::{Value, json};

const NOW: Instant = Instant { seconds: 1_000_000, nanos: 0 };

fn texts(list: ResourceList) -> Vec<String> {
    list.into_iter().map(|(name, amount)| format!("{name}={amount}")).collect()
}

fn usage(evaluator: &Evaluator, object: Value) -> Vec<String> {
    texts(evaluator.usage(&tree(object), NOW).unwrap())
}

fn pod(spec: Value) -> Value {
    json!({"metadata": {"name": "p", "resourceVersion": "1"}, "spec": spec})
}

fn asking(requests: Value, limits: Value) -> Value {
    pod(json!({"containers": [{"name": "c", "resources": {"requests": requests, "limits": limits}}]}))
}

#[test]
fn a_pod_costs_its_requests_and_limits_under_all_their_names() {
    let requests = json!({"cpu": "100m", "memory": "1Gi", "example.com/gpu": "2", "hugepages-2Mi": "4Mi"});
    assert_eq!(
        usage(&Evaluator::Pods, asking(requests, json!({"cpu": "200m"}))),
        [
            "count/pods=1",
            "cpu=100m",
            "hugepages-2Mi=4Mi",
            "limits.cpu=200m",
            "memory=1Gi",
            "pods=1",
            "requests.cpu=100m",
            "requests.example.com/gpu=2",
            "requests.hugepages-2Mi=4Mi",
            "requests.memory=1Gi",
        ]
    );
}

#[test]
fn a_pod_that_has_ended_costs_only_its_place() {
    let mut ended = asking(json!({"cpu": "1"}), json!({}));
    ended["status"] = json!({"phase": "Succeeded"});
    assert_eq!(usage(&Evaluator::Pods, ended), ["count/pods=1"]);
    let mut stuck = asking(json!({"cpu": "1"}), json!({}));
    stuck["metadata"]["deletionGracePeriodSeconds"] = json!(30);
    stuck["metadata"]["deletionTimestamp"] = json!("1970-01-01T00:00:00Z");
    assert_eq!(usage(&Evaluator::Pods, stuck.clone()), ["count/pods=1"]);
    stuck["metadata"]["deletionTimestamp"] = json!("1970-01-12T13:46:40Z");
    assert_eq!(usage(&Evaluator::Pods, stuck).len(), 4);
}

#[test]
fn a_service_costs_the_node_ports_that_it_wants() {
    let service = |spec: Value| usage(&Evaluator::Services, json!({ "spec": spec }));
    let ports = json!([{"port": 1}, {"port": 2, "nodePort": 30000}]);
    let of = |balancers: &str, node_ports: &str| {
        ["count/services=1", "services=1", balancers, node_ports].map(str::to_owned).to_vec()
    };
    let (none, two) = ("services.loadbalancers=0", "services.nodeports=2");
    assert_eq!(service(json!({"type": "ClusterIP", "ports": ports})), of(none, "services.nodeports=0"));
    assert_eq!(service(json!({"type": "NodePort", "ports": ports})), of(none, two));
    assert_eq!(service(json!({"type": "LoadBalancer", "ports": ports})), of("services.loadbalancers=1", two));
    let few = json!({"type": "LoadBalancer", "ports": ports, "allocateLoadBalancerNodePorts": false});
    assert_eq!(service(few), of("services.loadbalancers=1", "services.nodeports=1"));
}

#[test]
fn a_claim_costs_its_storage_of_its_class_too() {
    let claim = json!({"spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "1Gi"}}}});
    assert_eq!(
        usage(&Evaluator::Claims, claim),
        [
            "count/persistentvolumeclaims=1",
            "gold.storageclass.storage.k8s.io/persistentvolumeclaims=1",
            "gold.storageclass.storage.k8s.io/requests.storage=1Gi",
            "persistentvolumeclaims=1",
            "requests.storage=1Gi",
        ]
    );
    assert!(Evaluator::Claims.tracks("any.storageclass.storage.k8s.io/requests.storage"));
}

#[test]
fn everything_else_is_counted() {
    let secrets = Evaluator::of("", "secrets").unwrap();
    assert_eq!(usage(&secrets, json!({})), ["count/secrets=1", "secrets=1"]);
    let deployments = Evaluator::of("apps", "deployments").unwrap();
    assert_eq!(usage(&deployments, json!({})), ["count/deployments.apps=1"]);
    assert_eq!(Evaluator::of("", "events"), None);
}

fn quota(hard: Value, used: Value, spec: Value) -> Tree {
    tree(json!({"metadata": {"name": "q"}, "spec": spec, "status": {"hard": hard, "used": used}}))
}

fn charged(evaluator: &Evaluator, quota: &Tree, object: Value, old: Option<Value>) -> Result<Vec<String>, String> {
    let (object, old) = (tree(object), old.map(tree));
    let change = Change { object: &object, old: old.as_ref(), status: false };
    let charges = charge(evaluator, std::slice::from_ref(quota), change, NOW).map_err(|refusal| refusal.to_string())?;
    Ok(charges.into_iter().flat_map(|charge| texts(charge.used)).collect())
}

#[test]
fn what_does_not_fit_is_refused_in_upstreams_words() {
    let quota = quota(json!({"pods": "5", "cpu": "1"}), json!({"pods": "1", "cpu": "500m"}), json!({}));
    let create = |cpu: &str| charged(&Evaluator::Pods, &quota, asking(json!({"cpu": cpu}), json!({})), None);
    assert_eq!(create("500m").unwrap(), ["cpu=1", "pods=2"]);
    assert_eq!(create("600m").unwrap_err(), "exceeded quota: q, requested: cpu=600m, used: cpu=500m, limited: cpu=1");
    assert_eq!(
        charged(&Evaluator::Pods, &quota, pod(json!({"containers": [{"name": "b"}, {"name": "a"}]})), None)
            .unwrap_err(),
        "failed quota: q: must specify cpu for: a,b"
    );
}

#[test]
fn a_quota_that_was_not_counted_yet_refuses() {
    let quota = quota(json!({"secrets": "5", "count/secrets": "1"}), json!({"secrets": "1"}), json!({}));
    let secrets = Evaluator::of("", "secrets").unwrap();
    assert_eq!(
        charged(&secrets, &quota, json!({}), None).unwrap_err(),
        "status unknown for quota: q, resources: count/secrets,secrets"
    );
    let configmaps = Evaluator::of("", "configmaps").unwrap();
    assert!(charged(&configmaps, &quota, json!({}), None).unwrap().is_empty());
}

#[test]
fn a_change_costs_what_it_adds() {
    let hard = json!({"services": "1", "services.nodeports": "1"});
    let quota = quota(hard, json!({"services": "1", "services.nodeports": "0"}), json!({}));
    let service = |kind: &str, ports: usize| {
        let ports: Vec<Value> = (0..ports).map(|port| json!({"port": port})).collect();
        json!({"metadata": {"resourceVersion": "1"}, "spec": {"type": kind, "ports": ports}})
    };
    let change = |to: Value| charged(&Evaluator::Services, &quota, to, Some(service("ClusterIP", 1)));
    assert_eq!(change(service("NodePort", 1)).unwrap(), ["services=1", "services.nodeports=1"]);
    assert!(change(service("ClusterIP", 2)).unwrap().is_empty());
    assert_eq!(
        change(service("NodePort", 2)).unwrap_err(),
        "exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=0, limited: services.nodeports=1"
    );
}

#[test]
fn the_status_of_a_claim_is_counted_but_not_refused() {
    let quota = quota(json!({"requests.storage": "1Gi"}), json!({"requests.storage": "1Gi"}), json!({}));
    let claim = |given: Value| {
        tree(json!({"metadata": {"resourceVersion": "1"}, "status": {"allocatedResources": given},
            "spec": {"resources": {"requests": {"storage": "1Gi"}}}}))
    };
    let (object, old) = (claim(json!({"storage": "2Gi"})), claim(json!({})));
    assert!(Evaluator::Claims.handles("status", &object, Some(&old)));
    let change = Change { object: &object, old: Some(&old), status: true };
    let charges = charge(&Evaluator::Claims, &[quota], change, NOW).unwrap();
    assert_eq!(texts(charges[0].used.clone()), ["requests.storage=2Gi"]);
}

fn scoped(spec: Value, object: Value) -> bool {
    let quota = quota(json!({"pods": "1"}), json!({"pods": "0"}), spec);
    Evaluator::Pods.in_scope(&quota, &tree(object))
}

#[test]
fn scopes_choose_pods() {
    let plain = || pod(json!({"containers": [{"name": "c"}]}));
    let short = || pod(json!({"containers": [{"name": "c"}], "activeDeadlineSeconds": 5}));
    let burst = || asking(json!({"cpu": "1"}), json!({}));
    for (scope, plain_in, short_in, burst_in) in [
        ("Terminating", false, true, false),
        ("NotTerminating", true, false, true),
        ("BestEffort", true, true, false),
        ("NotBestEffort", false, false, true),
    ] {
        let spec = || json!({"scopes": [scope]});
        let found = (scoped(spec(), plain()), scoped(spec(), short()), scoped(spec(), burst()));
        assert_eq!(found, (plain_in, short_in, burst_in), "{scope}");
    }
}

#[test]
fn scope_selectors_choose_by_priority_class() {
    let spec = |operator: &str, values: Value| {
        json!({"scopeSelector": {"matchExpressions": [
            {"scopeName": "PriorityClass", "operator": operator, "values": values}]}})
    };
    let gold = || pod(json!({"priorityClassName": "gold"}));
    let plain = || pod(json!({}));
    for (operator, values, gold_in, plain_in) in [
        ("In", json!(["gold"]), true, false),
        ("In", json!(["iron"]), false, false),
        ("NotIn", json!(["gold"]), false, true),
        ("Exists", json!([]), true, false),
        ("DoesNotExist", json!([]), false, true),
    ] {
        let found = (scoped(spec(operator, values.clone()), gold()), scoped(spec(operator, values), plain()));
        assert_eq!(found, (gold_in, plain_in), "{operator}");
    }
    assert!(
        !Evaluator::Services.in_scope(&quota(json!({}), json!({}), spec("DoesNotExist", json!([]))), &tree(plain()))
    );
}

#[test]
fn a_pod_is_looked_at_again_when_its_scope_or_size_changes() {
    let plain = tree(pod(json!({})));
    let short = tree(pod(json!({"activeDeadlineSeconds": 5})));
    assert!(Evaluator::Pods.handles("", &short, Some(&plain)));
    assert!(!Evaluator::Pods.handles("", &plain, Some(&plain)));
    assert!(Evaluator::Pods.handles("resize", &plain, Some(&plain)));
    assert!(!Evaluator::Pods.handles("status", &plain, Some(&plain)));
    assert!(Evaluator::Pods.handles("", &plain, None));
}

#[test]
fn the_total_names_all_that_is_counted() {
    let quota = tree(json!({"spec": {"hard": {"pods": "9", "cpu": "9", "secrets": "9"}}}));
    let pods = [tree(asking(json!({"cpu": "1"}), json!({}))), tree(asking(json!({"cpu": "2"}), json!({})))];
    assert_eq!(texts(Evaluator::Pods.total(&quota, &pods, NOW).unwrap()), ["cpu=3", "pods=2"]);
    assert_eq!(texts(Evaluator::Pods.total(&quota, [], NOW).unwrap()), ["cpu=0", "pods=0"]);
}
