//! The chains of objects as clusters have them.

use super::*;

/// Objects as they are written, in YAML.
fn yaml(text: &str) -> Tree {
    Tree::from_yaml(text.as_bytes()).unwrap().tree
}

fn pod(text: &str) -> PodFacts {
    let mut pod = yaml(text);
    pod.set_at(&["metadata", "name"], "web");
    pod.set_at(&["metadata", "namespace"], "default");
    PodFacts { pod, ..PodFacts::default() }
}

fn event(reason: &str, message: &str, time: &str) -> Tree {
    tree!({"reason": reason, "message": message, "lastTimestamp": time, "type": "Warning"})
}

/// The sentences of a chain.
fn told(chain: &Chain) -> Vec<String> {
    chain.findings.iter().map(|finding| finding.text.clone()).collect()
}

/// That the chain has one link with each of these, in this order.
fn check(chain: &Chain, wanted: &[&str]) {
    let told = told(chain);
    assert_eq!(told.len(), wanted.len(), "{told:#?}");
    for (text, wanted) in told.iter().zip(wanted) {
        assert!(text.contains(wanted), "{text:?} has not {wanted:?}; all: {told:#?}");
    }
}

const NODE: &str = "
metadata: {name: rock, labels: {disk: slow}}
status:
  allocatable: {cpu: '2', memory: 1Gi, pods: '10'}
  conditions: [{type: Ready, status: 'True'}]
";

const UNPLACED: &str = "
spec: {containers: [{name: c, resources: {requests: {cpu: 500m, memory: 256Mi}}}]}
status:
  phase: Pending
  conditions: [{type: PodScheduled, status: 'False', reason: Unschedulable, message: '0/1 nodes are available'}]
";

#[test]
fn a_running_and_ready_pod_and_one_that_is_done_need_no_words() {
    let running = "
spec: {nodeName: rock, containers: [{name: c}]}
status: {phase: Running, containerStatuses: [{name: c, ready: true, started: true, state: {running: {}}}]}
";
    assert!(of_pod(&pod(running)).is_well());
    assert!(of_pod(&pod("{spec: {nodeName: rock}, status: {phase: Succeeded}}")).is_well());
}

#[test]
fn each_shortage_is_told_with_what_is_asked_for_and_what_is_free() {
    let mut facts = pod(UNPLACED);
    facts.nodes = vec![yaml(NODE)];
    facts.placed = vec![yaml(
        "{metadata: {name: big}, spec: {nodeName: rock, containers: [{name: c, resources: {requests: {cpu: 1800m}}}]}}",
    )];
    let chain = of_pod(&facts);
    check(&chain, &["no node takes it", "Too little cpu: the pod asks for 500m, 200m of 2000m are free"]);
    assert_eq!(chain.findings[0].detail, "0/1 nodes are available");
    assert!(chain.findings[1].advice.contains("remove other pods"));
    facts.placed.clear();
    facts.pod = yaml(&UNPLACED.replace("256Mi", "4Gi"));
    let chain = of_pod(&facts);
    check(&chain, &["no node takes it", "Too little memory: the pod asks for 4096 MiB, 1024 MiB of 1024 MiB are free"]);
    assert!(chain.findings[1].advice.contains("Not even an empty node"));
    facts.pod = yaml(&UNPLACED.replace("memory: 256Mi", "example.com/gpu: 1"));
    check(&of_pod(&facts), &["no node takes it", "It has no example.com/gpu at all; the pod asks for 1"]);
}

#[test]
fn taints_selectors_and_cordons_are_named() {
    let mut facts = pod(UNPLACED);
    let mut node = yaml(NODE);
    node.set_at(&["spec", "taints"], yaml("[{key: role, value: db, effect: NoSchedule}]"));
    facts.nodes = vec![node];
    facts.pod.set_at(&["spec", "nodeSelector"], yaml("{disk: fast}"));
    check(
        &of_pod(&facts),
        &["no node takes it", "Its taint role=db:NoSchedule is not tolerated", "not the label disk=fast"],
    );
    facts.nodes = vec![yaml("{metadata: {name: rock}, spec: {unschedulable: true}}")];
    facts.pod.remove_at(&["spec", "nodeSelector"]);
    assert!(told(&of_pod(&facts))[1].contains("cordoned"));
    facts.nodes.clear();
    check(&of_pod(&facts), &["no node takes it", "There is no node"]);
}

