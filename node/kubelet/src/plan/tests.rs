//! Tables of pods, what runs of them, and the steps that follow.

use super::*;
use crate::memory::Probed;
use crate::observed::Sandbox;
use serde_json::{Value, json};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + seconds).unwrap()
}

fn pod(spec: Value) -> Pod {
    let meta = json!({"name": "p", "namespace": "n", "uid": "u"});
    serde_json::from_value(json!({"metadata": meta, "spec": spec})).unwrap()
}

fn named(names: &[&str]) -> Value {
    names.iter().map(|name| json!({"name": name, "image": "i"})).collect()
}

fn seen(name: &str, state: State, exit_code: i32) -> Seen {
    let container: Container = serde_json::from_value(json!({"name": name, "image": "i"})).unwrap();
    Seen {
        id: format!("id-{name}"),
        name: name.to_owned(),
        sandbox: "s".to_owned(),
        restarts: 0,
        state,
        created_ns: 1,
        started: Some(at(0)),
        finished: (state == State::Exited).then(|| at(5)),
        exit_code,
        reason: String::new(),
        message: String::new(),
        image: "i".to_owned(),
        image_id: "i@sha256:1".to_owned(),
        hash: pod::hash(&container),
        backoff_seconds: 0,
        log: String::new(),
        user: None,
        resources: None,
        stop_signal: None,
    }
}

fn sandbox(ready: bool) -> Sandbox {
    let (id, ips) = ("s".to_owned(), vec!["10.0.0.1".to_owned()]);
    Sandbox { id, attempt: 0, ready, ips, host_network: false, created_ns: 1, network: None }
}

fn up(containers: Vec<Seen>) -> Observed {
    Observed { sandboxes: vec![sandbox(true)], containers }.sorted()
}

fn words(actions: &[Action]) -> Vec<String> {
    let word = |action: &Action| match action {
        Action::StopAll => "stop".to_owned(),
        Action::Remove(ids) => format!("remove {}", ids.join(",")),
        Action::CreateSandbox { attempt } => format!("sandbox {attempt}"),
        Action::Kill { name, why, .. } => format!("kill {name} {why:?}"),
        Action::Start { name, .. } => format!("start {name}"),
        Action::Wait { name, waiting } => {
            format!("wait {name} {} {}", waiting.reason, waiting.until.as_second() - 1_000_000)
        }
        Action::Hold { until } => format!("hold {}", until.as_second() - 1_000_000),
    };
    actions.iter().map(word).collect()
}

fn check(spec: Value, observed: &Observed, memory: &Memory, wants: &[&str]) {
    assert_eq!(words(&plan(&pod(spec.clone()), observed, memory, at(10))), wants, "{spec}");
}

const RUN: State = State::Running;
const END: State = State::Exited;

#[test]
fn a_sandbox_comes_first_then_all_main_containers() {
    let spec = json!({"containers": named(&["a", "b"])});
    check(spec.clone(), &Observed::default(), &Memory::default(), &["sandbox 0"]);
    check(spec.clone(), &up(vec![]), &Memory::default(), &["start a", "start b"]);
    check(spec, &up(vec![seen("a", RUN, 0), seen("b", RUN, 0)]), &Memory::default(), &[]);
}

#[test]
fn a_dead_sandbox_is_replaced_after_all_in_it_has_stopped() {
    let spec = json!({"initContainers": named(&["i"]), "containers": named(&["a"])});
    let dead = |containers| Observed { sandboxes: vec![sandbox(false)], containers };
    check(spec.clone(), &dead(vec![seen("a", RUN, 0)]), &Memory::default(), &["stop"]);
    let ended = vec![seen("i", END, 0), seen("a", END, 137)];
    check(spec, &dead(ended.clone()), &Memory::default(), &["remove id-i", "sandbox 1"]);
    let never = json!({"restartPolicy": "Never", "containers": named(&["a"])});
    check(never, &dead(ended.clone()), &Memory::default(), &[]);
    let done = json!({"restartPolicy": "OnFailure", "containers": named(&["a"])});
    check(done.clone(), &dead(vec![seen("a", END, 0)]), &Memory::default(), &[]);
    check(done, &dead(ended), &Memory::default(), &["sandbox 1"]);
}

#[test]
fn init_containers_run_one_after_the_other() {
    let spec = json!({"initContainers": named(&["i", "j"]), "containers": named(&["a"])});
    let none = Memory::default();
    check(spec.clone(), &up(vec![]), &none, &["start i"]);
    check(spec.clone(), &up(vec![seen("i", RUN, 0)]), &none, &[]);
    check(spec.clone(), &up(vec![seen("i", END, 0)]), &none, &["start j"]);
    check(spec.clone(), &up(vec![seen("i", END, 0), seen("j", END, 1)]), &none, &["start j"]);
    check(spec.clone(), &up(vec![seen("i", END, 0), seen("j", END, 0)]), &none, &["start a"]);
    let all = up(vec![seen("i", END, 0), seen("j", END, 0), seen("a", END, 1)]);
    check(spec, &all, &none, &["start a"]);
}

