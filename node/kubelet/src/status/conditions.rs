//! The conditions that the kubelet keeps at a pod, as upstream's `pkg/kubelet/status/generate.go`. Conditions of others
//! stay as they are.

use super::Input;
use crate::{plan, pod};
use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition, PodStatus};

/// What one condition says.
struct Saying {
    holds: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

impl Saying {
    fn yes() -> Saying {
        Saying { holds: true, reason: None, message: None }
    }

    fn no(reason: &'static str, message: Option<String>) -> Saying {
        Saying { holds: false, reason: Some(reason), message }
    }
}

/// The types that are ours.
pub const OURS: [&str; 5] = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];

/// Writes them.
pub(super) fn write(input: &Input<'_>, status: &mut PodStatus) {
    let phase = status.phase.clone().unwrap_or_default();
    let usable = plan::sandbox_wanted(input.pod, input.observed).is_none();
    let containers = containers_ready(input, status, &phase);
    let ready = if containers.holds { gates(input) } else { containers_ready(input, status, &phase) };
    let initialized = initialized(input, status, &phase);
    let sayings = [
        ("PodReadyToStartContainers", Saying { holds: usable, reason: None, message: None }),
        ("Initialized", initialized),
        ("Ready", ready),
        ("ContainersReady", containers),
        ("PodScheduled", Saying::yes()),
    ];
    let there = input.pod.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    let mut all: Vec<PodCondition> = there.iter().filter(|c| !OURS.contains(&c.type_.as_str())).cloned().collect();
    all.extend(sayings.into_iter().map(|(name, saying)| condition(input, name, saying)));
    status.conditions = Some(all);
}

fn condition(input: &Input<'_>, name: &str, saying: Saying) -> PodCondition {
    let told = |list: &Option<Vec<PodCondition>>| list.iter().flatten().find(|c| c.type_ == name).cloned();
    let old = told(&input.old.conditions).or_else(|| told(&input.pod.status.as_ref()?.conditions));
    let status = if saying.holds { "True" } else { "False" };
    let since = old.filter(|old| old.status == status).and_then(|old| old.last_transition_time);
    PodCondition {
        type_: name.to_owned(),
        status: status.to_owned(),
        reason: saying.reason.map(str::to_owned),
        message: saying.message,
        last_transition_time: Some(since.unwrap_or_else(|| super::seconds(input.now))),
        last_probe_time: None,
        observed_generation: input.pod.metadata.generation,
    }
}

fn go_list(names: &[&str]) -> String {
    format!("[{}]", names.join(" "))
}

fn find<'a>(list: &'a Option<Vec<ContainerStatus>>, name: &str) -> Option<&'a ContainerStatus> {
    list.iter().flatten().find(|status| status.name == name)
}

fn containers_ready(input: &Input<'_>, status: &PodStatus, phase: &str) -> Saying {
    match phase {
        "Failed" => return Saying::no("PodFailed", None),
        "Succeeded" => return Saying::no("PodCompleted", None),
        _ => (),
    }
    let sidecars = pod::init_containers(input.pod).iter().filter(|c| pod::is_sidecar(c));
    let sidecars = sidecars.map(|c| (c.name.as_str(), find(&status.init_container_statuses, &c.name)));
    let mains = pod::spec(input.pod).containers.iter();
    let mains = mains.map(|c| (c.name.as_str(), find(&status.container_statuses, &c.name)));
    let unready: Vec<&str> =
        sidecars.chain(mains).filter(|(_, s)| !s.is_some_and(|s| s.ready)).map(|(name, _)| name).collect();
    if unready.is_empty() {
        return Saying::yes();
    }
    Saying::no("ContainersNotReady", Some(format!("containers with unready status: {}", go_list(&unready))))
}

/// Readiness gates: conditions that others set and that must hold too.
fn gates(input: &Input<'_>) -> Saying {
    let there = input.pod.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    let missing = |gate: &str| match there.iter().find(|c| c.type_ == gate) {
        None => Some(format!("corresponding condition of pod readiness gate \"{gate}\" does not exist.")),
        Some(c) if c.status != "True" => {
            Some(format!("the status of pod readiness gate \"{gate}\" is not \"True\", but {}", c.status))
        }
        Some(_) => None,
    };
    let wanted = pod::spec(input.pod).readiness_gates.iter().flatten();
    let messages: Vec<String> = wanted.filter_map(|gate| missing(&gate.condition_type)).collect();
    if messages.is_empty() { Saying::yes() } else { Saying::no("ReadinessGatesNotReady", Some(messages.join(", "))) }
}

fn initialized(input: &Input<'_>, status: &PodStatus, phase: &str) -> Saying {
    let done = |c: &&k8s_openapi::api::core::v1::Container| {
        let seen = find(&status.init_container_statuses, &c.name);
        seen.is_some_and(|s| if pod::is_sidecar(c) { s.started == Some(true) } else { s.ready })
    };
    if phase == "Succeeded" {
        return Saying { holds: true, reason: Some("PodCompleted"), message: None };
    }
    let started = |s: &ContainerStatus| {
        s.started == Some(true) || s.state.as_ref().is_some_and(|state| state.terminated.is_some())
    };
    if status.container_statuses.iter().flatten().any(started) {
        return Saying::yes();
    }
    let left: Vec<&str> =
        pod::init_containers(input.pod).iter().filter(|c| !done(c)).map(|c| c.name.as_str()).collect();
    if left.is_empty() {
        return Saying::yes();
    }
    Saying::no("ContainersNotInitialized", Some(format!("containers with incomplete status: {}", go_list(&left))))
}
