//! The last words of a Job's pod: which container says most about its end, how that ended, and the end of its log. All
//! of it short, for it goes over a serial line.

use client::{Client, Meta, Selection};
use k8s_openapi::api::core::v1::{ContainerState, Pod};
use serde_json::{Value, json};

/// Bytes of a sentence on the serial line.
pub const MESSAGE_BYTES_MAX: usize = 300;
/// Bytes of the log's end: with the rest of the line they stay below the 2 KiB that PID 1 writes.
const LOG_BYTES_MAX: usize = 1000;
/// Lines of the log's end.
const LOG_LINES_MAX: usize = 20;
/// Bytes that the log is asked for; lines may be long.
const ASKED_BYTES: usize = 64 << 10;

/// What is known of the pods of a Job. What cannot be found out is said instead.
pub async fn last(client: &Client, namespace: &str, job: &str) -> Value {
    let labels = format!("batch.kubernetes.io/job-name={job}");
    let pods = client.of::<Pod>().list(namespace, &Selection { labels, ..Selection::default() }).await;
    let pods = match pods {
        Ok((pods, _)) => pods,
        Err(status) => return json!({"log_error": cut(&status.message, MESSAGE_BYTES_MAX)}),
    };
    let Some(telling) = telling(&pods) else { return json!({}) };
    let mut found = telling.fields();
    if telling.has_log {
        let (pod, container) = (&telling.pod, &telling.container);
        let path = format!(
            "/api/v1/namespaces/{namespace}/pods/{pod}/log?container={container}&tailLines={LOG_LINES_MAX}&limitBytes={ASKED_BYTES}"
        );
        match client.get_text(&path).await {
            Ok(text) => found["log"] = json!(end(&text)),
            Err(status) => found["log_error"] = json!(cut(&status.message, MESSAGE_BYTES_MAX)),
        }
    }
    found
}

/// A container and how it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Telling {
    pod: String,
    container: String,
    exit_code: Option<i32>,
    waits: Option<String>,
    has_log: bool,
}

impl Telling {
    fn fields(&self) -> Value {
        let mut fields = json!({"pod": self.pod, "container": self.container});
        if let Some(code) = self.exit_code {
            fields["exit_code"] = json!(code);
        }
        if let Some(waits) = &self.waits {
            fields["state"] = json!(cut(waits, MESSAGE_BYTES_MAX));
        }
        fields
    }
}

/// The container that tells most: one that failed, else one that cannot start, else any; of several pods the youngest.
fn telling(pods: &[Pod]) -> Option<Telling> {
    let mut all: Vec<(u8, String, Telling)> = Vec::new();
    for pod in pods {
        let born = pod.meta().creation_timestamp.as_ref().map(|at| at.0.to_string()).unwrap_or_default();
        let status = pod.status.as_ref();
        let of = |list: Option<&Vec<_>>| list.cloned().unwrap_or_default();
        let statuses = of(status.and_then(|s| s.init_container_statuses.as_ref()))
            .into_iter()
            .chain(of(status.and_then(|s| s.container_statuses.as_ref())));
        for container in statuses {
            let state = container.state.unwrap_or_default();
            let last = container.last_state.unwrap_or_default();
            let (weight, exit_code, waits) = weigh(&state, &last);
            let has_log = state.waiting.is_none() || last.terminated.is_some();
            let pod = pod.name().to_owned();
            all.push((weight, born.clone(), Telling { pod, container: container.name, exit_code, waits, has_log }));
        }
    }
    all.into_iter().max_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1))).map(|(_, _, telling)| telling)
}

fn weigh(state: &ContainerState, last: &ContainerState) -> (u8, Option<i32>, Option<String>) {
    let ended = state.terminated.as_ref().or(last.terminated.as_ref()).map(|ended| ended.exit_code);
    let waits = state.waiting.as_ref().map(|waiting| {
        let reason = waiting.reason.clone().unwrap_or_default();
        waiting.message.as_ref().map_or(reason.clone(), |message| format!("{reason}: {message}"))
    });
    let weight = match (ended, &waits) {
        (Some(code), _) if code != 0 => 3,
        (_, Some(_)) => 2,
        (None, None) => 1,
        (Some(_), None) => 0,
    };
    (weight, ended, waits)
}

/// The last lines of a text, as much as there is room for.
fn end(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut room = LOG_BYTES_MAX;
    for line in text.lines().rev().take(LOG_LINES_MAX) {
        // As JSON it has quotes, a comma, and escapes.
        let size = json!(line).to_string().len() + 1;
        if size > room {
            if lines.is_empty() {
                lines.push(cut(line, LOG_BYTES_MAX / 6));
            }
            break;
        }
        room -= size;
        lines.push(line.to_owned());
    }
    lines.reverse();
    lines
}

/// A text cut to so many bytes, between two letters.
pub fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes { text.to_owned() } else { format!("{}…", &text[..text.floor_char_boundary(bytes)]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, born: u8, state: Value) -> Pod {
        let status = json!({"containerStatuses": [{"name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state}]});
        let created = format!("2026-01-01T00:00:0{born}Z");
        serde_json::from_value(json!({"metadata": {"name": name, "creationTimestamp": created}, "status": status}))
            .unwrap()
    }

    #[test]
    fn the_container_that_failed_tells_most_and_the_youngest_of_those() {
        let failed = |name, born| pod(name, born, json!({"terminated": {"exitCode": 3}}));
        let pods = [failed("a", 1), failed("b", 2), pod("c", 3, json!({"running": {}}))];
        let found = telling(&pods).unwrap();
        assert_eq!((found.pod.as_str(), found.exit_code, found.has_log), ("b", Some(3), true));
    }

    #[test]
    fn a_container_that_cannot_start_says_why_and_has_no_log() {
        let waiting = json!({"waiting": {"reason": "ErrImageNeverPull", "message": "no such image"}});
        let found = telling(&[pod("a", 1, waiting)]).unwrap();
        assert_eq!((found.waits.as_deref(), found.has_log), (Some("ErrImageNeverPull: no such image"), false));
        assert_eq!(telling(&[]), None);
    }

    #[test]
    fn the_end_of_a_log_fits_into_a_line() {
        let text: String = (0..100).map(|n| format!("line {n}\n")).collect();
        let lines = end(&text);
        assert_eq!((lines.len(), lines.last().map(String::as_str)), (LOG_LINES_MAX, Some("line 99")));
        let long = format!("{}\n{}\n", "ä\u{1b}".repeat(5000), "x".repeat(900));
        assert_eq!(end(&long).len(), 1);
        let escapes = end(&"\u{1}".repeat(5000));
        assert!(json!(escapes).to_string().len() <= LOG_BYTES_MAX + 10, "{escapes:?}");
    }
}
