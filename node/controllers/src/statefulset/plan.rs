//! What a StatefulSet needs next: pure, from the set, its pods and the time. Behaviour as upstream's
//! `stateful_set_control.go`.
//!
//! It must not write anything.

use super::identity::parent_and_ordinal;
use crate::history::LABEL;
use crate::pod::{available_in, is_finished, is_ready, phase};
use client::Meta;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The names of the revisions a set is between.
pub struct Revisions {
    /// The one the set comes from.
    pub current: String,
    /// The one it goes to.
    pub update: String,
}

/// One thing to do.
#[derive(Debug)]
pub enum Action {
    /// Make the pod with this ordinal.
    Create {
        /// Which one.
        ordinal: i32,
        /// From the update revision rather than the current one.
        updated: bool,
    },
    /// Make the claims that a waiting pod lacks.
    Claims(i32),
    /// Remove this pod.
    Delete(Arc<Pod>),
    /// Remove this pod, which has ended, so that it is made anew.
    Recreate(Arc<Pod>),
}

/// A set with its pods by ordinal.
pub struct View<'a> {
    set: &'a StatefulSet,
    spec: StatefulSetSpec,
    revisions: &'a Revisions,
    wanted: BTreeMap<i32, Option<Arc<Pod>>>,
    /// Pods outside the wanted ordinals, by ordinal.
    condemned: BTreeMap<i32, Arc<Pod>>,
    now: Timestamp,
}

