//! Replacing pods of an older template, so many at a time. Pure.

use super::plan::{Changes, Rolling, View};
use client::Meta;
use k8s_openapi::api::core::v1::Pod;
use std::collections::BTreeSet;
use std::sync::Arc;

/// At most one pod of the present template and one of an older one.
#[derive(Default)]
struct Pair<'a> {
    new: Option<&'a Arc<Pod>>,
    old: Option<&'a Arc<Pod>>,
}

/// The pods of a node that are not going; `None` when there are more, which [`super::plan::manage`] prunes first.
fn pair<'a>(view: &'a View, node: &str) -> Option<Pair<'a>> {
    let mut pair = Pair::default();
    for pod in view.on(node).iter().filter(|pod| !pod.is_deleting()) {
        let slot = if view.is_updated(pod) { &mut pair.new } else { &mut pair.old };
        if slot.replace(pod).is_some() {
            return None;
        }
    }
    Some(pair)
}

/// The next steps of a rolling update.
pub fn roll(view: &View) -> Changes {
    let desired = view.desired();
    let (Some(unavailable), Some(surge)) =
        (view.rolling(Rolling::Unavailable, desired), view.rolling(Rolling::Surge, desired))
    else {
        return Changes::default();
    };
    // Every node that is to have a pod, and every one that has one.
    let wanted = view.places.iter().filter(|place| place.run).map(|place| place.name.as_str());
    let nodes: BTreeSet<&str> = wanted.chain(view.pods.keys().map(String::as_str)).collect();
    match surge {
        0 => replace(view, &nodes, if unavailable == 0 { 1 } else { unavailable }),
        surge => overlap(view, &nodes, surge),
    }
}

/// Removes old pods while not too many nodes are without an available one. Those that are of no use go at once.
fn replace(view: &View, nodes: &BTreeSet<&str>, unavailable_max: usize) -> Changes {
    let (mut unavailable, mut useless, mut candidates) = (0, Vec::new(), Vec::new());
    for node in nodes {
        match pair(view, node) {
            None | Some(Pair { new: None, old: None } | Pair { new: Some(_), old: Some(_) }) => unavailable += 1,
            Some(Pair { new: Some(new), old: None }) => unavailable += usize::from(!view.is_available(new)),
            Some(Pair { new: None, old: Some(old) }) if view.is_available(old) => candidates.push(old.clone()),
            Some(Pair { new: None, old: Some(old) }) => {
                useless.push(old.clone());
                unavailable += 1;
            }
        }
    }
    candidates.truncate(unavailable_max.saturating_sub(unavailable));
    Changes { delete: useless.into_iter().chain(candidates).collect(), ..Changes::default() }
}

/// Makes new pods beside old ones, and removes an old one when the new one is available.
fn overlap(view: &View, nodes: &BTreeSet<&str>, surge_max: usize) -> Changes {
    let runs = |node: &str| view.places.iter().any(|place| place.name == node && place.run);
    let (mut surging, mut available) = (0, 0);
    let (mut delete, mut leaving, mut create, mut candidates) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for node in nodes {
        let Some(Pair { new, old }) = pair(view, node) else {
            surging += 1;
            continue;
        };
        available += usize::from(old.or(new).is_some_and(|pod| view.is_available(pod)));
        match (new, old) {
            (_, None) => {}
            (None, Some(old)) => match (view.is_available(old), runs(node)) {
                (false, false) => delete.push(old.clone()),
                (false, true) => create.push((*node).to_owned()),
                (true, false) => leaving.push(old.clone()),
                (true, true) => candidates.push((*node).to_owned()),
            },
            (Some(new), Some(old)) if view.is_available(new) => delete.push(old.clone()),
            (Some(_), Some(_)) => surging += 1,
        }
    }
    // Who surges wants no gap: a pod leaves a node that it no longer fits only when enough others are available.
    leaving.truncate(available.saturating_sub(view.desired()));
    candidates.truncate(surge_max.saturating_sub(surging));
    delete.extend(leaving);
    create.extend(candidates);
    Changes { create, delete, ..Changes::default() }
}
