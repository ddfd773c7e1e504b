//! Ends of jobs, on tables and against a server in memory.

use super::*;
use crate::testing::{context, until_writes_end};
use client::fake::Fake;
use serde_json::Value;

fn job(more: Value) -> Job {
    let mut tree = json!({"metadata": {"name": "sum", "namespace": "a", "uid": "u"}, "spec": {"parallelism": 2,
        "completions": 2, "backoffLimit": 1, "selector": {"matchLabels": {"job": "sum"}}, "template":
        {"metadata": {"labels": {"job": "sum"}}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]}}}});
    for (field, value) in more.as_object().unwrap() {
        tree["spec"][field.as_str()] = value.clone();
    }
    serde_json::from_value(tree).unwrap()
}

fn pod(name: &str, phase: &str, index: i32) -> Arc<Pod> {
    let end = json!({"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": 3, "finishedAt": "2025-01-01T00:00:00Z"}}});
    Arc::new(
        serde_json::from_value(json!({"metadata": {"name": name, "namespace": "a", "uid": name,
        "finalizers": [FINALIZER], "annotations": {pods::INDEX: index.to_string()}},
        "status": {"phase": phase, "containerStatuses": [end]}}))
        .unwrap(),
    )
}

fn now() -> jiff::Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn end_of(job: &Job, pods: &[Arc<Pod>]) -> Option<String> {
    let tally = Tally::take(job, pods, now());
    let status = tally.settle(&tally.announce(pods), &[], now());
    let end = status.conditions?.into_iter().rfind(|c| c.status == "True")?;
    Some(format!("{} {}", end.type_, end.reason?))
}

#[test]
fn a_job_ends_when_enough_pods_succeeded_or_too_many_failed() {
    let won = |n| pod(&format!("w{n}"), "Succeeded", n);
    let lost = |n| pod(&format!("l{n}"), "Failed", n);
    let plain = job(json!({}));
    assert_eq!(end_of(&plain, &[won(0)]), None);
    assert_eq!(end_of(&plain, &[won(0), won(1)]).unwrap(), "Complete CompletionsReached");
    assert_eq!(end_of(&plain, &[lost(0), lost(1)]).unwrap(), "Failed BackoffLimitExceeded");
    let policy = job(json!({"podFailurePolicy": {"rules": [
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [3]}}]}}));
    assert_eq!(end_of(&policy, &[lost(0)]).unwrap(), "Failed PodFailurePolicy");
    let indexed = json!({"completionMode": "Indexed", "backoffLimitPerIndex": 0, "backoffLimit": 100});
    assert_eq!(end_of(&job(indexed.clone()), &[lost(0), won(1)]).unwrap(), "Failed FailedIndexes");
    let mut enough = indexed;
    enough["successPolicy"] = json!({"rules": [{"succeededIndexes": "1"}]});
    assert_eq!(end_of(&job(enough), &[won(1)]).unwrap(), "Complete SuccessPolicy");
}

#[test]
fn an_end_is_listed_first_and_counted_when_its_finalizer_went() {
    let tally = Tally::take(&job(json!({})), &[pod("w", "Succeeded", 0)], now());
    let announced = tally.announce(&[pod("w", "Succeeded", 0)]);
    let lists = announced.uncounted_terminated_pods.clone().unwrap();
    assert_eq!((lists.succeeded, announced.succeeded), (Some(vec!["w".to_owned()]), None));
    let held = tally.settle(&announced, &[pod("w", "Succeeded", 0)], now());
    assert_eq!(held.succeeded, None);
    let counted = tally.settle(&announced, &[], now());
    assert_eq!(counted.succeeded, Some(1));
}

#[test]
fn failed_pods_put_the_next_one_off() {
    let job = job(json!({}));
    let pods = [pod("l", "Failed", 0)];
    let at = |t: &str| t.parse().unwrap();
    let early = at("2025-01-01T00:00:05Z");
    assert!(matches!(Tally::take(&job, &pods, early).plan(&pods, early), outcome::Step::Keep));
    let later = at("2025-01-01T00:00:10Z");
    assert!(matches!(Tally::take(&job, &pods, later).plan(&pods, later), outcome::Step::Create(s) if s.len() == 2));
}

#[tokio::test(start_paused = true)]
async fn a_job_makes_pods_counts_their_ends_and_completes() {
    let server = Fake::new();
    server.put(&job(json!({})));
    let (context, stop) = context(&server);
    let life = tokio::spawn(start(context));
    until_writes_end(&server).await;
    let pods = server.all::<Pod>();
    assert_eq!(pods.len(), 2);
    for mut pod in pods {
        assert!(pod.has_finalizer(FINALIZER));
        pod.status.get_or_insert_default().phase = Some("Succeeded".to_owned());
        server.put(&pod);
    }
    until_writes_end(&server).await;
    let status = server.all::<Job>().remove(0).status.unwrap();
    assert_eq!(status.succeeded, Some(2));
    assert!(condition(&status, "Complete").is_some() && status.completion_time.is_some());
    assert!(server.all::<Pod>().iter().all(|p| !p.has_finalizer(FINALIZER)));
    stop.cancel();
    life.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_job_that_does_not_take_its_own_pods_makes_none() {
    let server = Fake::new();
    server.put(&job(json!({"selector": null})));
    let (context, stop) = context(&server);
    let life = tokio::spawn(start(context));
    until_writes_end(&server).await;
    assert!(server.all::<Pod>().is_empty());
    stop.cancel();
    life.await.unwrap();
}
