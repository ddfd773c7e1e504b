//! How big each ReplicaSet shall be: pure arithmetic, as upstream's `rolling.go` and the scaling part of `sync.go`.
//!
//! It must not write anything.

use super::sets::{MAX, Sets, available, may_be_missing, size, surge, wanted};
use client::Meta;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use std::sync::Arc;

/// New sizes by name; sets that keep theirs are left out.
pub type Sizes = Vec<(String, i32)>;

/// The first size of a set that is about to be made, or the next of the new set.
#[must_use]
pub fn next_of_new(deployment: &Deployment, total: i32, now: i32) -> i32 {
    let wanted = wanted(deployment);
    let recreate = deployment.spec.as_ref().and_then(|s| s.strategy.as_ref()?.type_.as_deref()) == Some("Recreate");
    if recreate {
        return wanted;
    }
    let room = wanted + surge(deployment) - total;
    if room <= 0 { now } else { now + room.min(wanted - now) }
}

/// Grows the new set as far as the surge allows, or shrinks it when it is bigger than wanted.
#[must_use]
pub fn grow_new(deployment: &Deployment, sets: &Sets) -> Sizes {
    let Some(new) = sets.new_set() else { return Vec::new() };
    let (now, wanted) = (size(new), wanted(deployment));
    let next = if now >= wanted { wanted } else { next_of_new(deployment, sets.total(), now) };
    if next == now { Vec::new() } else { vec![(new.name().to_owned(), next)] }
}

/// Shrinks the old sets: pods that do not work at once, then working ones as long as enough stay available.
#[must_use]
pub fn shrink_old(deployment: &Deployment, sets: &Sets) -> Sizes {
    let min_available = wanted(deployment) - may_be_missing(deployment);
    let new_missing = sets.new_set().map_or(0, |new| size(new) - available(new));
    let mut may_go = sets.total() - min_available - new_missing;
    if may_go <= 0 {
        return Vec::new();
    }
    let mut sizes: Vec<(Arc<ReplicaSet>, i32)> =
        sets.old().filter(|s| size(s) > 0).map(|s| (s.clone(), size(s))).collect();
    for (set, to) in &mut sizes {
        let down = (size(set) - available(set)).clamp(0, may_go);
        *to -= down;
        may_go -= down;
    }
    let mut spare = sets.all().map(|s| available(s)).sum::<i32>() - min_available;
    for (_, to) in &mut sizes {
        let down = (*to).min(spare.max(0));
        *to -= down;
        spare -= down;
    }
    sizes.into_iter().filter(|(set, to)| size(set) != *to).map(|(set, to)| (set.name().to_owned(), to)).collect()
}

/// Spreads a change of the deployment's size over its sets in proportion to their share.
#[must_use]
pub fn proportional(deployment: &Deployment, sets: &Sets) -> Sizes {
    let active: Vec<&Arc<ReplicaSet>> = sets.all().filter(|s| size(s) > 0).collect();
    let single = match active.as_slice() {
        [] => sets.new_set().or(sets.old().last()),
        [one] => Some(*one),
        _ => None,
    };
    if let Some(set) = single {
        return vec![(set.name().to_owned(), wanted(deployment))];
    }
    if let Some(new) = sets.new_set()
        && is_saturated(deployment, new)
    {
        return sets.old().filter(|s| size(s) > 0).map(|s| (s.name().to_owned(), 0)).collect();
    }
    let allowed = if wanted(deployment) > 0 { wanted(deployment) + surge(deployment) } else { 0 };
    let change = allowed - active.iter().map(|s| size(s)).sum::<i32>();
    spread(deployment, active, change)
}

fn is_saturated(deployment: &Deployment, set: &ReplicaSet) -> bool {
    let desired = set.annotation(super::sets::DESIRED).and_then(|d| d.parse::<i32>().ok());
    size(set) == wanted(deployment) && desired == Some(wanted(deployment)) && available(set) == wanted(deployment)
}

/// Every active set is in the answer, because its annotations are written even when its size stays.
fn spread(deployment: &Deployment, mut active: Vec<&Arc<ReplicaSet>>, change: i32) -> Sizes {
    // Growth favours newer sets of equal size, shrinking the older ones.
    active.sort_by_key(|s| (-size(s), s.metadata.creation_timestamp.clone()));
    if change > 0 {
        active.sort_by(|a, b| {
            let time = |s: &ReplicaSet| s.metadata.creation_timestamp.clone();
            size(b).cmp(&size(a)).then(time(b).cmp(&time(a)))
        });
    }
    let mut given = 0;
    let mut sizes: Sizes = Vec::new();
    for set in active {
        let part = if change == 0 { 0 } else { portion(deployment, set, change, given) };
        given += part;
        sizes.push((set.name().to_owned(), size(set) + part));
    }
    if let Some(first) = sizes.first_mut() {
        first.1 = (first.1 + change - given).max(0);
    }
    sizes
}

fn portion(deployment: &Deployment, set: &ReplicaSet, change: i32, given: i32) -> i32 {
    let left = change - given;
    if size(set) == 0 || left == 0 {
        return 0;
    }
    let fraction = if wanted(deployment) == 0 {
        -size(set)
    } else {
        let total_now = f64::from(wanted(deployment) + surge(deployment));
        let noted = set.annotation(MAX).and_then(|m| m.parse::<i32>().ok()).filter(|m| *m > 0);
        let before = noted.or(deployment.status.as_ref().and_then(|s| s.replicas)).unwrap_or(0);
        if before == 0 {
            return 0;
        }
        #[allow(clippy::cast_possible_truncation, reason = "sizes are far below what an i32 holds")]
        let new = (f64::from(size(set)) * total_now / f64::from(before)).round() as i32;
        new - size(set)
    };
    if change > 0 { fraction.min(left) } else { fraction.max(left) }
}
