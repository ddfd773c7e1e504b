//! Pods that were to be disrupted and were not: the condition that says so is taken back, so that nobody believes it.

use crate::context::{Context, seconds, until};
use crate::pod::{condition, is_finished};
use api::Status;
use client::{After, Meta, Patch};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use std::time::Duration;

/// How long the condition holds without the pod being deleted; upstream's.
const HOLDS: SignedDuration = SignedDuration::from_secs(2 * 60);
const CONDITION: &str = "DisruptionTarget";

/// Since when a pod that lives on is marked; `None` for one that is not, or that the kubelet ends itself.
pub fn marked(pod: &Pod) -> Option<Timestamp> {
    let mark = condition(pod, CONDITION).filter(|c| c.status == "True")?;
    let by_kubelet = mark.reason.as_deref() == Some("TerminationByKubelet");
    (!by_kubelet && !pod.is_deleting() && !is_finished(pod)).then_some(mark.last_transition_time.as_ref()?.0)
}

/// How long the mark still holds.
fn left(since: Timestamp, now: Timestamp) -> Duration {
    until(since + HOLDS, now)
}

/// Takes the mark back when its time is up.
pub async fn sync(context: &Context, pod: &Pod) -> Result<After, Status> {
    let now = context.now();
    let Some(since) = marked(pod) else { return Ok(After::Done) };
    let left = left(since, now);
    if !left.is_zero() {
        return Ok(After::In(left));
    }
    let change = json!({"metadata": {"uid": pod.uid()}, "status": {"conditions": [{"type": CONDITION,
        "status": "False", "reason": null, "message": null, "lastTransitionTime": seconds(now),
        "observedGeneration": pod.metadata.generation}]}});
    context.client.of::<Pod>().patch(pod.namespace(), pod.name(), "status", &Patch::Strategic(change)).await?;
    Ok(After::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_holds_two_minutes_unless_the_kubelet_made_it() {
        let pod = |reason: &str| -> Pod {
            serde_json::from_value(json!({"metadata": {"name": "p"}, "status": {"phase": "Running", "conditions": [
                {"type": CONDITION, "status": "True", "reason": reason, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}))
            .unwrap()
        };
        let since = marked(&pod("EvictionByEvictionAPI")).unwrap();
        assert_eq!(left(since, "2026-01-01T00:00:30Z".parse().unwrap()), Duration::from_secs(90));
        assert_eq!(left(since, "2026-01-01T00:03:00Z".parse().unwrap()), Duration::ZERO);
        assert_eq!(marked(&pod("TerminationByKubelet")), None);
    }
}
