//! Tables of pods, what runs of them, and what is told.

use super::*;
use crate::memory::{Probed, Waiting};
use crate::observed::{Container, Sandbox, State};
use serde_json::{Value, json};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + seconds).unwrap()
}

fn pod(spec: Value, status: Value) -> Pod {
    let meta = json!({"name": "p", "namespace": "n", "uid": "u", "generation": 3});
    serde_json::from_value(json!({"metadata": meta, "spec": spec, "status": status})).unwrap()
}

fn seen(name: &str, state: State, exit_code: i32) -> Container {
    Container {
        id: format!("id-{name}"),
        name: name.to_owned(),
        sandbox: "s".to_owned(),
        restarts: 0,
        state,
        created_ns: 1,
        started: Some(at(0)),
        finished: (state == State::Exited).then(|| at(5)),
        exit_code,
        reason: if state == State::Exited { "Error".to_owned() } else { String::new() },
        message: String::new(),
        image: "i".to_owned(),
        image_id: "i@sha256:1".to_owned(),
        hash: String::new(),
        backoff_seconds: 0,
        log: String::new(),
        user: None,
        resources: None,
        stop_signal: None,
    }
}

fn up(containers: Vec<Container>) -> Observed {
    let (id, ips) = ("s".to_owned(), vec!["10.0.0.1".to_owned()]);
    let sandbox = Sandbox { id, attempt: 0, ready: true, ips, host_network: false, created_ns: 1, network: None };
    Observed { sandboxes: vec![sandbox], containers }.sorted()
}

fn tell(pod: &Pod, observed: &Observed, memory: &Memory, over: bool) -> PodStatus {
    let old = pod.status.clone().unwrap_or_default();
    let hosts = ["10.250.0.1".to_owned()];
    let input = Input {
        pod,
        old: &old,
        observed,
        memory,
        host_ips: &hosts,
        runtime: "containerd",
        verdict: None,
        over,
        now: at(10),
    };
    status(&input)
}

fn line(status: &PodStatus) -> String {
    let mut words = vec![status.phase.clone().unwrap()];
    for c in status.container_statuses.iter().flatten() {
        let state = c.state.as_ref().unwrap();
        let word = match (&state.running, &state.terminated, &state.waiting) {
            (Some(_), ..) => "running".to_owned(),
            (_, Some(t), _) => format!("ended:{}", t.exit_code),
            (_, _, Some(w)) => w.reason.clone().unwrap_or_default(),
            _ => "?".to_owned(),
        };
        words.push(format!("{}={word}{}", c.name, if c.ready { "+" } else { "" }));
    }
    let holds = |c: &&k8s_openapi::api::core::v1::PodCondition| c.status == "True";
    let conditions: Vec<String> = status.conditions.iter().flatten().filter(holds).map(|c| c.type_.clone()).collect();
    format!("{} [{}]", words.join(" "), conditions.join(","))
}

fn check(spec: Value, observed: &Observed, memory: &Memory, over: bool, wants: &str) {
    assert_eq!(line(&tell(&pod(spec.clone(), json!({})), observed, memory, over)), wants, "{spec}");
}

const ONE: fn() -> Value = || json!({"containers": [{"name": "a", "image": "i"}]});

#[test]
fn a_pod_is_pending_then_running_and_ready() {
    let none = Memory::default();
    check(ONE(), &Observed::default(), &none, false, "Pending a=ContainerCreating [Initialized,PodScheduled]");
    check(
        ONE(),
        &up(vec![seen("a", State::Running, 0)]),
        &none,
        false,
        "Running a=running+ [PodReadyToStartContainers,Initialized,Ready,ContainersReady,PodScheduled]",
    );
}

#[test]
fn a_terminal_phase_is_told_once_nothing_runs() {
    let mut spec = ONE();
    spec["restartPolicy"] = json!("Never");
    let none = Memory::default();
    let ended = up(vec![seen("a", State::Exited, 0)]);
    let open = "Pending a=ended:0 [PodReadyToStartContainers,Initialized,PodScheduled]";
    check(spec.clone(), &ended, &none, false, open);
    let mut gone = ended.clone();
    gone.sandboxes[0].ready = false;
    check(spec.clone(), &gone, &none, true, "Succeeded a=ended:0 [Initialized,PodScheduled]");
    gone.containers[0].exit_code = 2;
    check(spec.clone(), &gone, &none, true, "Failed a=ended:2 [Initialized,PodScheduled]");
    let told = pod(spec, json!({"phase": "Succeeded"}));
    assert_eq!(tell(&told, &up(vec![seen("a", State::Running, 0)]), &none, false).phase.unwrap(), "Succeeded");
}

#[test]
fn a_waiting_container_tells_why_and_what_was_before() {
    let mut memory = Memory::default();
    let waiting = Waiting { reason: "CrashLoopBackOff".to_owned(), message: "back-off".to_owned(), until: at(20) };
    memory.waiting.insert("a".to_owned(), waiting);
    let status = tell(&pod(ONE(), json!({})), &up(vec![seen("a", State::Exited, 1)]), &memory, false);
    assert!(line(&status).starts_with("Running a=CrashLoopBackOff ["), "{}", line(&status));
    let container = &status.container_statuses.as_ref().unwrap()[0];
    let last = container.last_state.as_ref().unwrap().terminated.as_ref().unwrap();
    assert_eq!((last.exit_code, last.container_id.as_deref()), (1, Some("containerd://id-a")));
}