impl<'a> View<'a> {
    /// Sorts the pods into wanted and condemned ones.
    pub fn new(set: &'a StatefulSet, pods: &[Arc<Pod>], revisions: &'a Revisions, now: Timestamp) -> View<'a> {
        let spec = set.spec.clone().unwrap_or_default();
        let start = spec.ordinals.as_ref().and_then(|o| o.start).unwrap_or(0);
        let mut wanted: BTreeMap<i32, Option<Arc<Pod>>> =
            (start..start + spec.replicas.unwrap_or(1)).map(|ordinal| (ordinal, None)).collect();
        let mut condemned = BTreeMap::new();
        for pod in pods {
            let Some((_, ordinal)) = parent_and_ordinal(pod.name()) else { continue };
            match wanted.get_mut(&ordinal) {
                Some(slot) => *slot = Some(pod.clone()),
                None => drop(condemned.insert(ordinal, pod.clone())),
            }
        }
        View { set, spec, revisions, wanted, condemned, now }
    }

    fn start(&self) -> i32 {
        self.spec.ordinals.as_ref().and_then(|o| o.start).unwrap_or(0)
    }

    fn in_order(&self) -> bool {
        self.spec.pod_management_policy.as_deref() != Some("Parallel")
    }

    fn rolling(&self) -> bool {
        self.spec.update_strategy.as_ref().is_none_or(|s| s.type_.as_deref() != Some("OnDelete"))
    }

    fn partition(&self) -> Option<i32> {
        self.spec.update_strategy.as_ref()?.rolling_update.as_ref().map(|r| r.partition.unwrap_or(0))
    }

    fn is_available(&self, pod: &Pod) -> bool {
        let wait = available_in(pod, self.spec.min_ready_seconds.unwrap_or(0), self.now);
        phase(pod) == "Running" && wait.is_some_and(|w| w.is_zero())
    }

    fn is_healthy(&self, pod: &Pod) -> bool {
        !pod.is_deleting() && self.is_available(pod)
    }

    /// Whether a missing pod is made from the update revision.
    fn updated(&self, ordinal: i32) -> bool {
        if self.revisions.current == self.revisions.update {
            return true;
        }
        let kept = match self.partition() {
            Some(partition) => partition,
            None => self.set.status.as_ref().and_then(|s| s.current_replicas).unwrap_or(0),
        };
        !(self.rolling() && ordinal < self.start() + kept)
    }

    /// What to do now; the rest follows when this shows.
    #[must_use]
    pub fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        let go_on = self.fill(&mut actions) && self.shrink(&mut actions);
        if go_on && self.rolling() && actions.is_empty() {
            self.update(&mut actions);
        }
        actions
    }

    /// Makes missing pods, from the lowest ordinal. False when the ones after have to wait.
    fn fill(&self, actions: &mut Vec<Action>) -> bool {
        for (ordinal, slot) in &self.wanted {
            let Some(pod) = slot else {
                actions.push(Action::Create { ordinal: *ordinal, updated: self.updated(*ordinal) });
                if self.in_order() {
                    return false;
                }
                continue;
            };
            if is_finished(pod) {
                if !pod.is_deleting() {
                    actions.push(Action::Recreate(pod.clone()));
                }
                if self.in_order() {
                    return false;
                }
                continue;
            }
            if phase(pod) == "Pending" && !pod.is_deleting() && self.spec.volume_claim_templates.is_some() {
                actions.push(Action::Claims(*ordinal));
            }
            if self.in_order() && !self.is_healthy(pod) {
                return false;
            }
        }
        true
    }

    /// Removes pods that are too many, from the highest ordinal. False when the ones after have to wait.
    fn shrink(&self, actions: &mut Vec<Action>) -> bool {
        let all = self.wanted.values().flatten().chain(self.condemned.values());
        let first_unhealthy = all
            .filter(|p| !self.is_healthy(p))
            .min_by_key(|p| parent_and_ordinal(p.name()).map(|(_, ordinal)| ordinal))
            .map(|p| p.name().to_owned());
        for pod in self.condemned.values().rev() {
            if pod.is_deleting() {
                if self.in_order() {
                    return false;
                }
                continue;
            }
            let blocked = !self.is_available(pod) && first_unhealthy.as_deref() != Some(pod.name());
            if self.in_order() && blocked {
                return false;
            }
            actions.push(Action::Delete(pod.clone()));
            if self.in_order() {
                return false;
            }
        }
        true
    }

    /// Replaces pods of another revision, from the highest ordinal down to the partition, as many at a time as may be
    /// missing.
    fn update(&self, actions: &mut Vec<Action>) {
        let rolling = self.spec.update_strategy.as_ref().and_then(|s| s.rolling_update.as_ref());
        let max = match rolling.and_then(|r| r.max_unavailable.as_ref()) {
            None => 1,
            Some(IntOrString::Int(n)) => *n,
            Some(IntOrString::String(text)) => {
                let percent: i32 = text.trim_end_matches('%').parse().unwrap_or(0);
                (percent * self.spec.replicas.unwrap_or(1) + 99) / 100
            }
        };
        let mut missing = self.wanted.values().filter(|p| !p.as_ref().is_some_and(|p| self.is_healthy(p))).count();
        let floor = self.start() + self.partition().unwrap_or(0);
        for (_, slot) in self.wanted.range(floor..).rev() {
            let Some(pod) = slot else { continue };
            let outdated = pod.label(LABEL) != Some(&self.revisions.update);
            if outdated && !pod.is_deleting() {
                let healthy = self.is_healthy(pod);
                if healthy && missing >= usize::try_from(max.max(1)).unwrap_or(1) {
                    return;
                }
                actions.push(Action::Delete(pod.clone()));
                missing += usize::from(healthy);
            }
            // An unhealthy pod higher up stops the rollout, unless more than one may be missing.
            if max <= 1 && (!self.is_healthy(pod) || !actions.is_empty()) {
                return;
            }
        }
    }

    /// How long until a ready pod counts as available.
    #[must_use]
    pub fn due_in(&self) -> Option<Duration> {
        let seconds = self.spec.min_ready_seconds.unwrap_or(0);
        let pods = self.wanted.values().flatten();
        pods.filter_map(|p| available_in(p, seconds, self.now)).filter(|wait| !wait.is_zero()).min()
    }

    /// The status that the pods amount to.
    #[must_use]
    pub fn status(&self) -> StatefulSetStatus {
        let pods: Vec<&Arc<Pod>> = self.wanted.values().flatten().chain(self.condemned.values()).collect();
        let count = |test: &dyn Fn(&Pod) -> bool| i32::try_from(pods.iter().filter(|p| test(p)).count()).unwrap_or(0);
        let runs = |p: &Pod| phase(p) == "Running" && is_ready(p);
        let of = |p: &Pod, revision: &str| !p.is_deleting() && !phase(p).is_empty() && p.label(LABEL) == Some(revision);
        let ready = count(&runs);
        let updated = count(&|p| of(p, &self.revisions.update));
        let current = count(&|p| of(p, &self.revisions.current));
        let old = self.set.status.clone().unwrap_or_default();
        let wanted = self.spec.replicas.unwrap_or(1);
        let done =
            self.rolling() && updated == wanted && ready == wanted && pods.len() == updated.unsigned_abs() as usize;
        let revision = if done { &self.revisions.update } else { &self.revisions.current };
        let some = |n: i32| (n > 0).then_some(n);
        StatefulSetStatus {
            replicas: count(&|p| !phase(p).is_empty()),
            ready_replicas: some(ready),
            available_replicas: Some(count(&|p| self.is_available(p))),
            updated_replicas: some(updated),
            current_replicas: some(if done { updated } else { current }),
            current_revision: Some(revision.clone()),
            update_revision: Some(self.revisions.update.clone()),
            observed_generation: Some(self.set.generation()),
            collision_count: old.collision_count.or(Some(0)),
            conditions: old.conditions,
        }
    }
}