#[test]
fn of_many_nodes_reasons_are_counted() {
    let mut facts = pod(UNPLACED);
    facts.nodes = (0..5).map(|n| yaml(&format!("{{metadata: {{name: n{n}}}, spec: {{unschedulable: true}}, status: {{allocatable: {{cpu: '4', memory: 8Gi, pods: '9'}}}}}}"))).collect();
    let chain = of_pod(&facts);
    check(&chain, &["no node takes it", "cordoned"]);
    assert_eq!(chain.findings[1].about, "5 of 5 nodes");
}

#[test]
fn gates_hold_a_pod_back_before_any_node_is_looked_at() {
    let mut facts = pod(UNPLACED);
    facts.pod.set_at(&["spec", "schedulingGates"], yaml("[{name: example.com/wait}]"));
    check(&of_pod(&facts), &["scheduling gates example.com/wait"]);
}

#[test]
fn a_claim_that_has_no_volume_keeps_a_pod_from_its_node() {
    let mut facts = pod(UNPLACED);
    facts.nodes = vec![yaml(NODE)];
    facts.pod.set_at(&["spec", "volumes"], yaml("[{name: data, persistentVolumeClaim: {claimName: store}}]"));
    let reference = references(&facts.pod).remove(0);
    let claim = yaml("{metadata: {name: store}, spec: {storageClassName: fast}, status: {phase: Pending}}");
    facts.claim_events = vec![tree!({
        "reason": "ProvisioningFailed", "message": "no class fast", "involvedObject": {"name": "store"}
    })];
    facts.references = vec![(reference.clone(), Some(claim))];
    let chain = of_pod(&facts);
    check(&chain, &["no node takes it", "It has no volume yet; the storage class is fast"]);
    assert_eq!(chain.findings[1].detail, "no class fast");
    facts.references = vec![(reference, None)];
    check(&of_pod(&facts), &["no node takes it", "There is no PersistentVolumeClaim store, which volume data needs"]);
}

fn waiting(reason: &str, message: &str) -> PodFacts {
    let mut facts =
        pod("{spec: {nodeName: rock, containers: [{name: c, image: 'shop/web:v9'}]}, status: {phase: Pending}}");
    let state = tree!({"waiting": {"reason": reason, "message": message}});
    facts.pod.set_at(&["status", "containerStatuses"], tree!([{"name": "c", "ready": false, "state": (state)}]));
    facts
}

#[test]
fn an_image_that_cannot_be_had_is_named_with_the_newest_cause() {
    let mut facts = waiting("ImagePullBackOff", "Back-off pulling image");
    facts.events = vec![
        event("Failed", "old: not found", "2026-01-01T00:00:00Z"),
        event("Failed", "dial tcp: no route", "2026-01-01T00:01:00Z"),
    ];
    let chain = of_pod(&facts);
    check(&chain, &["cannot be pulled: shop/web:v9"]);
    assert_eq!(chain.findings[0].detail, "dial tcp: no route");
    assert!(chain.findings[0].advice.contains("skerry image load"));
    check(&of_pod(&waiting("InvalidImageName", "")), &["no valid name"]);
    check(&of_pod(&waiting("ErrImageNeverPull", "")), &["imagePullPolicy is Never"]);
}

#[test]
fn a_config_map_secret_or_key_that_is_missing_is_named_with_its_place() {
    let mut facts = waiting("CreateContainerConfigError", "secret \"key\" not found");
    facts.pod.set_at(
        &["spec", "containers"],
        yaml("[{name: c, envFrom: [{configMapRef: {name: gone}}], env: [{name: A, valueFrom: {secretKeyRef: {name: key, key: token}}}, {name: B, valueFrom: {configMapKeyRef: {name: may, key: x, optional: true}}}]}]"),
    );
    let all = references(&facts.pod);
    assert_eq!(all.len(), 2, "{all:?}");
    let there = |reference: &Reference| match reference.kind {
        "Secret" => Some(yaml("{data: {user: YQ==}}")),
        _ => None,
    };
    facts.references = all.into_iter().map(|reference| (reference.clone(), there(&reference))).collect();
    check(
        &of_pod(&facts),
        &[
            "configuration of container c cannot be put together",
            "There is no ConfigMap gone, which envFrom of container c needs",
            "Secret key has no key token, which variable A of container c needs; it has user",
        ],
    );
}

