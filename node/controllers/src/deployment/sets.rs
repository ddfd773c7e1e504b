//! The ReplicaSets of one Deployment: which is the new one, how big each is, what their annotations say.
//!
//! It must not know what is done about them.

use crate::pod::same_labels_but;
use client::Meta;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::sync::Arc;

/// The label that tells the sets of a deployment apart.
pub const HASH: &str = "pod-template-hash";
/// The revision of a set, and of the deployment.
pub const REVISION: &str = "deployment.kubernetes.io/revision";
/// Revisions a set had before.
pub const HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// The deployment's size when the set was last scaled.
pub const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
/// The deployment's size with surge when the set was last scaled.
pub const MAX: &str = "deployment.kubernetes.io/max-replicas";

/// How many pods a set shall have.
#[must_use]
pub fn size(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1)
}

/// How many available pods a set has.
#[must_use]
pub fn available(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|s| s.available_replicas).unwrap_or(0)
}

/// How many pods a deployment shall have.
#[must_use]
pub fn wanted(deployment: &Deployment) -> i32 {
    deployment.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1)
}

/// A number, or a percentage of a whole, rounded up or down.
#[must_use]
pub fn share(value: Option<&IntOrString>, whole: i32, up: bool) -> i32 {
    match value {
        None => 0,
        Some(IntOrString::Int(number)) => *number,
        Some(IntOrString::String(text)) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
            let product = percent * i64::from(whole);
            let part = if up { (product + 99).div_euclid(100) } else { product.div_euclid(100) };
            i32::try_from(part).unwrap_or(i32::MAX)
        }
    }
}

fn fenceposts(deployment: &Deployment) -> (i32, i32) {
    let strategy = deployment.spec.as_ref().and_then(|s| s.strategy.as_ref());
    let rolling = strategy.is_none_or(|s| s.type_.as_deref() != Some("Recreate"));
    if !rolling {
        return (0, 0);
    }
    let update = strategy.and_then(|s| s.rolling_update.as_ref());
    let quarter = IntOrString::String("25%".to_owned());
    let given = |value: Option<&Option<IntOrString>>| value.and_then(Clone::clone).unwrap_or(quarter.clone());
    let surge = share(Some(&given(update.map(|u| &u.max_surge))), wanted(deployment), true);
    let unavailable = share(Some(&given(update.map(|u| &u.max_unavailable))), wanted(deployment), false);
    // Both may round to nothing, and then nothing would ever move.
    if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
}

/// How many pods there may be above the wanted number.
#[must_use]
pub fn surge(deployment: &Deployment) -> i32 {
    fenceposts(deployment).0
}

/// How many of the wanted pods may be missing.
#[must_use]
pub fn may_be_missing(deployment: &Deployment) -> i32 {
    if wanted(deployment) == 0 { 0 } else { fenceposts(deployment).1.min(wanted(deployment)) }
}

/// Whether a set was made from the deployment's present template.
#[must_use]
pub fn same_template(deployment: &Deployment, set: &ReplicaSet) -> bool {
    let (Some(wanted), Some(there)) =
        (deployment.spec.as_ref().map(|s| &s.template), set.spec.as_ref().and_then(|s| s.template.as_ref()))
    else {
        return false;
    };
    let mut a = wanted.metadata.clone().unwrap_or_default();
    let mut b = there.metadata.clone().unwrap_or_default();
    let same_labels = same_labels_but(a.labels.as_ref(), b.labels.as_ref(), HASH);
    a.labels = None;
    b.labels = None;
    for meta in [&mut a, &mut b] {
        meta.creation_timestamp = None;
        meta.annotations = meta.annotations.take().filter(|m| !m.is_empty());
    }
    same_labels && a == b && wanted.spec == there.spec
}

/// The revision in an object's annotations; 0 for none.
#[must_use]
pub fn revision(object: &impl Meta) -> i64 {
    object.annotation(REVISION).and_then(|r| r.parse().ok()).unwrap_or(0)
}

/// The sets of a deployment, the oldest first.
pub struct Sets {
    all: Vec<Arc<ReplicaSet>>,
    new: Option<String>,
}

impl Sets {
    /// Finds the new set: the oldest one with the present template, as upstream, since two may exist after a race.
    #[must_use]
    pub fn sort(deployment: &Deployment, mut all: Vec<Arc<ReplicaSet>>) -> Sets {
        all.sort_by_key(|set| (set.metadata.creation_timestamp.clone(), set.name().to_owned()));
        let new = all.iter().find(|set| same_template(deployment, set)).map(|set| set.name().to_owned());
        Sets { all, new }
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Arc<ReplicaSet>> {
        self.all.iter()
    }

    /// The new one.
    #[must_use]
    pub fn new_set(&self) -> Option<&Arc<ReplicaSet>> {
        let name = self.new.as_deref()?;
        self.all.iter().find(|set| set.name() == name)
    }

    /// All but the new one.
    pub fn old(&self) -> impl Iterator<Item = &Arc<ReplicaSet>> {
        self.all.iter().filter(|set| Some(set.name()) != self.new.as_deref())
    }

    /// One of them.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<Arc<ReplicaSet>> {
        self.all.iter().find(|set| set.name() == name).cloned()
    }

    /// Takes in the set that was just made.
    pub fn add_new(&mut self, set: ReplicaSet) {
        self.new = Some(set.name().to_owned());
        self.all.push(Arc::new(set));
    }

    /// Takes in the newer state of a set.
    pub fn replace(&mut self, set: ReplicaSet) {
        if let Some(slot) = self.all.iter_mut().find(|s| s.name() == set.name()) {
            *slot = Arc::new(set);
        }
    }

    /// Pods wanted by all sets together.
    #[must_use]
    pub fn total(&self) -> i32 {
        self.all.iter().map(|set| size(set)).sum()
    }

    /// Whether the deployment's size changed since its sets were scaled.
    #[must_use]
    pub fn is_scaling_event(&self, deployment: &Deployment) -> bool {
        let scaled = |set: &&Arc<ReplicaSet>| set.annotation(DESIRED).and_then(|d| d.parse::<i32>().ok());
        self.all.iter().filter(|s| size(s) > 0).filter_map(|s| scaled(&s)).any(|d| d != wanted(deployment))
    }
}
