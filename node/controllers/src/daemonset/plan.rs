//! Which nodes want a pod, which pods are too many, and what that amounts to. Pure.

use super::pods::{is_updated, node_of};
use crate::pod::{available_in, is_ready, phase};
use api::{Tree, meta};
use client::Meta;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use pods::taints::{Effect, keeps_away, untolerated};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A node as one set sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its name.
    pub name: String,
    /// Whether a pod is to run there.
    pub run: bool,
    /// Whether one that runs there may stay.
    pub stay: bool,
}

/// What a node is to a set whose pods would be like `probe`.
pub fn place(probe: &Tree, node: &Tree) -> Place {
    let name = meta::name(node).to_owned();
    let named = probe.str_at(&["spec", "nodeName"]).unwrap_or_default();
    if !(named.is_empty() || named == name) || !pods::affinity::matches_node(probe, node) {
        return Place { name, run: false, stay: false };
    }
    let run = keeps_away(probe, node).is_none();
    let (taints, tolerations) = (node.list_at(&["spec", "taints"]), probe.list_at(&["spec", "tolerations"]));
    Place { name, run, stay: run || untolerated(taints, tolerations, &[Effect::NoExecute]).is_none() }
}

/// A set with its pods, by node.
pub struct View<'a> {
    /// The set.
    pub set: &'a DaemonSet,
    /// The hash of its present template.
    pub hash: &'a str,
    /// All nodes.
    pub places: &'a [Place],
    /// Its pods by the node that they are on or for, those of each node in the order of [`View::new`].
    pub pods: BTreeMap<String, Vec<Arc<Pod>>>,
    now: Timestamp,
}

/// What is to be done.
#[derive(Debug, Default)]
pub struct Changes {
    /// Nodes that get a pod.
    pub create: Vec<String>,
    /// Pods that go.
    pub delete: Vec<Arc<Pod>>,
    /// Those of them that failed, with their nodes.
    pub failed: Vec<(String, Arc<Pod>)>,
    /// Those of them that have ended well, which daemons do not.
    pub succeeded: Vec<(String, Arc<Pod>)>,
    /// How long until a failed pod that stays for now may go.
    pub wait: Option<Duration>,
}

impl<'a> View<'a> {
    /// Sorts the pods by node; on each node those that are bound come first, then the oldest.
    pub fn new(
        set: &'a DaemonSet,
        hash: &'a str,
        places: &'a [Place],
        owned: Vec<Arc<Pod>>,
        now: Timestamp,
    ) -> View<'a> {
        let mut pods: BTreeMap<String, Vec<Arc<Pod>>> = BTreeMap::new();
        for pod in owned {
            match node_of(&pod) {
                Some(node) => pods.entry(node.to_owned()).or_default().push(pod),
                // Somebody's own pod that was adopted and names no node: upstream passes it over, too.
                None => tracing::warn!(pod = %pod.key(), "a pod of a DaemonSet names no node"),
            }
        }
        for on_node in pods.values_mut() {
            on_node.sort_by_key(|pod| {
                let bound = pod.spec.as_ref().and_then(|s| s.node_name.as_deref()).is_some_and(|n| !n.is_empty());
                (!bound, pod.metadata.creation_timestamp.as_ref().map(|t| t.0), pod.name().to_owned())
            });
        }
        View { set, hash, places, pods, now }
    }

    /// All pods.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods.values().flatten()
    }

    /// The pods for a node.
    pub fn on(&self, node: &str) -> &[Arc<Pod>] {
        self.pods.get(node).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether a pod counts as available.
    pub fn is_available(&self, pod: &Pod) -> bool {
        available_in(pod, self.min_ready_seconds(), self.now).is_some_and(|wait| wait.is_zero())
    }

    /// Whether a pod is of the present template.
    pub fn is_updated(&self, pod: &Pod) -> bool {
        is_updated(self.set, pod, self.hash)
    }

    /// How many nodes are to have a pod.
    pub fn desired(&self) -> usize {
        self.places.iter().filter(|place| place.run).count()
    }

    fn min_ready_seconds(&self) -> i32 {
        self.set.spec.as_ref().and_then(|s| s.min_ready_seconds).unwrap_or(0)
    }

    /// A setting of the rolling update, of so many nodes; `None` when the set is not updated by itself.
    pub fn rolling(&self, which: Rolling, nodes: usize) -> Option<usize> {
        let strategy = self.set.spec.as_ref()?.update_strategy.as_ref()?;
        let settings = strategy.rolling_update.as_ref().filter(|_| strategy.type_.as_deref() != Some("OnDelete"))?;
        let setting = match which {
            Rolling::Unavailable => settings.max_unavailable.as_ref(),
            Rolling::Surge => settings.max_surge.as_ref(),
        };
        Some(setting.map_or(0, |setting| amount(setting, nodes)))
    }

    fn surges(&self) -> bool {
        self.rolling(Rolling::Surge, 1).is_some_and(|surge| surge > 0)
    }

    /// How long until a ready pod counts as available.
    pub fn due_in(&self) -> Option<Duration> {
        let waits = self.all().filter_map(|pod| available_in(pod, self.min_ready_seconds(), self.now));
        waits.filter(|wait| !wait.is_zero()).min()
    }

    /// The status that all this amounts to.
    pub fn status(&self, old: &DaemonSetStatus) -> DaemonSetStatus {
        let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let (mut scheduled, mut misplaced, mut ready, mut updated, mut available) = (0, 0, 0, 0, 0);
        for place in self.places {
            let Some(pod) = self.on(&place.name).first() else { continue };
            if !place.run {
                misplaced += 1;
                continue;
            }
            scheduled += 1;
            ready += usize::from(is_ready(pod));
            available += usize::from(self.is_available(pod));
            updated += usize::from(self.is_updated(pod));
        }
        // Zero is left out where the API leaves it out, so that nothing differs that is the same.
        let some = |count: usize| Some(number(count)).filter(|count| *count > 0);
        DaemonSetStatus {
            current_number_scheduled: number(scheduled),
            desired_number_scheduled: number(self.desired()),
            number_misscheduled: number(misplaced),
            number_ready: number(ready),
            updated_number_scheduled: some(updated),
            number_available: some(available),
            number_unavailable: some(self.desired().saturating_sub(available)),
            observed_generation: self.set.metadata.generation,
            ..old.clone()
        }
    }
}

