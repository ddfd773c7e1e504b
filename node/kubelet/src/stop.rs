//! Ends containers and sandboxes: preStop, the stop signal, grace, KILL; sidecars after the rest, the last one first.
//! As upstream's `killContainer` and its termination ordering.

use crate::context::Context;
use crate::cri::{self, v1};
use crate::hooks;
use crate::observed::{Container as Seen, Observed};
use crate::plan::Why;
use crate::pod;
use k8s_openapi::api::core::v1::{Container, Pod};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// No container gets less, seconds: what upstream gives even when the grace is used up.
pub const GRACE_MIN: i64 = 2;

/// The grace of a container, seconds.
#[must_use]
pub fn grace(pod: &Pod, container: Option<&Container>, why: Option<Why>) -> i64 {
    if let Some(deletion) = pod.metadata.deletion_grace_period_seconds {
        return deletion;
    }
    let probe = container.and_then(|container| match why {
        Some(Why::Startup) => container.startup_probe.as_ref(),
        Some(Why::Liveness) => container.liveness_probe.as_ref(),
        _ => None,
    });
    let own = probe.and_then(|probe| probe.termination_grace_period_seconds);
    own.or(pod::spec(pod).termination_grace_period_seconds).unwrap_or(GRACE_MIN)
}

/// How one container is ended.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// Its pod.
    pub pod: &'a Pod,
    /// The pod's address, for hooks.
    pub ip: &'a str,
    /// Seconds from the first hook to KILL.
    pub grace: i64,
    /// What the event says.
    pub message: String,
    /// What must have ended before, and who tells.
    pub after: Option<(BTreeSet<String>, watch::Receiver<BTreeSet<String>>)>,
}

fn left(from: Instant, grace: i64) -> i64 {
    grace - i64::try_from(from.elapsed().as_secs()).unwrap_or(i64::MAX)
}

/// Ends one container.
///
/// # Errors
/// What the engine answers; that it is gone is fine.
pub async fn container(ctx: &Context, seen: &Seen, mut order: Order<'_>) -> cri::Result<()> {
    let spec = pod::container(order.pod, &seen.name).map(|(_, container)| container);
    ctx.recorder.normal(order.pod, "Killing", order.message.clone());
    let from = Instant::now();
    let hook = spec.as_ref().and_then(|c| c.lifecycle.as_ref()).and_then(|l| l.pre_stop.as_ref());
    if let (Some(hook), Some(spec), true) = (hook, spec.as_ref(), order.grace > 0) {
        let limit = Duration::from_secs(u64::try_from(order.grace).unwrap_or(0));
        let ran = tokio::time::timeout(limit, hooks::run(ctx, order.pod, spec, &seen.id, order.ip, hook, limit)).await;
        match ran {
            Ok(Ok(())) => (),
            Ok(Err(error)) => {
                tracing::info!(pod = pod::full_name(order.pod), error, "a hook before the end failed");
                ctx.recorder.warning(order.pod, "FailedPreStopHook", "PreStopHook failed");
            }
            Err(_) => tracing::info!(pod = pod::full_name(order.pod), "a hook before the end used up the grace"),
        }
    }
    if let Some((before, ended)) = order.after.as_mut() {
        let turn = ended.wait_for(|ended| before.is_subset(ended));
        let limit = Duration::from_secs(u64::try_from(left(from, order.grace)).unwrap_or(0));
        if tokio::time::timeout(limit, turn).await.is_err() {
            tracing::debug!(container = seen.name, "a sidecar's grace ended before those that it serves");
        }
    }
    let timeout = left(from, order.grace).max(GRACE_MIN);
    match ctx.cri.stop_container(v1::StopContainerRequest { container_id: seen.id.clone(), timeout }).await {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

/// Which containers must end before which: sidecars after all main containers and after the sidecars that started
/// later.
#[must_use]
pub fn ordering(pod: &Pod) -> BTreeMap<String, BTreeSet<String>> {
    let mut before: BTreeSet<String> = pod::spec(pod).containers.iter().map(|c| c.name.clone()).collect();
    let mut order = BTreeMap::new();
    for sidecar in pod::init_containers(pod).iter().rev().filter(|c| pod::is_sidecar(c)) {
        order.insert(sidecar.name.clone(), before.clone());
        before.insert(sidecar.name.clone());
    }
    order
}

/// Ends everything of a pod.
///
/// # Errors
/// The first answer of the engine that says no; the others have been asked too.
pub async fn all(ctx: &Context, pod: &Pod, observed: &Observed, grace_of_all: Option<i64>) -> cri::Result<()> {
    let ip = observed.sandboxes.first().and_then(|s| s.ips.first()).cloned().unwrap_or_default();
    let running: Vec<&Seen> = observed.running().collect();
    let names: BTreeSet<String> = running.iter().map(|seen| seen.name.clone()).collect();
    let ended = watch::Sender::new(BTreeSet::new());
    let ordering = ordering(pod);
    let ends = running.iter().map(|seen| {
        let before = ordering.get(&seen.name).map(|before| before.intersection(&names).cloned().collect());
        let spec = pod::container(pod, &seen.name).map(|(_, container)| container);
        let order = Order {
            pod,
            ip: &ip,
            grace: grace_of_all.unwrap_or_else(|| grace(pod, spec.as_ref(), None)),
            message: format!("Stopping container {}", seen.name),
            after: before.map(|before| (before, ended.subscribe())),
        };
        let ended = &ended;
        async move {
            let result = container(ctx, seen, order).await;
            ended.send_modify(|ended| {
                ended.insert(seen.name.clone());
            });
            result
        }
    });
    let results = futures_util::future::join_all(ends).await;
    let mut failed = results.into_iter().find_map(Result::err);
    for sandbox in observed.sandboxes.iter().filter(|s| s.ready) {
        let asked = v1::StopPodSandboxRequest { pod_sandbox_id: sandbox.id.clone() };
        if let Err(error) = ctx.cri.stop_pod_sandbox(asked).await
            && !error.is_not_found()
        {
            failed.get_or_insert(error);
        }
    }
    failed.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sidecars_end_after_the_main_containers_and_in_reverse() {
        let sidecar = |name: &str| json!({"name": name, "restartPolicy": "Always"});
        let spec = json!({"initContainers": [sidecar("s1"), {"name": "i"}, sidecar("s2")],
            "containers": [{"name": "a"}, {"name": "b"}]});
        let pod: Pod = serde_json::from_value(json!({"spec": spec})).unwrap();
        let order = ordering(&pod);
        let list = |name: &str| order[name].iter().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!((list("s2").as_str(), list("s1").as_str(), order.len()), ("a b", "a b s2", 2));
    }

    #[test]
    fn the_grace_is_that_of_the_deletion_then_of_the_probe_then_of_the_pod() {
        let container = json!({"name": "a", "livenessProbe": {"terminationGracePeriodSeconds": 5}});
        let mut pod: Pod =
            serde_json::from_value(json!({"spec": {"terminationGracePeriodSeconds": 30, "containers": [container]}}))
                .unwrap();
        let (_, container) = pod::container(&pod, "a").unwrap();
        assert_eq!(grace(&pod, Some(&container), None), 30);
        assert_eq!(grace(&pod, Some(&container), Some(Why::Liveness)), 5);
        pod.metadata.deletion_grace_period_seconds = Some(1);
        assert_eq!(grace(&pod, Some(&container), Some(Why::Liveness)), 1);
    }
}