#[test]
fn a_volume_s_missing_source_explains_a_container_that_is_not_made() {
    let mut facts = waiting("ContainerCreating", "");
    facts.pod.set_at(&["spec", "volumes"], yaml("[{name: v, secret: {secretName: cert}}]"));
    facts.references = vec![(references(&facts.pod).remove(0), None)];
    check(&of_pod(&facts), &["is not made yet", "There is no Secret cert, which volume v needs"]);
    facts.references.clear();
    facts.events = vec![event("FailedCreatePodSandBox", "no CNI", "2026-01-01T00:00:00Z")];
    let chain = of_pod(&facts);
    check(&chain, &["is not made yet", "The node says what it stumbles over"]);
    assert_eq!(chain.findings[1].detail, "no CNI");
}

fn crashed(terminated: &str) -> PodFacts {
    let mut facts = waiting("CrashLoopBackOff", "back-off 40s");
    let statuses = format!(
        "[{{name: c, ready: false, restartCount: 3, state: {{waiting: {{reason: CrashLoopBackOff}}}}, lastState: {{terminated: {terminated}}}}}]"
    );
    facts.pod.set_at(&["status", "containerStatuses"], yaml(&statuses));
    facts
}

#[test]
fn a_crash_is_told_with_its_exit_code_and_last_words() {
    let mut facts = crashed("{exitCode: 1, reason: Error}");
    facts.logs = vec![("c".to_owned(), "starting\nno database\n".to_owned())];
    let chain = of_pod(&facts);
    check(&chain, &["ends again and again (3 restarts)", "ended with exit code 1"]);
    assert_eq!(chain.findings[1].detail, "starting\nno database");
    check(&of_pod(&crashed("{exitCode: 139}")), &["again", "exit code 139: it touched memory"]);
    check(&of_pod(&crashed("{exitCode: 127}")), &["again", "was not found"]);
    check(&of_pod(&crashed("{exitCode: 0}")), &["again", "ends with success"]);
    check(&of_pod(&crashed("{exitCode: 128, reason: StartError, message: no such file}")), &["again", "cannot be run"]);
}

#[test]
fn too_much_memory_is_told_with_the_limit() {
    let mut facts = crashed("{exitCode: 137, reason: OOMKilled}");
    facts.pod.set_at(&["spec", "containers"], yaml("[{name: c, resources: {limits: {memory: 64Mi}}}]"));
    check(&of_pod(&facts), &["again", "wanted more memory than it may have: its limit is 64Mi"]);
}

#[test]
fn a_liveness_probe_that_ended_the_container_is_the_last_link() {
    let mut facts = crashed("{exitCode: 137, reason: Error}");
    facts.events = vec![event("Unhealthy", "Liveness probe failed: HTTP 500", "2026-01-01T00:00:00Z")];
    let chain = of_pod(&facts);
    check(&chain, &["again", "it was killed", "Its liveness probe failed"]);
    assert_eq!(chain.findings[2].detail, "Liveness probe failed: HTTP 500");
}

#[test]
fn a_probe_that_fails_keeps_a_running_container_unready() {
    let running = "
spec: {nodeName: rock, containers: [{name: c, readinessProbe: {httpGet: {port: 80}}}]}
status: {phase: Running, containerStatuses: [{name: c, ready: false, started: true, restartCount: 0, state: {running: {}}}]}
";
    let mut facts = pod(running);
    facts.events = vec![event("Unhealthy", "Readiness probe failed: refused", "2026-01-01T00:00:00Z")];
    let chain = of_pod(&facts);
    check(&chain, &["its readiness probe fails"]);
    assert_eq!(
        (chain.findings[0].level, chain.findings[0].detail.as_str()),
        (Level::Bad, "Readiness probe failed: refused")
    );
}

