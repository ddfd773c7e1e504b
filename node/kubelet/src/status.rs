//! What the API server is told of one pod: pure, from the pod, what runs of it and what is remembered. Semantics as
//! upstream's `generateAPIPodStatus` (`pkg/kubelet/kubelet_pods.go`) and its status manager: a phase that is terminal
//! stays, is told only once nothing runs any more, and nothing known is forgotten.
//!
//! It must not know how it is written (see `report`).

mod conditions;
pub use conditions::OURS;
mod containers;
mod phase;
#[cfg(test)]
mod tests;

use crate::memory::Memory;
use crate::observed::Observed;
use crate::pod;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{HostIP, Pod, PodIP, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Why a pod is over although its containers did not decide so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// `DeadlineExceeded`, `OutOfcpu`, `NodeAffinity` and their like.
    pub reason: String,
    /// For people.
    pub message: String,
    /// Whether the node never took the pod, so that there is nothing to say of its containers.
    pub at_the_door: bool,
}

/// What a status is made from.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The pod as the API server has it.
    pub pod: &'a Pod,
    /// The status told before, by us or by the kubelet before our restart.
    pub old: &'a PodStatus,
    /// What runs of it.
    pub observed: &'a Observed,
    /// What is remembered.
    pub memory: &'a Memory,
    /// The node's addresses.
    pub host_ips: &'a [String],
    /// The engine's name, `containerd`.
    pub runtime: &'a str,
    /// Set when the pod is to fail whatever its containers say.
    pub verdict: Option<&'a Verdict>,
    /// Whether nothing of it runs, and nothing will any more.
    pub over: bool,
    /// Now.
    pub now: Timestamp,
}

/// A time as the API keeps it, in whole seconds.
#[must_use]
pub fn seconds(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}

/// The pod's status.
#[must_use]
pub fn status(input: &Input<'_>) -> PodStatus {
    let mut status = input.old.clone();
    if never_begun(input) {
        return status;
    }
    if let Some(verdict) = input.verdict.filter(|verdict| verdict.at_the_door) {
        status.phase = Some("Failed".to_owned());
        status.reason = Some(verdict.reason.clone());
        status.message = Some(verdict.message.clone());
        status.qos_class = qos(input.pod);
        status.observed_generation = input.pod.metadata.generation;
        return status;
    }
    containers::write(input, &mut status);
    if input.over {
        containers::end(input, &mut status);
    }
    let phase = phase::phase(input, &status);
    settle(input, &mut status, phase);
    addresses(input, &mut status);
    status.qos_class = qos(input.pod);
    status.observed_generation = input.pod.metadata.generation;
    if status.start_time.is_none() {
        status.start_time = Some(seconds(input.now));
    }
    conditions::write(input, &mut status);
    status
}

/// Whether all is said of a pod: it is over, and nothing of it was ever here.
fn never_begun(input: &Input<'_>) -> bool {
    let told = input.old.phase.as_deref().is_some_and(pod::is_terminal);
    told && input.old.container_statuses.is_none() && input.observed.containers.is_empty()
}

fn qos(pod: &Pod) -> Option<String> {
    pods::qos_class(&pod::tree(pod)).ok().map(|class| class.name().to_owned())
}

/// The phase, with what others decided and what was told before.
fn settle(input: &Input<'_>, status: &mut PodStatus, mut phase: &'static str) {
    let told = [input.old.phase.as_deref(), input.pod.status.as_ref().and_then(|s| s.phase.as_deref())];
    let final_phase = told.into_iter().flatten().find(|phase| pod::is_terminal(phase));
    if let Some(there) = final_phase {
        status.phase = Some(there.to_owned());
        return;
    }
    if input.verdict.is_some()
        || (input.over && input.pod.metadata.deletion_timestamp.is_some() && !pod::is_terminal(phase))
    {
        phase = "Failed";
    }
    if pod::is_terminal(phase) && !input.over {
        // Told once nothing runs any more: whoever sees a terminal phase may reuse what the pod held.
        let before = input.old.phase.clone().filter(|phase| !phase.is_empty());
        status.phase = Some(before.unwrap_or_else(|| pod::phase(input.pod).to_owned()));
        return;
    }
    if status.phase.as_deref() != Some(phase) {
        status.reason = None;
        status.message = None;
    }
    if let Some(verdict) = input.verdict {
        status.reason = Some(verdict.reason.clone());
        status.message = Some(verdict.message.clone());
    }
    status.phase = Some(phase.to_owned());
}

/// The phase that containers alone would give, whether or not it may be told yet.
#[must_use]
pub fn phase_of(input: &Input<'_>) -> &'static str {
    let mut status = input.old.clone();
    containers::write(input, &mut status);
    phase::phase(input, &status)
}

fn addresses(input: &Input<'_>, status: &mut PodStatus) {
    let hosts = input.host_ips;
    status.host_ip = hosts.first().cloned();
    status.host_ips = Some(hosts.iter().map(|ip| HostIP { ip: ip.clone() }).collect());
    let ips = match input.observed.sandbox() {
        Some(_) if pod::on_host_network(input.pod) => hosts.to_vec(),
        Some(sandbox) => sandbox.ips.clone(),
        // A completed pod keeps the address it had.
        None => Vec::new(),
    };
    if let Some(first) = ips.first() {
        status.pod_ip = Some(first.clone());
        status.pod_ips = Some(ips.iter().map(|ip| PodIP { ip: ip.clone() }).collect());
    }
}
