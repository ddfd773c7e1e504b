//! Tests of a probe's life: when it runs and what it tells.

use super::*;
use crate::probe::{ExecAnswer, ExecFailure};
use serde_json::{Value, json};
use std::sync::Mutex;

/// A container whose commands answer with these exit codes, one after the other; the last one for good.
fn prober(codes: &[i32]) -> (Prober, mpsc::UnboundedReceiver<Told>) {
    let codes = Mutex::new(codes.to_vec());
    let exec: Exec = Arc::new(move |_, command, _| {
        let mut codes = codes.lock().unwrap();
        let code = if codes.len() > 1 { codes.remove(0) } else { codes[0] };
        let output = command.join(" ").into_bytes();
        Box::pin(async move {
            if code < 0 { Err(ExecFailure::Other("no such container".into())) } else { Ok(ExecAnswer { code, output }) }
        })
    });
    let (sender, receiver) = mpsc::unbounded_channel();
    (Prober::new(exec, sender), receiver)
}

fn subject(probes: Value, adopted: bool) -> Subject {
    let mut container = json!({"name": "c", "env": [{"name": "A", "value": "x"}]});
    container.as_object_mut().unwrap().extend(probes.as_object().unwrap().clone());
    Subject {
        pod: Arc::new(serde_json::from_value(json!({"metadata": {"uid": "u"}})).unwrap()),
        container: serde_json::from_value(container).unwrap(),
        container_id: "id".into(),
        pod_ip: "127.0.0.1".into(),
        started_at: Timestamp::UNIX_EPOCH,
        started: false,
        adopted,
    }
}

fn exec(more: Value) -> Value {
    let mut probe = json!({"exec": {"command": ["echo", "$(A)"]}, "periodSeconds": 10});
    probe.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    probe
}

/// The next thing told, with the second at which it was.
async fn next(told: &mut mpsc::UnboundedReceiver<Told>, since: Instant) -> (u64, String) {
    let text = match told.recv().await.unwrap() {
        Told::Result { kind, ok, .. } => format!("{kind} {ok}"),
        Told::Event { reason, message, .. } => format!("{reason}: {message}"),
    };
    (since.elapsed().as_secs(), text)
}

async fn check(probes: Value, codes: &[i32], adopted: bool, wanted: &[(u64, &str)]) {
    let since = Instant::now();
    let (prober, mut told) = prober(codes);
    let _running = prober.start(subject(probes, adopted), Timestamp::UNIX_EPOCH);
    let mut got = Vec::new();
    for _ in wanted {
        got.push(next(&mut told, since).await);
    }
    // What happens in the same second has no order among the probes.
    got.sort();
    let mut wanted: Vec<(u64, String)> = wanted.iter().map(|(second, text)| (*second, (*text).to_owned())).collect();
    wanted.sort();
    assert_eq!(got, wanted);
}

#[tokio::test(start_paused = true)]
async fn readiness_begins_false_and_follows_the_container() {
    let probes = json!({"readinessProbe": exec(json!({"initialDelaySeconds": 5, "failureThreshold": 2}))});
    let failed = "Unhealthy: Readiness probe failed: echo x";
    let wanted = [(0, "Readiness false"), (5, "Readiness true"), (25, failed), (35, failed), (35, "Readiness false")];
    check(probes, &[0, 0, 1], false, &wanted).await;
}

#[tokio::test(start_paused = true)]
async fn others_wait_for_startup_and_begin_at_once_after_it() {
    let probes = json!({"startupProbe": exec(json!({})), "livenessProbe": exec(json!({"failureThreshold": 1}))});
    let wanted = [
        (0, "Liveness true"),
        (0, "Unhealthy: Startup probe failed: echo x"),
        (10, "Startup true"),
        (10, "Unhealthy: Liveness probe failed: echo x"),
        (10, "Liveness false"),
    ];
    check(probes, &[1, 0, 1], false, &wanted).await;
}

#[tokio::test(start_paused = true)]
async fn an_adopted_container_keeps_its_state_until_a_probe_speaks() {
    let probes = json!({"readinessProbe": exec(json!({"initialDelaySeconds": 5}))});
    check(probes, &[0], true, &[(5, "Readiness true")]).await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_cannot_be_asked_is_told_and_changes_nothing() {
    let probes = json!({"livenessProbe": exec(json!({"failureThreshold": 1}))});
    let errored = "Unhealthy: Liveness probe errored and resulted in unknown state: no such container";
    let wanted =
        [(0, "Liveness true"), (0, errored), (10, "Unhealthy: Liveness probe failed: echo x"), (10, "Liveness false")];
    check(probes, &[-1, -1, -1, 1], false, &wanted).await;
}

#[tokio::test(start_paused = true)]
async fn of_a_pod_that_is_going_only_readiness_is_probed() {
    let probes = json!({"livenessProbe": exec(json!({})), "readinessProbe": exec(json!({"failureThreshold": 1}))});
    let (prober, mut told) = prober(&[0]);
    let running = prober.start(subject(probes, true), Timestamp::UNIX_EPOCH);
    running.terminating();
    assert_eq!(next(&mut told, Instant::now()).await.1, "Readiness true");
    drop(running);
    drop(prober);
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert!(told.recv().await.is_none(), "the probes go on though their handle is gone");
}

#[test]
fn a_probes_own_grace_wins() {
    let pod: Pod =
        serde_json::from_value(json!({"spec": {"containers": [], "terminationGracePeriodSeconds": 30}})).unwrap();
    let probe = Probe { termination_grace_period_seconds: Some(1), ..Probe::default() };
    assert_eq!((grace(&pod, Some(&probe)), grace(&pod, None)), (Some(1), Some(30)));
}
