//! The decision: the best of the nodes that no filter refuses. Pure; equal scores go to the emptier node, then to the
//! first by name, so that the same state gives the same answer.
//!
//! It must not know any single filter or score.

use crate::failure::Failure;
use crate::filters::FILTERS;
use crate::scores::SCORES;
use crate::snapshot::{NodeView, PodView, Snapshot};
use std::cmp::Reverse;

/// The highest a score may be.
pub const SCORE_MAX: i64 = 100;

/// Finds a node.
///
/// # Errors
/// Why there is none, by node and reason.
pub fn pick(snapshot: &Snapshot, pod: &PodView) -> Result<String, Failure> {
    let mut failure = Failure { nodes: snapshot.nodes.len(), ..Failure::default() };
    let mut fit: Vec<&NodeView> = Vec::new();
    for node in snapshot.nodes.values() {
        match FILTERS.iter().find_map(|filter| (filter.refuses)(snapshot, pod, node)) {
            None => fit.push(node),
            Some(refusal) => {
                let victims = node.pods.values().any(|other| other.priority() < pod.priority());
                failure.count(refusal, victims);
            }
        }
    }
    let mut totals = vec![0; fit.len()];
    if fit.len() > 1 {
        for score in SCORES {
            let points = (score.points)(snapshot, pod, &fit);
            totals.iter_mut().zip(points).for_each(|(total, points)| *total += score.weight * points);
        }
    }
    let best =
        fit.iter().zip(&totals).max_by_key(|(node, total)| (**total, Reverse(node.pods.len()), Reverse(node.name())));
    best.map(|(node, _)| node.name().to_owned()).ok_or(failure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::samples::{asking, node, pod, snapshot};
    use serde_json::json;

    #[test]
    fn a_pod_goes_where_there_is_more_room() {
        let mut busy = node("a", json!({}), json!({}));
        busy.add(asking("other", 500));
        let nodes = snapshot(vec![busy, node("b", json!({}), json!({}))]);
        assert_eq!(pick(&nodes, &asking("p", 100)).unwrap(), "b");
    }

    #[test]
    fn a_pod_that_fits_nowhere_is_told_why() {
        let mut full = node("a", json!({}), json!({}));
        full.add(asking("other", 900));
        let tainted = node("b", json!({}), json!({"taints": [{"key": "k", "effect": "NoSchedule"}]}));
        let failure = pick(&snapshot(vec![full, tainted]), &asking("p", 200)).unwrap_err();
        assert_eq!(
            failure.to_string(),
            "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s). preemption: 0/2 nodes are \
             available: 1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling."
        );
    }

    #[test]
    fn selectors_ports_names_and_cordons_keep_pods_away() {
        let ported = json!({"containers": [{"ports": [{"hostPort": 80, "containerPort": 80}]}]});
        let mut held = node("a", json!({"disk": "ssd"}), json!({}));
        held.add(pod("other", ported.clone()));
        let nodes =
            snapshot(vec![held, node("b", json!({}), json!({})), node("c", json!({}), json!({"unschedulable": true}))]);
        assert_eq!(pick(&nodes, &pod("p", ported)).unwrap(), "b");
        assert_eq!(pick(&nodes, &pod("p", json!({"nodeSelector": {"disk": "ssd"}}))).unwrap(), "a");
        let nowhere = pick(&nodes, &pod("p", json!({"nodeSelector": {"disk": "tape"}}))).unwrap_err();
        assert_eq!(nowhere.reasons["node(s) didn't match Pod's node affinity/selector"], 2);
        assert_eq!(nowhere.reasons["node(s) were unschedulable"], 1);
    }

    #[test]
    fn a_pod_goes_where_its_volumes_are() {
        let on = |host: &str| node(host, json!({"kubernetes.io/hostname": host}), json!({}));
        let nodes = snapshot(vec![on("a"), on("b")]);
        let selector = json!({"nodeSelectorTerms": [{"matchExpressions": [
            {"key": "kubernetes.io/hostname", "operator": "In", "values": ["b"]}]}]});
        let mut view = asking("p", 100);
        view.volumes.push(crate::snapshot::samples::tree(&selector));
        assert_eq!(pick(&nodes, &view).unwrap(), "b");
        let failure = pick(&snapshot(vec![on("a")]), &view).unwrap_err();
        assert_eq!(failure.reasons["node(s) didn't match PersistentVolume's node affinity"], 1);
    }
}
