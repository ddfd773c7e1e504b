//! A pod: is it going, was it placed, do its containers run, are they ready.

use super::containers::{self, judge};
use super::place;
use super::references::{Reference, missing};
use super::{Chain, Finding, Level, condition, name_of, warning};
use api::{Tree, meta};

/// What is known around a pod.
#[derive(Clone, Debug, Default)]
pub struct PodFacts {
    /// The pod.
    pub pod: Tree,
    /// Its events.
    pub events: Vec<Tree>,
    /// The cluster's nodes; none read when the pod was placed.
    pub nodes: Vec<Tree>,
    /// Pods on nodes, for what they hold.
    pub placed: Vec<Tree>,
    /// What it refers to, and the object if it is there. What the caller may not read is left out.
    pub references: Vec<(Reference, Option<Tree>)>,
    /// Events of the claims that it waits for.
    pub claim_events: Vec<Tree>,
    /// The last lines of containers that ended, by container.
    pub logs: Vec<(String, String)>,
    /// What the caller may not read, in words.
    pub unread: Vec<String>,
}

/// Why a pod does not run or is not ready.
#[must_use]
pub fn of_pod(facts: &PodFacts) -> Chain {
    let pod = &facts.pod;
    let about = name_of("Pod", pod);
    let mut chain = Chain::default();
    if meta::deletion_timestamp(pod).is_some() {
        chain.push(going(pod, &about));
        return chain;
    }
    match pod.str_at(&["status", "phase"]).unwrap_or("Pending") {
        "Succeeded" => return chain,
        "Failed" => failed(facts, &about, &mut chain),
        _ if pod.str_at(&["spec", "nodeName"]).is_none_or(str::is_empty) => place::explain(facts, &about, &mut chain),
        _ => begun(facts, &about, &mut chain),
    }
    if !chain.is_well() && !facts.unread.is_empty() {
        let text = format!("Not looked at, because you may not read it: {}", facts.unread.join(", "));
        chain.push(Finding::new(Level::Info, about, text));
    }
    chain
}

fn going(pod: &Tree, about: &str) -> Finding {
    let held: Vec<String> = meta::finalizers(pod).map(str::to_owned).collect();
    if held.is_empty() {
        let seconds = pod.int_at(&["metadata", "deletionGracePeriodSeconds"]).unwrap_or(0);
        let text = format!("It is being deleted; its processes have {seconds} s to end");
        return Finding::new(Level::Warn, about, text);
    }
    let text = format!("It is being deleted and held by {}", super::listed(&held));
    let advice = "Whoever set these finalizers must take them away. If nobody does any more, remove them in the YAML.";
    Finding::new(Level::Bad, about, text).advice(advice)
}

fn failed(facts: &PodFacts, about: &str, chain: &mut Chain) {
    let pod = &facts.pod;
    let reason = pod.str_at(&["status", "reason"]).unwrap_or_default();
    let text = match reason {
        "" => "It has failed and is not started again".to_owned(),
        "Evicted" => "It was evicted: its node ran short of something".to_owned(),
        "DeadlineExceeded" => "It ran longer than activeDeadlineSeconds allows".to_owned(),
        other => format!("It has failed: {other}"),
    };
    let message = pod.str_at(&["status", "message"]).unwrap_or_default();
    chain.push(Finding::new(Level::Bad, about, text).detail(message));
    containers::ended(facts, about, chain);
}

/// A pod that has a node.
fn begun(facts: &PodFacts, about: &str, chain: &mut Chain) {
    let pod = &facts.pod;
    let node = pod.str_at(&["spec", "nodeName"]).unwrap_or_default();
    let its = facts.nodes.iter().find(|one| meta::name(one) == node);
    let up = its.and_then(|node| condition(node, "Ready"));
    if up.is_some_and(|ready| ready.str_at(&["status"]) != Some("True")) {
        let words = up.and_then(|ready| ready.str_at(&["message"])).unwrap_or_default();
        let text = "The node is not ready, so nobody looks after the pod";
        chain.push(Finding::new(Level::Bad, format!("Node {node}"), text).detail(words));
    }
    if pod.list_at(&["status", "containerStatuses"]).is_empty()
        && pod.list_at(&["status", "initContainerStatuses"]).is_empty()
    {
        chain.push(Finding::new(Level::Warn, about, format!("It was placed on {node}, which has not begun with it")));
    }
    let before = chain.findings.len();
    judge(facts, about, chain);
    if chain.findings.len() > before {
        causes(facts, about, chain);
    }
}

/// What keeps containers from being made: what they refer to, and what the kubelet says.
fn causes(facts: &PodFacts, about: &str, chain: &mut Chain) {
    let waits = containers::is_waiting_for_its_making(&facts.pod);
    if !waits {
        return;
    }
    let found = missing(&facts.references, &facts.claim_events);
    if found.is_empty() {
        let reasons =
            ["FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox", "FailedCreatePodContainer", "Failed"];
        if let Some(message) = warning(&facts.events, &reasons) {
            chain.push(Finding::new(Level::Bad, about, "The node says what it stumbles over").detail(message));
        }
    }
    chain.findings.extend(found);
}