#[test]
fn a_failing_init_container_is_the_cause_and_the_others_only_wait() {
    let text = "
spec: {nodeName: rock, initContainers: [{name: first}], containers: [{name: c}]}
status:
  phase: Pending
  initContainerStatuses: [{name: first, ready: false, restartCount: 1, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 2}}}]
  containerStatuses: [{name: c, ready: false, state: {waiting: {reason: PodInitializing}}}]
";
    check(&of_pod(&pod(text)), &["The init container first ends again", "init container first ended with exit code 2"]);
}

#[test]
fn a_pod_that_is_held_by_finalizers_says_by_which() {
    let text = "metadata: {deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: [a.example/x, b.example/y]}";
    check(&of_pod(&pod(text)), &["held by a.example/x and b.example/y"]);
    let going = "metadata: {deletionTimestamp: '2026-01-01T00:00:00Z', deletionGracePeriodSeconds: 30}";
    check(&of_pod(&pod(going)), &["have 30 s to end"]);
}

#[test]
fn an_eviction_and_a_node_that_is_down_are_told() {
    let evicted = "status: {phase: Failed, reason: Evicted, message: 'low on memory'}";
    check(&of_pod(&pod(evicted)), &["It was evicted"]);
    let mut facts = waiting("ContainerCreating", "");
    let mut node = yaml(NODE);
    node.set_at(&["status", "conditions"], yaml("[{type: Ready, status: Unknown, message: silent}]"));
    facts.nodes = vec![node];
    assert!(told(&of_pod(&facts))[0].contains("node is not ready"));
}

#[test]
fn what_may_not_be_read_is_said() {
    let mut facts = waiting("ContainerCreating", "");
    facts.unread = vec!["secrets".to_owned()];
    assert!(told(&of_pod(&facts)).last().unwrap().contains("you may not read it: secrets"));
}

#[test]
fn a_quota_that_refuses_pods_is_the_cause_of_too_few() {
    let set = yaml("{metadata: {name: web, namespace: default}, spec: {replicas: 3}, status: {readyReplicas: 1}}");
    let refusal = "Error creating: pods \"web-x\" is forbidden: exceeded quota: small, requested: pods=1";
    let events = [event("FailedCreate", refusal, "2026-01-01T00:00:00Z")];
    let chain = of_workload("ReplicaSet", &set, &events, Chain::default());
    check(&chain, &["1 of 3 pods are ready", "quota is used up"]);
    assert_eq!(chain.findings[1].detail, refusal);
}

#[test]
fn a_workload_ends_in_the_chain_of_its_worst_pod() {
    let set = yaml("{metadata: {name: web, namespace: default}, spec: {replicas: 1}, status: {}}");
    let chain = of_workload("Deployment", &set, &[], of_pod(&crashed("{exitCode: 1}")));
    check(&chain, &["0 of 1 pods are ready", "again", "exit code 1"]);
    let full = yaml("{metadata: {name: web}, spec: {replicas: 1}, status: {readyReplicas: 1}}");
    assert!(of_workload("Deployment", &full, &[], Chain::default()).is_well());
}

#[test]
fn a_job_that_failed_and_a_namespace_that_stays_say_why() {
    let job = yaml(
        "{metadata: {name: j}, status: {failed: 7, conditions: [{type: Failed, status: 'True', reason: BackoffLimitExceeded, message: m}]}}",
    );
    check(&of_workload("Job", &job, &[], Chain::default()), &["It has failed: BackoffLimitExceeded"]);
    let done = yaml("{metadata: {name: j}, status: {succeeded: 1, conditions: [{type: Complete, status: 'True'}]}}");
    assert!(of_workload("Job", &done, &[], Chain::default()).is_well());
    let namespace = yaml(
        "{metadata: {name: n}, status: {phase: Terminating, conditions: [{type: NamespaceFinalizersRemaining, status: 'True', reason: SomeFinalizersRemain, message: m}]}}",
    );
    check(&of_namespace(&namespace), &["being deleted", "SomeFinalizersRemain"]);
}
