//! A pod without a node: what each node has against it, as the scheduler would say.

use super::references::missing;
use super::{Chain, Finding, Level, PodFacts, condition, listed};
use api::{Tree, meta};
use pods::fit::{Amounts, Insufficient, shortages};
use pods::{affinity, taints};
use std::collections::BTreeMap;

/// Nodes whose reasons are told one by one; of more, how often each reason occurs.
const NODES_TOLD: usize = 4;

/// Tells why no node was found.
pub fn explain(facts: &PodFacts, about: &str, chain: &mut Chain) {
    let pod = &facts.pod;
    let gates: Vec<String> = pod
        .list_at(&["spec", "schedulingGates"])
        .iter()
        .filter_map(|gate| gate.str_at(&["name"]))
        .map(str::to_owned)
        .collect();
    if !gates.is_empty() {
        let text = format!("It is held back by its scheduling gates {}", listed(&gates));
        return chain.push(Finding::new(Level::Warn, about, text).advice("Whoever set them takes them away."));
    }
    let scheduled = condition(pod, "PodScheduled");
    let message = scheduled.and_then(|found| found.str_at(&["message"])).unwrap_or_default();
    chain.push(Finding::new(Level::Bad, about, "It waits, because no node takes it").detail(message));
    let scheduler = pod.str_at(&["spec", "schedulerName"]).unwrap_or("default-scheduler");
    if scheduled.is_none() && scheduler != "default-scheduler" {
        let text = format!("It asks for the scheduler {scheduler}, which has not looked at it");
        return chain.push(Finding::new(Level::Bad, about, text));
    }
    let claims = missing(&facts.references, &facts.claim_events);
    chain.findings.extend(claims.into_iter().filter(|finding| finding.about.starts_with("PersistentVolumeClaim")));
    if facts.nodes.is_empty() {
        let text = "There is no node to place it on, or you may not read nodes";
        return chain
            .push(Finding::new(Level::Bad, "Nodes", text).advice("See whether the machine's kubelet has joined."));
    }
    let told: Vec<(&Tree, Vec<Finding>)> = facts.nodes.iter().map(|node| (node, against(facts, node))).collect();
    if told.len() <= NODES_TOLD {
        chain.findings.extend(told.into_iter().flat_map(|(_, findings)| findings));
    } else {
        summed(&told, chain);
    }
}

/// How often each reason occurs among many nodes.
fn summed(told: &[(&Tree, Vec<Finding>)], chain: &mut Chain) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for finding in told.iter().flat_map(|(_, findings)| findings) {
        *counts.entry(finding.text.as_str()).or_default() += 1;
    }
    for (text, count) in counts {
        chain.push(Finding::new(Level::Bad, format!("{count} of {} nodes", told.len()), text));
    }
}

/// What one node has against the pod.
fn against(facts: &PodFacts, node: &Tree) -> Vec<Finding> {
    let pod = &facts.pod;
    let about = format!("Node {}", meta::name(node));
    let mut found = Vec::new();
    let mut bad = |text: String, advice: &str| found.push(Finding::new(Level::Bad, about.clone(), text).advice(advice));
    if node.bool_at(&["spec", "unschedulable"]) == Some(true) {
        bad("It is cordoned and takes no new pods".to_owned(), "kubectl uncordon takes that away.");
    } else if let Some(taint) = taints::keeps_away(pod, node) {
        let text = |field: &str| taint.str_at(&[field]).unwrap_or_default();
        let value = if text("value").is_empty() { String::new() } else { format!("={}", text("value")) };
        let what = format!("Its taint {}{value}:{} is not tolerated by the pod", text("key"), text("effect"));
        bad(what, "Add a toleration to the pod, or take the taint away.");
    }
    if !affinity::matches_node(pod, node) {
        let wanted = pod.map_at(&["spec", "nodeSelector"]).into_iter().flat_map(api::Map::iter);
        let labels = meta::labels(node);
        let lacks: Vec<String> = wanted
            .filter(|(key, value)| labels.and_then(|map| map.get(key.as_str())) != Some(value))
            .map(|(key, value)| format!("{}={}", key.as_str(), value.as_str().unwrap_or_default()))
            .collect();
        match lacks.as_slice() {
            [] => bad("Its labels do not fit the pod's node affinity".to_owned(), ""),
            lacks => bad(
                format!("It has not the label {}, which nodeSelector asks for", listed(lacks)),
                "Label the node, or change nodeSelector.",
            ),
        }
    }
    for lack in lacking(facts, node) {
        let text = shortage(&lack);
        let advice = if lack.is_hopeless() {
            "Not even an empty node would do: ask for less, or start the cluster with more (skerry start --memory, \
             --cpus)."
        } else {
            "Ask for less, remove other pods, or start the cluster with more (skerry start --memory, --cpus)."
        };
        found.push(Finding::new(Level::Bad, about.clone(), text).advice(advice));
    }
    found
}

fn lacking(facts: &PodFacts, node: &Tree) -> Vec<Insufficient> {
    let here = |pod: &&Tree| {
        let ended = matches!(pod.str_at(&["status", "phase"]), Some("Succeeded" | "Failed"));
        !ended && pod.str_at(&["spec", "nodeName"]) == Some(meta::name(node))
    };
    let mut used = Amounts::default();
    let mut count = 0;
    for pod in facts.placed.iter().filter(here) {
        count += 1;
        if let Ok(amounts) = Amounts::of_pod(pod, true) {
            used.add(&amounts);
        }
    }
    // An amount that cannot be read is the API server's to refuse, and is no shortage.
    match (Amounts::of_pod(&facts.pod, false), Amounts::of_node(node)) {
        (Ok(wanted), Ok((allocatable, pods_max))) => shortages(&wanted, &used, count, &allocatable, pods_max),
        _ => Vec::new(),
    }
}

fn shortage(lack: &Insufficient) -> String {
    let free = (lack.capacity - lack.used).max(0);
    let amount = |value: i64| match lack.resource.as_str() {
        "cpu" => format!("{value}m"),
        "memory" | "ephemeral-storage" => format!("{} MiB", value >> 20),
        _ => value.to_string(),
    };
    if lack.resource == "pods" {
        return format!("It has all the pods that it takes: {}", lack.capacity);
    }
    if lack.capacity == 0 {
        return format!("It has no {} at all; the pod asks for {}", lack.resource, amount(lack.requested));
    }
    format!(
        "Too little {}: the pod asks for {}, {} of {} are free",
        lack.resource,
        amount(lack.requested),
        amount(free),
        amount(lack.capacity)
    )
}
