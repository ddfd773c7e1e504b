//! The arithmetic of budgets. Pure.

use crate::context::{seconds, until};
use crate::pod::is_ready;
use client::Meta;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long an eviction that was granted may take until the pod is being deleted; upstream's.
const DELETED_WITHIN: SignedDuration = SignedDuration::from_secs(2 * 60);

/// How many pods somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scale {
    /// The controller's uid, and how many pods it wants.
    Known(String, i32),
    /// The pod has no controller.
    Nobody,
    /// It has one that does not say.
    Unknown,
}

/// What a budget asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    /// Pods that there should be.
    pub expected: i32,
    /// Pods that must be healthy.
    pub desired: i32,
    /// Whether there are pods that nobody wants in numbers.
    pub unmanaged: bool,
}

/// How many pods a budget expects and wants healthy.
///
/// # Errors
/// When the number of pods cannot be known, or a percentage is none.
pub fn expected(budget: &PodDisruptionBudget, pods: &[Arc<Pod>], scale: impl Fn(&Pod) -> Scale) -> Result<Sum, String> {
    let count = i32::try_from(pods.len()).unwrap_or(i32::MAX);
    let Some(spec) = &budget.spec else { return Ok(Sum { expected: 0, desired: 0, unmanaged: false }) };
    if let (None, Some(IntOrString::Int(least))) = (&spec.max_unavailable, &spec.min_available) {
        return Ok(Sum { expected: count, desired: *least, unmanaged: false });
    }
    let mut wanted: BTreeMap<String, i32> = BTreeMap::new();
    let mut unmanaged = false;
    let relative = spec.max_unavailable.is_some() || spec.min_available.is_some();
    for pod in pods.iter().filter(|_| relative) {
        match scale(pod) {
            Scale::Known(uid, replicas) => {
                wanted.insert(uid, replicas);
            }
            Scale::Nobody => unmanaged = true,
            Scale::Unknown => return Err(format!("found no controllers for pod {:?}", pod.name())),
        }
    }
    let expected = wanted.values().sum();
    let desired = match (&spec.max_unavailable, &spec.min_available) {
        (Some(most), _) => (expected - amount(most, expected)?).max(0),
        (None, Some(least)) => amount(least, expected)?,
        (None, None) => 0,
    };
    Ok(Sum { expected, desired, unmanaged })
}

/// A number, or a percentage of a whole, rounded up.
fn amount(value: &IntOrString, whole: i32) -> Result<i32, String> {
    match value {
        IntOrString::Int(number) => Ok(*number),
        IntOrString::String(text) => {
            let percent = text.strip_suffix('%').and_then(|digits| digits.parse::<i64>().ok());
            let percent = percent.ok_or_else(|| {
                format!("invalid value for IntOrString: invalid type: string is not a percentage: {text}")
            })?;
            i32::try_from((percent * i64::from(whole) + 99).div_euclid(100)).map_err(|e| e.to_string())
        }
    }
}

/// Evictions that were granted and are under way; pods that should be gone by now; how long until the next should.
pub fn disrupted(
    budget: &PodDisruptionBudget,
    pods: &[Arc<Pod>],
    now: Timestamp,
) -> (BTreeMap<String, Time>, Vec<Arc<Pod>>, Option<Duration>) {
    let granted = budget.status.as_ref().and_then(|s| s.disrupted_pods.clone()).unwrap_or_default();
    let (mut still, mut late, mut wait) = (BTreeMap::new(), Vec::new(), None);
    for pod in pods.iter().filter(|pod| !pod.is_deleting()) {
        let Some(at) = granted.get(pod.name()) else { continue };
        let end = at.0 + DELETED_WITHIN;
        if end < now {
            late.push(pod.clone());
            continue;
        }
        still.insert(pod.name().to_owned(), at.clone());
        // Just behind the end, so that the next look finds it passed.
        let left = until(end, now) + Duration::from_secs(1);
        wait = Some(wait.map_or(left, |least: Duration| least.min(left)));
    }
    (still, late, wait)
}

/// The status. `sum` is how many pods are expected, and how many must be healthy.
pub fn status(
    budget: &PodDisruptionBudget,
    pods: &[Arc<Pod>],
    (expected, desired): (i32, i32),
    disrupted: BTreeMap<String, Time>,
    now: Timestamp,
) -> PodDisruptionBudgetStatus {
    let counts = |pod: &&Arc<Pod>| !pod.is_deleting() && !disrupted.contains_key(pod.name()) && is_ready(pod);
    let healthy = i32::try_from(pods.iter().filter(counts).count()).unwrap_or(i32::MAX);
    // Nothing is allowed without pods: the first may be there before we have seen them.
    let allowed = if expected <= 0 { 0 } else { (healthy - desired).max(0) };
    let (truth, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    let old = budget.status.clone().unwrap_or_default();
    PodDisruptionBudgetStatus {
        current_healthy: Some(healthy),
        desired_healthy: Some(desired),
        expected_pods: Some(expected),
        disruptions_allowed: Some(allowed),
        disrupted_pods: Some(disrupted).filter(|pods| !pods.is_empty()),
        observed_generation: budget.metadata.generation,
        conditions: Some(conditions(&old, (truth, reason, ""), budget.metadata.generation, now)),
    }
}

/// The status of a budget about which nothing is known: nobody may be evicted.
pub fn unsafe_to_evict(budget: &PodDisruptionBudget, why: &str, now: Timestamp) -> PodDisruptionBudgetStatus {
    let old = budget.status.clone().unwrap_or_default();
    let conditions = conditions(&old, ("False", "SyncFailed", why), old.observed_generation, now);
    PodDisruptionBudgetStatus { disruptions_allowed: Some(0), conditions: Some(conditions), ..old }
}

fn conditions(
    old: &PodDisruptionBudgetStatus,
    (truth, reason, message): (&str, &str, &str),
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let mut all = old.conditions.clone().unwrap_or_default();
    let before = all.iter().position(|c| c.type_ == "DisruptionAllowed");
    let same = before.map(|at| &all[at]).filter(|c| c.status == truth);
    let fresh = Condition {
        type_: "DisruptionAllowed".to_owned(),
        status: truth.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: generation,
        last_transition_time: same.map_or_else(|| seconds(now), |c| c.last_transition_time.clone()),
    };
    match before {
        Some(at) => all[at] = fresh,
        None => all.push(fresh),
    }
    all
}
