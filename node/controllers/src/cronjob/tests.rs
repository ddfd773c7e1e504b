//! Times of schedules, decisions on tables, and one life against a server in memory.

use super::times::{Since, newest, next};
use super::*;
use crate::testing::{context, until_writes_end};
use api::cron::Schedule;
use client::fake::Fake;
use serde_json::{Value, json};
use std::time::Duration;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn times(schedule: &str, name: &str, from: &str, count: usize) -> Vec<String> {
    let (schedule, zone) = (Schedule::parse(schedule).unwrap(), zone(name).unwrap());
    let after = |t: &Timestamp| next(&schedule, &zone, *t);
    std::iter::successors(after(&at(from)), after).take(count).map(|t| t.to_string()).collect()
}

#[test]
fn a_schedule_comes_round_by_the_clock_of_its_zone() {
    assert_eq!(times("*/30 * * * *", "", "2026-01-01T00:10:20Z", 2), ["2026-01-01T00:30:00Z", "2026-01-01T01:00:00Z"]);
    assert_eq!(
        times("0 9 * * mon", "Europe/Berlin", "2026-03-27T00:00:00Z", 2),
        ["2026-03-30T07:00:00Z", "2026-04-06T07:00:00Z"]
    );
    assert_eq!(times("0 0 29 2 *", "", "2026-01-01T00:00:00Z", 1), ["2028-02-29T00:00:00Z"]);
    assert!(times("0 0 30 2 *", "", "2026-01-01T00:00:00Z", 1).is_empty());
    assert_eq!(times("@every 90s", "", "2026-01-01T00:00:00.7Z", 1), ["2026-01-01T00:01:30Z"]);
    assert_eq!(times("15 6 * * *", "Asia/Kolkata", "2026-01-01T00:00:00Z", 1), ["2026-01-01T00:45:00Z"]);
}

