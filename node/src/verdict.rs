//! The verdict on the Jobs of a machine in continuous integration: watched until each has ended, told on the serial line
//! with the last words of its pod, and handed to PID 1, which ends the machine with it.

mod judge;
mod words;

use crate::pid1::Pid1;
use client::{Client, Informers};
use judge::Outcome;
pub use judge::Verdict;
use k8s_openapi::api::batch::v1::Job;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
pub use words::cut;

/// How long the last words of a Job's pod may take; less than what PID 1 leaves us after the time is up.
const WORDS_WAIT: Duration = Duration::from_secs(5);

/// The Jobs that are waited for, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Namespace and name.
    pub jobs: Vec<(String, String)>,
    /// Since the kernel started.
    pub limit: Duration,
}

impl Wanted {
    /// Reads `namespace/name` with commas between; a name alone is in the namespace `default`.
    ///
    /// # Errors
    /// Says which word is no name of a Job.
    pub fn parse(jobs: &str, limit: Duration) -> Result<Wanted, String> {
        let mut wanted = Wanted { jobs: Vec::new(), limit };
        for word in jobs.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let (namespace, name) = word.split_once('/').unwrap_or(("default", word));
            if namespace.is_empty() || name.is_empty() || name.contains('/') {
                return Err(format!("{word:?} is no Job: write namespace/name"));
            }
            wanted.jobs.push((namespace.to_owned(), name.to_owned()));
        }
        Ok(wanted)
    }

    /// What is left of the time.
    pub fn left(&self) -> Duration {
        self.limit.saturating_sub(sys::clock::since_start())
    }
}

/// Waits for the end of every Job, tells of each as it ends, and asks PID 1 for the end of the machine. A Job that is not
/// there has no verdict but that, once all manifests are `applied`.
pub async fn give(client: &Client, wanted: &Wanted, applied: bool, pid1: &Pid1) {
    let stop = CancellationToken::new();
    let _ends = stop.clone().drop_guard();
    let jobs = Informers::new(client.clone(), stop).of::<Job>();
    let changed = Arc::new(Notify::new());
    let notify = changed.clone();
    jobs.on_change(move |_| notify.notify_one());
    jobs.synced().await;
    let mut ended: BTreeMap<(String, String), Outcome> = BTreeMap::new();
    let all = async {
        loop {
            for key in wanted.jobs.iter().filter(|key| !ended.contains_key(*key)).cloned().collect::<Vec<_>>() {
                let job = jobs.find(&key.0, &key.1);
                if job.is_none() && !applied {
                    continue;
                }
                let Some(outcome) = judge::judge(job.as_deref()) else { continue };
                tell(client, &key, &outcome, pid1).await;
                ended.insert(key, outcome);
            }
            if ended.len() == wanted.jobs.len() {
                return;
            }
            changed.notified().await;
        }
    };
    if tokio::time::timeout(wanted.left(), all).await.is_err() {
        for key in wanted.jobs.iter().filter(|key| !ended.contains_key(*key)).cloned().collect::<Vec<_>>() {
            let outcome = Outcome::late(jobs.find(&key.0, &key.1).as_deref(), wanted.limit);
            tell(client, &key, &outcome, pid1).await;
            ended.insert(key, outcome);
        }
    }
    let (verdict, why) = judge::together(&ended);
    pid1.finish(verdict, &why);
}

async fn tell(client: &Client, (namespace, name): &(String, String), outcome: &Outcome, pid1: &Pid1) {
    let mut fields = json!({
        "verdict": outcome.verdict.word(),
        "namespace": namespace,
        "name": name,
        "reason": outcome.reason,
        "message": words::cut(&outcome.message, words::MESSAGE_BYTES_MAX),
    });
    if let Some(seconds) = outcome.seconds {
        fields["seconds"] = json!(seconds);
    }
    // The verdict must not wait for a pod that does not answer: PID 1 gives its own soon after the time is up.
    let last = tokio::time::timeout(WORDS_WAIT, words::last(client, namespace, name)).await;
    let last = last.unwrap_or_else(|_| json!({"log_error": "the pod's last words did not come in time"}));
    if let (Some(fields), Value::Object(more)) = (fields.as_object_mut(), last) {
        fields.extend(more);
    }
    pid1.milestone("job", fields);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_named_with_or_without_a_namespace() {
        let wanted = Wanted::parse("test, ci/e2e", Duration::from_secs(9)).unwrap();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(wanted.jobs, [pair("default", "test"), pair("ci", "e2e")]);
        for bad in ["/x", "x/", "a/b/c"] {
            assert!(Wanted::parse(bad, Duration::ZERO).unwrap_err().contains(bad));
        }
    }
}