#[test]
fn a_failed_init_container_ends_a_pod_that_never_restarts() {
    let spec = json!({"restartPolicy": "Never", "initContainers": named(&["i"]), "containers": named(&["a"])});
    check(spec, &up(vec![seen("i", END, 1)]), &Memory::default(), &["stop"]);
}

#[test]
fn a_sidecar_starts_in_its_turn_and_comes_back() {
    let sidecar = json!({"name": "s", "image": "i", "restartPolicy": "Always",
        "startupProbe": {"exec": {"command": ["true"]}}});
    let init = json!({"name": "i", "image": "i"});
    let spec = json!({"initContainers": [sidecar, init], "containers": named(&["a"])});
    let none = Memory::default();
    let mut started = Memory::default();
    started.probed.insert("id-s".to_owned(), Probed { startup: Some(true), ..Probed::default() });
    let mut failed = Memory::default();
    failed.probed.insert("id-s".to_owned(), Probed { startup: Some(false), ..Probed::default() });
    check(spec.clone(), &up(vec![]), &none, &["start s"]);
    check(spec.clone(), &up(vec![seen("s", RUN, 0)]), &none, &[]);
    check(spec.clone(), &up(vec![seen("s", RUN, 0)]), &started, &["start i"]);
    check(spec.clone(), &up(vec![seen("s", RUN, 0)]), &failed, &["kill s Startup"]);
    check(spec.clone(), &up(vec![seen("s", END, 1), seen("i", RUN, 0)]), &none, &["start s"]);
    let running = up(vec![seen("s", END, 0), seen("i", END, 0), seen("a", RUN, 0)]);
    check(spec, &running, &none, &["start s"]);
}

#[test]
fn a_pod_whose_main_containers_are_done_is_stopped() {
    for (policy, code) in [("Never", 1), ("OnFailure", 0)] {
        let spec = json!({"restartPolicy": policy, "containers": named(&["a"])});
        check(spec, &up(vec![seen("a", END, code)]), &Memory::default(), &["stop"]);
    }
}

#[test]
fn a_container_that_keeps_failing_waits_longer() {
    let spec = json!({"containers": named(&["a"])});
    let ended = up(vec![seen("a", END, 1)]);
    check(spec.clone(), &ended, &Memory::default(), &["start a"]);
    let mut memory = Memory::default();
    memory.backoffs.next("a", at(0), at(0));
    check(spec.clone(), &ended, &memory, &["wait a CrashLoopBackOff 15"]);
    let actions = plan(&pod(spec.clone()), &ended, &memory, at(10));
    let Action::Wait { waiting, .. } = &actions[0] else { panic!("{actions:?}") };
    assert_eq!(waiting.message, "back-off 10s restarting failed container=a pod=p_n(u)");
    // One that we ended does not wait for its own end, but for that of the one before.
    memory.killed.insert("id-a".to_owned());
    check(spec.clone(), &ended, &memory, &["start a"]);
    let mut before = seen("a", END, 1);
    (before.id, before.created_ns) = ("older".to_owned(), 0);
    check(spec, &up(vec![seen("a", END, 1), before]), &memory, &["wait a CrashLoopBackOff 15"]);
}

#[test]
fn probes_and_a_changed_image_end_a_container() {
    let spec = json!({"containers": named(&["a"])});
    let mut memory = Memory::default();
    memory.probed.insert("id-a".to_owned(), Probed { liveness: Some(false), ..Probed::default() });
    check(spec, &up(vec![seen("a", RUN, 0)]), &memory, &["kill a Liveness"]);
    let other = json!({"containers": [{"name": "a", "image": "other"}]});
    check(other, &up(vec![seen("a", RUN, 0)]), &Memory::default(), &["kill a Changed"]);
}

#[test]
fn a_failed_pull_is_told_first_and_then_waits() {
    let spec = json!({"containers": named(&["a"])});
    let mut memory = Memory::default();
    let waiting = Waiting { reason: "ErrImagePull".to_owned(), message: "no".to_owned(), until: at(20) };
    memory.waiting.insert("a".to_owned(), waiting);
    check(spec.clone(), &up(vec![]), &memory, &["wait a ImagePullBackOff 20"]);
    memory.held_until = Some(at(11));
    check(spec, &up(vec![]), &memory, &["hold 11"]);
}

#[test]
fn ephemeral_containers_start_once_beside_everything() {
    let spec = json!({"containers": named(&["a"]), "ephemeralContainers": named(&["e"])});
    check(spec.clone(), &up(vec![seen("a", RUN, 0)]), &Memory::default(), &["start e"]);
    check(spec, &up(vec![seen("a", RUN, 0), seen("e", END, 1)]), &Memory::default(), &[]);
}

#[test]
fn durations_read_as_in_go() {
    assert_eq!([10, 80, 300].map(go_duration), ["10s", "1m20s", "5m0s"]);
}
