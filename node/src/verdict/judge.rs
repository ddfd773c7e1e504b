//! What a Job's status says about its end. Pure.

use k8s_openapi::api::batch::v1::{Job, JobCondition};
use std::collections::BTreeMap;
use std::time::Duration;

/// How it ended, from good to bad: of several Jobs the worst counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It completed.
    Passed,
    /// It failed.
    Failed,
    /// It did not end in time.
    Timeout,
    /// It is not there, or something that it needs was refused.
    Invalid,
}

impl Verdict {
    /// As PID 1 and the serial line call it.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::Failed => "failed",
            Verdict::Timeout => "timeout",
            Verdict::Invalid => "invalid",
        }
    }
}

/// One Job's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The verdict.
    pub verdict: Verdict,
    /// One word, from the Job's condition.
    pub reason: String,
    /// In a sentence.
    pub message: String,
    /// How long it ran.
    pub seconds: Option<i64>,
}

impl Outcome {
    /// Of a Job that has not ended when the time is up.
    pub fn late(job: Option<&Job>, limit: Duration) -> Outcome {
        let status = job.and_then(|job| job.status.clone()).unwrap_or_default();
        let count = |n: Option<i32>| n.unwrap_or(0);
        let message = format!(
            "not ended {} s after the machine started, as skerry.ci.timeout says; pods: {} active, {} ready, {} failed",
            limit.as_secs(),
            count(status.active),
            count(status.ready),
            count(status.failed)
        );
        Outcome { verdict: Verdict::Timeout, reason: "Timeout".to_owned(), message, seconds: None }
    }
}

/// The end of a Job; none while it goes on. One that is not there was not among the manifests.
pub fn judge(job: Option<&Job>) -> Option<Outcome> {
    let Some(job) = job else {
        let message = "no manifest makes this Job".to_owned();
        return Some(Outcome { verdict: Verdict::Invalid, reason: "NotFound".to_owned(), message, seconds: None });
    };
    let status = job.status.as_ref()?;
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let ended = |kind: &str| conditions.iter().find(|c| c.type_ == kind && c.status == "True");
    let (verdict, condition) = match (ended("Complete"), ended("Failed")) {
        (_, Some(failed)) => (Verdict::Failed, failed),
        (Some(complete), None) => (Verdict::Passed, complete),
        (None, None) => return None,
    };
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let end = status.completion_time.as_ref().or(condition.last_transition_time.as_ref());
    let seconds = status.start_time.as_ref().zip(end).map(|(start, end)| end.0.as_second() - start.0.as_second());
    Some(Outcome { verdict, reason: reason(condition), message: text(&condition.message), seconds })
}

fn reason(condition: &JobCondition) -> String {
    condition.reason.clone().unwrap_or_else(|| condition.type_.clone())
}

/// The verdict on all of them: the worst, and why in a sentence.
pub fn together(ended: &BTreeMap<(String, String), Outcome>) -> (Verdict, String) {
    let verdict = ended.values().map(|outcome| outcome.verdict).max().unwrap_or(Verdict::Invalid);
    let of = |wanted: Verdict| -> Vec<String> {
        let like = ended.iter().filter(|(_, outcome)| outcome.verdict == wanted);
        like.map(|((namespace, name), _)| format!("{namespace}/{name}")).collect()
    };
    (verdict, format!("{}: {}", verdict.word(), of(verdict).join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn job(conditions: serde_json::Value) -> Job {
        let status = json!({"startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:07Z", "conditions": conditions});
        serde_json::from_value(json!({"metadata": {"name": "a"}, "status": status})).unwrap()
    }

    #[test]
    fn a_job_passes_fails_or_goes_on() {
        let outcome = judge(Some(&job(json!([{"type": "Complete", "status": "True"}])))).unwrap();
        assert_eq!((outcome.verdict, outcome.reason.as_str(), outcome.seconds), (Verdict::Passed, "Complete", Some(7)));
        let failed = json!([{"type": "FailureTarget", "status": "True"}, {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "m"}]);
        let outcome = judge(Some(&job(failed))).unwrap();
        assert_eq!((outcome.verdict, outcome.reason.as_str()), (Verdict::Failed, "BackoffLimitExceeded"));
        assert_eq!(judge(Some(&job(json!([{"type": "Suspended", "status": "True"}])))), None);
        assert_eq!(judge(Some(&Job::default())), None);
    }

    #[test]
    fn a_job_that_nobody_made_is_invalid() {
        assert_eq!(judge(None).unwrap().verdict, Verdict::Invalid);
    }

    #[test]
    fn of_several_jobs_the_worst_counts_and_is_named() {
        let outcome = |verdict| Outcome { verdict, reason: String::new(), message: String::new(), seconds: None };
        let key = |name: &str| ("ci".to_owned(), name.to_owned());
        let ended = [(key("a"), outcome(Verdict::Passed)), (key("b"), outcome(Verdict::Failed))].into();
        assert_eq!(together(&ended), (Verdict::Failed, "failed: ci/b".to_owned()));
        assert_eq!(together(&BTreeMap::new()).0, Verdict::Invalid);
    }

    #[test]
    fn a_job_that_takes_too_long_tells_of_its_pods() {
        let job: Job = serde_json::from_value(json!({"status": {"active": 1}})).unwrap();
        let outcome = Outcome::late(Some(&job), Duration::from_secs(60));
        assert_eq!(outcome.verdict, Verdict::Timeout);
        assert!(outcome.message.contains("60 s") && outcome.message.contains("1 active"), "{}", outcome.message);
    }
}