/// The two settings of a rolling update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rolling {
    /// `maxUnavailable`
    Unavailable,
    /// `maxSurge`
    Surge,
}

/// A number, or a percentage of a whole, rounded up.
fn amount(setting: &IntOrString, whole: usize) -> usize {
    match setting {
        IntOrString::Int(number) => usize::try_from(*number).unwrap_or(0),
        IntOrString::String(text) => {
            let percent: usize = text.trim_end_matches('%').parse().unwrap_or(0);
            (percent * whole).div_ceil(100)
        }
    }
}

/// What brings every node to its one pod. `held` says how long a failed pod of a node has to stay.
pub fn manage(view: &View, held: impl Fn(&str) -> Option<Duration>) -> Changes {
    let mut changes = Changes::default();
    for place in view.places {
        let there = view.on(&place.name);
        if !place.stay {
            changes.delete.extend(there.iter().filter(|pod| !pod.is_deleting()).cloned());
        } else if there.is_empty() {
            changes.create.extend(place.run.then(|| place.name.clone()));
        } else {
            prune(view, place, there, held(&place.name), &mut changes);
        }
    }
    // Pods for nodes that are gone and that never came there: nobody else can remove them.
    let known = |node: &str| view.places.iter().any(|place| place.name == node);
    for (_, waiting) in view.pods.iter().filter(|(node, _)| !known(node)) {
        let unbound =
            |pod: &&Arc<Pod>| pod.spec.as_ref().is_none_or(|s| s.node_name.as_deref().is_none_or(str::is_empty));
        changes.delete.extend(waiting.iter().filter(unbound).filter(|pod| !pod.is_deleting()).cloned());
    }
    changes
}

/// Removes what has ended and what is too much on one node that may have a pod.
fn prune(view: &View, place: &Place, there: &[Arc<Pod>], held: Option<Duration>, changes: &mut Changes) {
    let mut running: Vec<&Arc<Pod>> = Vec::new();
    for pod in there.iter().filter(|pod| !pod.is_deleting()) {
        match (phase(pod), held) {
            ("Failed", Some(wait)) => changes.wait = Some(changes.wait.map_or(wait, |least| least.min(wait))),
            ("Failed", None) => {
                changes.failed.push((place.name.clone(), pod.clone()));
                changes.delete.push(pod.clone());
            }
            ("Succeeded", _) => {
                changes.succeeded.push((place.name.clone(), pod.clone()));
                changes.delete.push(pod.clone());
            }
            _ => running.push(pod),
        }
    }
    if !view.surges() {
        changes.delete.extend(running.iter().skip(1).map(|pod| Arc::clone(pod)));
    } else if running.is_empty() {
        changes.create.extend(place.run.then(|| place.name.clone()));
    } else if running.len() > 1 {
        prune_surge(view, &running, changes);
    }
}

/// While a set surges a node may have two pods: an old one that is ready, and a new one that is not yet available.
fn prune_surge(view: &View, running: &[&Arc<Pod>], changes: &mut Changes) {
    let (new, old): (Vec<&Arc<Pod>>, Vec<&Arc<Pod>>) = running.iter().partition(|pod| view.is_updated(pod));
    let surplus = new.iter().skip(1).chain(old.iter().skip(1));
    changes.delete.extend(surplus.map(|pod| Arc::clone(pod)));
    if let (Some(new), Some(old)) = (new.first(), old.first())
        && (!is_ready(old) || view.is_available(new))
    {
        changes.delete.push(Arc::clone(old));
    }
}
