//! Refuses nodes where one more pod would make a group too uneven over its topology. Behaviour as upstream's
//! `podtopologyspread`.

use crate::failure::Refusal;
use crate::snapshot::{NodeView, PodView, Snapshot};
use api::selector::LabelSelector;
use api::{Map, Tree, meta};
use pods::affinity::matches_node;
use pods::taints::keeps_away;
use std::collections::BTreeMap;

const REASON: &str = "node(s) didn't match pod topology spread constraints";

fn hard(pod: &Tree) -> impl Iterator<Item = &Tree> {
    let all = pod.list_at(&["spec", "topologySpreadConstraints"]).iter();
    all.filter(|c| c.str_at(&["whenUnsatisfiable"]).is_none_or(|w| w == "DoNotSchedule"))
}

fn domain<'a>(node: &'a NodeView, constraint: &Tree) -> Option<&'a str> {
    meta::labels(&node.tree)?.get(constraint.str_at(&["topologyKey"])?)?.as_str()
}

/// Whether a node counts for a constraint, by its policies about affinity and taints.
fn counts(pod: &PodView, node: &NodeView, constraint: &Tree) -> bool {
    let by_affinity = constraint.str_at(&["nodeAffinityPolicy"]) != Some("Ignore");
    let by_taints = constraint.str_at(&["nodeTaintsPolicy"]) == Some("Honor");
    (!by_affinity || matches_node(&pod.tree, &node.tree))
        && (!by_taints || keeps_away(&pod.tree, &node.tree).is_none())
        && hard(&pod.tree).all(|c| domain(node, c).is_some())
}

fn is_of_group(pod: &Tree, constraint: &Tree, labels: Option<&Map>) -> bool {
    let own = |key: &str| meta::labels(pod).and_then(|l| l.get(key));
    let keys = constraint.list_at(&["matchLabelKeys"]).iter().filter_map(Tree::as_str);
    let same = |key: &str| own(key).is_none() || own(key) == labels.and_then(|l| l.get(key));
    LabelSelector::from_tree(constraint.get("labelSelector")).is_ok_and(|s| s.matches(labels))
        && keys.into_iter().all(same)
}

/// See [`super::Filter`].
pub fn refuses(snapshot: &Snapshot, pod: &PodView, node: &NodeView) -> Option<Refusal> {
    for constraint in hard(&pod.tree) {
        let Some(here) = domain(node, constraint) else {
            return Some(Refusal::hopeless(format!("{REASON} (missing required label)")));
        };
        let mut sizes: BTreeMap<&str, i64> = BTreeMap::new();
        for other in snapshot.nodes.values().filter(|n| counts(pod, n, constraint)) {
            let Some(domain) = domain(other, constraint) else { continue };
            let group = other.pods.values().filter(|p| {
                meta::namespace(&p.tree) == meta::namespace(&pod.tree)
                    && meta::deletion_timestamp(&p.tree).is_none()
                    && is_of_group(&pod.tree, constraint, meta::labels(&p.tree))
            });
            *sizes.entry(domain).or_default() += i64::try_from(group.count()).unwrap_or(i64::MAX);
        }
        let domains = i64::try_from(sizes.len()).unwrap_or(i64::MAX);
        let few = constraint.int_at(&["minDomains"]).is_some_and(|min| domains < min);
        let least = if few { 0 } else { sizes.values().min().copied().unwrap_or(0) };
        let own = i64::from(is_of_group(&pod.tree, constraint, meta::labels(&pod.tree)));
        let skew = sizes.get(here).copied().unwrap_or(0) + own - least;
        if skew > constraint.int_at(&["maxSkew"]).unwrap_or(1) {
            return Some(Refusal::resolvable(REASON));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::pick::pick;
    use crate::snapshot::samples::{asking, node, pod, snapshot};
    use serde_json::json;

    #[test]
    fn a_group_stays_even_over_its_zones() {
        let zone = |name: &str, zone: &str| node(name, json!({"zone": zone}), json!({}));
        let mut first = zone("a", "x");
        first.add(pod("web", json!({})));
        // The other zone is busier, so only the constraint sends the pod there.
        let mut second = zone("b", "y");
        second.add(asking("other", 900));
        let constraint = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "web"}}});
        let wanted = pod("web", json!({"topologySpreadConstraints": [constraint]}));
        assert_eq!(pick(&snapshot(vec![first, second]), &wanted).unwrap(), "b");
    }
}
