//! A watch on pods, read on the host's clock: when each was created and when it ran.

use crate::harness::{Machine, Stream};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Twenty pods at once, emulated next to other programs.
const RUN: Duration = Duration::from_secs(300);
/// A watch that was asked for, or one pod to be gone.
const SOON: Duration = Duration::from_secs(120);
/// One object to be made.
const MADE: Duration = Duration::from_secs(60);
/// The image that the pods are of.
pub const IMAGE: &str = "shop.local/tools:v1";

/// A pod that does nothing, marked for a watch by the value of its label `bench`.
pub fn idle_pod(mark: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"bench": mark}},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [
                {"name": "idle", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["sleep", "infinity"]}
            ],
        },
    })
}

/// A Service that leads a node port to port 8080 of the pods of a mark.
pub fn service(mark: &str, name: &str, port: u16) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"type": "NodePort",
        "selector": {"bench": mark}, "ports": [{"port": 80, "targetPort": 8080, "nodePort": port}]}})
}

/// Creates an object and returns with the server's answer.
pub fn create(machine: &Machine, plural: &str, object: &Value) {
    let path = format!("/api/v1/namespaces/default/{plural}");
    machine.kubectl_given(MADE, &["create", "--raw", &path, "-f", "-"], &object.to_string());
}

/// Removes the pods of a mark and waits until they are gone.
pub fn remove(machine: &Machine, mark: &str) {
    machine.kubectl_within(RUN, &["delete", "pods", "-l", &format!("bench={mark}"), "--wait", "--timeout=280s"]);
}

/// A watch that is on.
pub struct Watch {
    stream: Stream,
}

impl Watch {
    /// Begins to watch the pods of a mark. What is there already is told first.
    pub fn on(machine: &Machine, mark: &str) -> Watch {
        let query = "watch=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
        let path = format!("/api/v1/namespaces/default/pods?labelSelector=bench%3D{mark}&{query}");
        Watch { stream: machine.kubectl_stream(&["get", "--raw", &path]) }
    }

    /// Returns once the server tells changes in the moment that they happen.
    ///
    /// # Errors
    /// When the server refuses or is silent.
    pub fn is_on(&self) -> Result<()> {
        match self.next(SOON)? {
            Event { kind, .. } if kind == "BOOKMARK" => Ok(()),
            other => bail!("a watch on no pods begins with {other:?}"),
        }
    }

    /// Waits until so many pods run; for each, the time since the first of them was created.
    ///
    /// # Errors
    /// When the watch breaks off, a pod fails, or not all of them run in time.
    pub fn until_running(&self, count: usize) -> Result<Vec<Duration>> {
        let (mut race, end) = (Race::default(), Instant::now() + RUN);
        while race.running.len() < count {
            let event = self.next(end.saturating_duration_since(Instant::now()));
            let event = event.with_context(|| format!("{} of {count} pods run", race.running.len()))?;
            race.see(Instant::now(), &event)?;
        }
        Ok(race.running.into_values().collect())
    }

    fn next(&self, limit: Duration) -> Result<Event> {
        let line = self.stream.line(limit).with_context(|| format!("no event of pods within {} s", limit.as_secs()))?;
        Event::read(&line)
    }
}

/// One line of a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Event {
    kind: String,
    pod: String,
    phase: String,
}

impl Event {
    fn read(line: &str) -> Result<Event> {
        let value: Value = serde_json::from_str(line).with_context(|| format!("no event of pods: {line}"))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (kind, object) = (text(&value["type"]), &value["object"]);
        ensure!(kind != "ERROR" && !kind.is_empty(), "the watch failed: {line}");
        Ok(Event { kind, pod: text(&object["metadata"]["name"]), phase: text(&object["status"]["phase"]) })
    }
}

/// Pods on their way from creation to running.
#[derive(Debug, Default)]
struct Race {
    created: Option<Instant>,
    running: BTreeMap<String, Duration>,
}

impl Race {
    fn see(&mut self, now: Instant, event: &Event) -> Result<()> {
        if event.kind == "BOOKMARK" {
            return Ok(());
        }
        ensure!(event.kind != "DELETED" && event.phase != "Failed", "pod {} was lost: {event:?}", event.pod);
        let created = *self.created.get_or_insert(now);
        if event.phase == "Running" {
            self.running.entry(event.pod.clone()).or_insert(now - created);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kind: &str, pod: &str, phase: &str) -> String {
        json!({"type": kind, "object": {"metadata": {"name": pod}, "status": {"phase": phase}}}).to_string()
    }

    #[test]
    fn pods_are_timed_from_the_first_creation_to_their_first_running() {
        let (mut race, start) = (Race::default(), Instant::now());
        for (at_ms, kind, pod, phase) in [
            (0, "BOOKMARK", "", ""),
            (100, "ADDED", "a", "Pending"),
            (150, "ADDED", "b", "Pending"),
            (300, "MODIFIED", "a", "Running"),
            (400, "MODIFIED", "a", "Running"),
            (600, "MODIFIED", "b", "Running"),
        ] {
            let event = Event::read(&line(kind, pod, phase)).unwrap();
            race.see(start + Duration::from_millis(at_ms), &event).unwrap();
        }
        let times: Vec<u128> = race.running.values().map(Duration::as_millis).collect();
        assert_eq!(times, [200, 500]);
    }

    #[test]
    fn a_lost_pod_and_a_broken_watch_are_told() {
        let mut race = Race::default();
        for (kind, phase) in [("DELETED", "Running"), ("MODIFIED", "Failed")] {
            let event = Event::read(&line(kind, "a", phase)).unwrap();
            assert!(race.see(Instant::now(), &event).unwrap_err().to_string().contains("pod a"));
        }
        assert!(Event::read("{\"type\":\"ERROR\",\"object\":{\"code\":410}}").unwrap_err().to_string().contains("410"));
        assert!(Event::read("Error from server").unwrap_err().to_string().contains("Error from server"));
    }
}