#[test]
fn an_hour_that_is_left_out_has_no_time_and_one_that_comes_twice_has_two() {
    // Berlin goes from 2:00 to 3:00 on 29 March 2026, and from 3:00 back to 2:00 on 25 October.
    assert_eq!(times("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 1), ["2026-03-30T00:30:00Z"]);
    assert_eq!(
        times("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 3),
        ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"]
    );
}

#[test]
fn the_newest_time_is_found_without_counting_all() {
    let found = |schedule: &str, from: &str, now: &str| {
        newest(&Schedule::parse(schedule).unwrap(), &TimeZone::UTC, at(from), at(now))
    };
    assert_eq!(found("0 * * * *", "2026-01-01T00:10:00Z", "2026-01-01T00:50:00Z"), Ok(Since::Nothing));
    assert_eq!(
        found("0 * * * *", "2026-01-01T00:10:00Z", "2026-01-01T01:50:00Z"),
        Ok(Since::Newest(at("2026-01-01T01:00:00Z"), 1))
    );
    let Ok(Since::Newest(time, count)) = found("* * * * *", "2000-01-01T00:00:00Z", "2026-01-01T00:00:30Z") else {
        panic!("nothing was missed")
    };
    assert_eq!(time, at("2026-01-01T00:00:00Z"));
    assert!(count > 10_000_000, "{count}");
    assert!(found("0 0 31 2 *", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z").is_err());
}

fn cron(more: Value, status: Value) -> CronJob {
    let mut tree = json!({
        "metadata": {"name": "tide", "namespace": "a", "uid": "u", "creationTimestamp": "2025-12-31T23:50:30Z"},
        "spec": {"schedule": "*/5 * * * *", "jobTemplate": {"metadata": {"labels": {"sea": "north"}}, "spec":
            {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]}}}}},
        "status": status
    });
    for (field, value) in more.as_object().unwrap() {
        tree["spec"][field.as_str()] = value.clone();
    }
    serde_json::from_value(tree).unwrap()
}

/// The step at 2026-01-01T00:00:20Z, and the reasons of what is told.
fn step(more: Value, status: Value) -> (Step, Vec<&'static str>) {
    let cron = cron(more, status);
    let mut news = Vec::new();
    let status = cron.status.clone().unwrap_or_default();
    let step = plan::decide(&cron, &status, zone, at("2026-01-01T00:00:20Z"), &mut news);
    (step, news.iter().map(|news| news.reason).collect())
}

#[test]
fn a_job_is_started_once_for_the_newest_time() {
    let due = at("2026-01-01T00:00:00Z");
    let next = Step::Wait(Duration::from_millis(280_100));
    let last = json!({"lastScheduleTime": "2026-01-01T00:00:00Z"});
    let running = json!({"active": [{"name": "tide-1", "uid": "j"}]});
    for (more, status, wants, told) in [
        (json!({}), json!({}), Step::Start { at: due, replace: false }, vec![]),
        (json!({}), last, next.clone(), vec![]),
        (json!({"concurrencyPolicy": "Forbid"}), running.clone(), next.clone(), vec!["JobAlreadyActive"]),
        (json!({"concurrencyPolicy": "Replace"}), running.clone(), Step::Start { at: due, replace: true }, vec![]),
        (json!({}), running, Step::Start { at: due, replace: false }, vec![]),
        (json!({"startingDeadlineSeconds": 10}), json!({}), next, vec![]),
        (json!({"startingDeadlineSeconds": 30}), json!({}), Step::Start { at: due, replace: false }, vec![]),
        (json!({"suspend": true}), json!({}), Step::Rest, vec![]),
        (json!({"timeZone": "Mars/North"}), json!({}), Step::Rest, vec!["UnknownTimeZone"]),
        (json!({"schedule": "bad"}), json!({}), Step::Rest, vec!["UnparseableSchedule"]),
        (json!({"schedule": "0 0 31 2 *"}), json!({}), Step::Rest, vec!["InvalidSchedule"]),
    ] {
        assert_eq!(step(more.clone(), status.clone()), (wants, told), "{more} {status}");
    }
}

fn job(name: &str, end: &str, started: &str) -> Arc<Job> {
    let tree = json!({"metadata": {"name": name, "namespace": "a", "uid": name, "ownerReferences":
        [{"apiVersion": "batch/v1", "kind": "CronJob", "name": "tide", "uid": "u", "controller": true}]},
        "status": {"startTime": started, "completionTime": started,
        "conditions": [{"type": end, "status": "True"}]}});
    Arc::new(serde_json::from_value(tree).unwrap())
}

#[test]
fn the_oldest_ended_jobs_beyond_the_limits_go() {
    let limits = json!({"successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 0});
    let jobs = [
        job("new", "Complete", "2026-01-01T00:02:00Z"),
        job("old", "Complete", "2026-01-01T00:01:00Z"),
        job("lost", "Failed", "2026-01-01T00:03:00Z"),
    ];
    let names: Vec<String> =
        plan::surplus(&cron(limits, json!({})), &jobs).iter().map(|job| job.name().to_owned()).collect();
    assert_eq!(names, ["old", "lost"]);
    assert!(plan::surplus(&cron(json!({}), json!({})), &jobs).is_empty());
}

#[test]
fn the_status_follows_the_jobs() {
    let active = json!({"active": [{"name": "done", "uid": "done"}, {"name": "lost", "uid": "lost"}]});
    let mut status = cron(json!({}), active).status.unwrap();
    let news = plan::note(&mut status, &[job("done", "Complete", "2026-01-01T00:02:00Z")], &["lost".to_owned()]);
    assert_eq!(news.iter().map(|n| n.reason).collect::<Vec<_>>(), ["SawCompletedJob", "MissingJob"]);
    assert_eq!(status.active, None);
    assert_eq!(status.last_successful_time, Some(Time(at("2026-01-01T00:02:00Z"))));
}

#[tokio::test(start_paused = true)]
async fn a_job_is_made_and_noted_and_no_second_one() {
    let server = Fake::new();
    server.put(&cron(json!({"timeZone": "Europe/Berlin"}), json!({})));
    let (context, stop) = context(&server);
    let life = tokio::spawn(start(context));
    until_writes_end(&server).await;
    let jobs = server.all::<Job>();
    assert_eq!(jobs.iter().map(Meta::name).collect::<Vec<_>>(), ["tide-29453760"]);
    assert_eq!(jobs[0].label("sea"), Some("north"));
    let scheduled = jobs[0].annotation("batch.kubernetes.io/cronjob-scheduled-timestamp");
    assert_eq!(scheduled, Some("2026-01-01T01:00:00+01:00"));
    let status = server.all::<CronJob>().remove(0).status.unwrap();
    assert_eq!(status.last_schedule_time, Some(Time(at("2026-01-01T00:00:00Z"))));
    assert_eq!(status.active.unwrap()[0].uid.as_deref(), Some(jobs[0].uid()));
    stop.cancel();
    life.await.unwrap();
}
