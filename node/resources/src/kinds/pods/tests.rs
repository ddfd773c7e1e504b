//! Pods in, pods, faults and rows out.

use super::*;

fn pod(spec: Tree) -> Tree {
    let mut object = tree!({"metadata": {"name": "p", "namespace": "default"}});
    object.set("spec", spec);
    default(&mut object);
    object
}

fn simple() -> Tree {
    pod(tree!({"containers": [{"name": "c", "image": "nginx"}]}))
}

fn faults(object: &Tree) -> Vec<String> {
    let mut faults = Faults::new();
    validate(object, &mut faults);
    faults.iter().map(ToString::to_string).collect()
}

fn change(old: &Tree, edit: impl FnOnce(&mut Tree)) -> Vec<String> {
    let mut new = old.clone();
    edit(&mut new);
    let mut faults = Faults::new();
    changes::of_pod(&new, old, &mut faults);
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn a_simple_pod_gets_all_defaults_and_has_no_faults() {
    let object = simple();
    assert_eq!(object.str_at(&["spec", "restartPolicy"]), Some("Always"));
    assert_eq!(object.str_at(&["spec", "dnsPolicy"]), Some("ClusterFirst"));
    assert_eq!(object.int_at(&["spec", "terminationGracePeriodSeconds"]), Some(30));
    assert_eq!(object.bool_at(&["spec", "enableServiceLinks"]), Some(true));
    assert_eq!(object.at(&["spec", "securityContext"]), Some(&Tree::map()));
    assert_eq!(object.list_at(&["spec", "containers"])[0].str_at(&["imagePullPolicy"]), Some("Always"));
    assert_eq!(faults(&object), Vec::<String>::new());
}

#[test]
fn requests_follow_limits_and_decide_the_class() {
    let limits = tree!({"limits": {"cpu": "1", "memory": "1Gi"}});
    let mut object = pod(tree!({"containers": [{"name": "c", "image": "nginx:1", "resources": limits}]}));
    begin(&mut object);
    let container = &object.list_at(&["spec", "containers"])[0];
    assert_eq!(container.str_at(&["resources", "requests", "memory"]), Some("1Gi"));
    assert_eq!(container.str_at(&["imagePullPolicy"]), Some("IfNotPresent"));
    assert_eq!(object.str_at(&["status", "qosClass"]), Some("Guaranteed"));
    assert_eq!(object.str_at(&["status", "phase"]), Some("Pending"));
    assert_eq!(meta::generation(&object), 1);
}

#[test]
fn ports_open_on_the_node_when_the_pod_is_on_its_network() {
    let object = pod(
        tree!({"hostNetwork": true, "containers": [{"name": "c", "image": "a", "ports": [{"containerPort": 80}]}]}),
    );
    let port = &object.list_at(&["spec", "containers"])[0].list_at(&["ports"])[0];
    assert_eq!((port.int_at(&["hostPort"]), port.str_at(&["protocol"])), (Some(80), Some("TCP")));
}

#[test]
fn the_old_name_of_the_service_account_is_mirrored() {
    let object = pod(tree!({"serviceAccount": "a", "containers": [{"name": "c", "image": "a"}]}));
    assert_eq!(object.str_at(&["spec", "serviceAccountName"]), Some("a"));
}

#[test]
fn faults_are_told_in_upstreams_words() {
    let check = |spec: Tree, expected: &[&str]| assert_eq!(faults(&pod(spec)), expected);
    check(tree!({"containers": []}), &["spec.containers: Required value"]);
    check(tree!({"containers": [{"name": "c"}]}), &["spec.containers[0].image: Required value"]);
    check(
        tree!({"containers": [{"name": "c", "image": "a"}, {"name": "c", "image": "a"}]}),
        &["spec.containers[1].name: Duplicate value: \"c\""],
    );
    check(
        tree!({"containers": [{"name": "c", "image": "a", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]}),
        &["spec.containers[0].volumeMounts[0].name: Not found: \"v\""],
    );
    check(
        tree!({"restartPolicy": "Maybe", "containers": [{"name": "c", "image": "a"}]}),
        &["spec.restartPolicy: Unsupported value: \"Maybe\": supported values: \"Always\", \"OnFailure\", \"Never\""],
    );
    let resources = tree!({"limits": {"cpu": "1"}, "requests": {"cpu": "2"}});
    check(
        tree!({"containers": [{"name": "c", "image": "a", "resources": resources}]}),
        &["spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1"],
    );
    check(
        tree!({"containers": [{"name": "c", "image": "a", "livenessProbe": {"initialDelaySeconds": 1}}]}),
        &["spec.containers[0].livenessProbe: Required value: must specify a handler type"],
    );
    check(
        tree!({"containers": [{"name": "c", "image": "a"}], "securityContext": {"sysctls": [{"name": "foo-", "value": "b"}]}}),
        &[
            "spec.securityContext.sysctls[0].name: Invalid value: \"foo-\": must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$",
        ],
    );
}

#[test]
fn only_images_deadlines_and_added_tolerations_change() {
    let old = simple();
    let image = |new: &mut Tree| {
        new.at_mut(&["spec", "containers"]).and_then(Tree::as_list_mut).expect("containers")[0].set("image", "b");
    };
    assert_eq!(change(&old, image), Vec::<String>::new());
    let toleration = |new: &mut Tree| new.set_at(&["spec", "tolerations"], vec![tree!({"operator": "Exists"})]);
    assert_eq!(change(&old, toleration), Vec::<String>::new());
    let node = change(&old, |new| new.set_at(&["spec", "nodeName"], "n"));
    assert!(node[0].starts_with("spec: Forbidden: pod updates may not change fields other than"), "{node:?}");
    let mut limited = old.clone();
    limited.set_at(&["spec", "activeDeadlineSeconds"], 5);
    assert_eq!(
        change(&limited, |new| new.set_at(&["spec", "activeDeadlineSeconds"], 6)),
        ["spec.activeDeadlineSeconds: Invalid value: 6: must be less than or equal to previous value"],
    );
}

#[test]
fn a_pod_that_runs_nowhere_goes_at_once() {
    let mut object = simple();
    assert_eq!(grace(&object, Some(10)), 0);
    object.set_at(&["spec", "nodeName"], "n");
    assert_eq!(grace(&object, None), 30);
    assert_eq!(grace(&object, Some(5)), 5);
    assert_eq!(grace(&object, Some(-1)), 1);
    object.set_at(&["status", "phase"], "Failed");
    assert_eq!(grace(&object, None), 0);
}

#[test]
fn rows_say_what_holds_a_pod_back() {
    let row = |status: Tree| {
        let mut object = simple();
        object.set("status", status);
        let cells = cells::row(&object, 1_000_000);
        cells[1..4].iter().map(|c| c.as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(row(tree!({"phase": "Pending"})), ["0/1", "Pending", "0"]);
    let crash = tree!({
        "name": "c",
        "restartCount": 3,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 1, "finishedAt": "1970-01-12T13:45:40Z"}},
    });
    assert_eq!(
        row(tree!({"phase": "Running", "containerStatuses": [crash]})),
        ["0/1", "CrashLoopBackOff", "3 (60s ago)"],
    );
    let waiting = tree!({"name": "i", "state": {"running": {}}});
    assert_eq!(row(tree!({"phase": "Pending", "initContainerStatuses": [waiting]}))[1], "Init:0/0");
}

#[test]
fn a_row_has_a_cell_for_each_column() {
    let columns = crate::facts::resource("", "v1", "pods").expect("pods").columns.len();
    assert_eq!(cells::row(&simple(), 0).len(), columns);
}

#[test]
fn debugging_containers_stay_as_they_are() {
    let old = simple();
    let mut new = old.clone();
    new.set_at(&["spec", "nodeName"], "ignored");
    new.set_at(&["spec", "ephemeralContainers"], vec![tree!({"name": "d", "image": "a"})]);
    (EPHEMERAL_CONTAINERS.on_update)(&mut new, &old);
    assert_eq!(new.str_at(&["spec", "nodeName"]), None);
    let mut faults = Faults::new();
    (EPHEMERAL_CONTAINERS.validate_update)(&old, &new, &mut faults);
    let shown: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        ["spec.ephemeralContainers: Forbidden: existing ephemeral containers \"d\" may not be removed\n"],
    );
}