#[test]
fn probes_decide_what_is_ready_and_the_old_word_stands_until_they_speak() {
    let probe = json!({"exec": {"command": ["true"]}});
    let spec = json!({"containers": [{"name": "a", "image": "i", "readinessProbe": probe}]});
    let running = up(vec![seen("a", State::Running, 0)]);
    let mut memory = Memory::default();
    let ready = |pod: &Pod, memory: &Memory| tell(pod, &running, memory, false).container_statuses.unwrap()[0].ready;
    let fresh = pod(spec.clone(), json!({}));
    let adopted = pod(
        spec,
        json!({"containerStatuses": [{"name": "a", "ready": true, "started": true, "image": "i",
        "imageID": "", "restartCount": 0, "containerID": "containerd://id-a"}]}),
    );
    assert!(!ready(&fresh, &memory));
    assert!(ready(&adopted, &memory));
    memory.probed.insert("id-a".to_owned(), Probed { readiness: Some(false), ..Probed::default() });
    assert!(!ready(&adopted, &memory));
    memory.probed.insert("id-a".to_owned(), Probed { readiness: Some(true), ..Probed::default() });
    assert!(ready(&fresh, &memory));
}

#[test]
fn readiness_gates_hold_the_pod_back_and_conditions_of_others_stay() {
    let mut spec = ONE();
    spec["readinessGates"] = json!([{"conditionType": "example.com/gate"}]);
    let running = up(vec![seen("a", State::Running, 0)]);
    let gated = |status: &str| {
        let conditions = json!([{"type": "example.com/gate", "status": status}]);
        line(&tell(&pod(spec.clone(), json!({"conditions": conditions})), &running, &Memory::default(), false))
    };
    assert!(!gated("False").contains(",Ready,"));
    assert!(gated("True").contains("[example.com/gate,PodReadyToStartContainers,Initialized,Ready,"));
}

#[test]
fn init_containers_come_before_the_rest() {
    let spec = json!({"initContainers": [{"name": "i", "image": "i"}], "containers": [{"name": "a", "image": "i"}]});
    let none = Memory::default();
    let pending = "Pending a=PodInitializing [PodReadyToStartContainers,PodScheduled]";
    check(spec.clone(), &up(vec![seen("i", State::Running, 0)]), &none, false, pending);
    let running = "Running a=running+ [PodReadyToStartContainers,Initialized,Ready,ContainersReady,PodScheduled]";
    let both = vec![seen("i", State::Exited, 0), seen("a", State::Running, 0)];
    check(spec.clone(), &up(both), &none, false, running);
    // The init container may have been collected.
    let status = tell(&pod(spec, json!({})), &up(vec![seen("a", State::Running, 0)]), &none, false);
    assert!(status.init_container_statuses.unwrap()[0].ready);
}

#[test]
fn a_deleted_pod_ends_failed_unless_its_containers_succeeded() {
    let mut deleted = pod(ONE(), json!({"phase": "Running"}));
    deleted.metadata.deletion_timestamp = Some(Time(at(0)));
    let mut gone = up(vec![seen("a", State::Exited, 0)]);
    gone.sandboxes[0].ready = false;
    assert_eq!(tell(&deleted, &gone, &Memory::default(), true).phase.unwrap(), "Succeeded");
    gone.containers[0].exit_code = 137;
    assert_eq!(tell(&deleted, &gone, &Memory::default(), true).phase.unwrap(), "Failed");
    assert_eq!(tell(&deleted, &Observed::default(), &Memory::default(), true).phase.unwrap(), "Failed");
}

#[test]
fn addresses_generation_and_transition_times_are_kept() {
    let running = up(vec![seen("a", State::Running, 0)]);
    let first = tell(&pod(ONE(), json!({})), &running, &Memory::default(), false);
    let mut later = pod(ONE(), json!({}));
    later.status = Some(first.clone());
    let mut dead = running;
    dead.sandboxes[0].ready = false;
    let second = tell(&later, &dead, &Memory::default(), false);
    assert_eq!(second.pod_ip.as_deref(), Some("10.0.0.1"));
    assert_eq!(second.observed_generation, Some(3));
    assert_eq!(first.conditions.unwrap()[1], second.conditions.unwrap()[1]);
}

#[test]
fn a_pod_that_was_turned_away_says_so_and_nothing_else() {
    let pod = pod(ONE(), json!({"phase": "Pending"}));
    let verdict = Verdict { reason: "OutOfcpu".to_owned(), message: "no".to_owned(), at_the_door: true };
    let (old, hosts) = (pod.status.clone().unwrap(), ["10.250.0.1".to_owned()]);
    let input = Input {
        pod: &pod,
        old: &old,
        observed: &Observed::default(),
        memory: &Memory::default(),
        host_ips: &hosts,
        runtime: "containerd",
        verdict: Some(&verdict),
        over: true,
        now: at(10),
    };
    let told = status(&input);
    assert_eq!((told.phase.as_deref(), told.reason.as_deref()), (Some("Failed"), Some("OutOfcpu")));
    assert!(told.container_statuses.is_none() && told.conditions.is_none());
    // After our restart the verdict is forgotten, and nothing changes.
    assert_eq!(status(&Input { old: &told, verdict: None, ..input }), told);
}
