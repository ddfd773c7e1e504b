//! Whether a pod's requests fit what a node has left, in the whole numbers that the scheduler counts in.

use crate::list::{Malformed, ResourceList, read};
use crate::requests::{Options, pod_requests};
use api::{Quantity, Tree};
use std::collections::BTreeMap;

/// CPU that the scheduler's scores take a container without a request to use.
pub const DEFAULT_MILLI_CPU: i64 = 100;
/// Memory, bytes, that the scheduler's scores take a container without a request to use.
pub const DEFAULT_MEMORY: i64 = 200 * 1024 * 1024;

/// Amounts by resource name: `cpu` in thousandths, everything else in its unit, rounded up. `pods` is never among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts(pub BTreeMap<String, i64>);

/// A resource of which a node has too little.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Insufficient {
    /// The resource.
    pub resource: String,
    /// What the pod asks for.
    pub requested: i64,
    /// What other pods hold.
    pub used: i64,
    /// What the node has.
    pub capacity: i64,
}

impl Insufficient {
    /// The words of the scheduler and of the kubelet's admission.
    #[must_use]
    pub fn reason(&self) -> String {
        match self.resource.as_str() {
            "pods" => "Too many pods".to_owned(),
            other => format!("Insufficient {other}"),
        }
    }

    /// Whether not even an empty node would do, so that removing other pods is no help.
    #[must_use]
    pub fn is_hopeless(&self) -> bool {
        self.resource != "pods" && self.requested > self.capacity
    }
}

impl Amounts {
    /// The amounts of a list; one number per resource.
    #[must_use]
    pub fn from_list(list: &ResourceList) -> Self {
        let whole = |(name, amount): (&String, &Quantity)| {
            let number = if name == "cpu" { amount.milli() } else { amount.value() };
            (name.clone(), number)
        };
        Self(list.iter().filter(|(name, _)| *name != "pods").map(whole).collect())
    }

    /// What a pod asks for; with `placed` it counts as a pod on a node, whose resize may be under way.
    ///
    /// # Errors
    /// When an amount is no quantity.
    pub fn of_pod(pod: &Tree, placed: bool) -> Result<Self, Malformed> {
        Ok(Self::from_list(&pod_requests(pod, &Options { use_status: placed, ..Options::default() })?))
    }

    /// What a node has for pods, and how many pods it takes.
    ///
    /// # Errors
    /// When an amount is no quantity.
    pub fn of_node(node: &Tree) -> Result<(Self, usize), Malformed> {
        let list = read(node, &["status", "allocatable"])?;
        let pods = list.get("pods").map_or(0, Quantity::value);
        Ok((Self::from_list(&list), usize::try_from(pods).unwrap_or(0)))
    }

    /// The amount of `resource`, 0 without one.
    #[must_use]
    pub fn get(&self, resource: &str) -> i64 {
        self.0.get(resource).copied().unwrap_or(0)
    }

    /// Adds `other`.
    pub fn add(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let there = self.0.entry(name.clone()).or_default();
            *there = there.saturating_add(*amount);
        }
    }

    /// Takes `other` away again.
    pub fn subtract(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let there = self.0.entry(name.clone()).or_default();
            *there = there.saturating_sub(*amount);
        }
    }
}

/// Everything of which there is too little when a pod that asks for `wanted` joins `pods` others that hold `used` on a
/// node that has `allocatable` for at most `pods_max`. Empty when it fits. A request of nothing always fits.
#[must_use]
pub fn shortages(
    wanted: &Amounts,
    used: &Amounts,
    pods: usize,
    allocatable: &Amounts,
    pods_max: usize,
) -> Vec<Insufficient> {
    let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let mut found = Vec::new();
    if pods + 1 > pods_max {
        let (resource, used, capacity) = ("pods".to_owned(), count(pods), count(pods_max));
        found.push(Insufficient { resource, requested: 1, used, capacity });
    }
    for (name, requested) in wanted.0.iter().filter(|(_, amount)| **amount > 0) {
        let (used, capacity) = (used.get(name), allocatable.get(name));
        if *requested > capacity.saturating_sub(used) {
            found.push(Insufficient { resource: name.clone(), requested: *requested, used, capacity });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;
    use serde_json::json;

    fn amounts(pairs: &[(&str, i64)]) -> Amounts {
        Amounts(pairs.iter().map(|(name, amount)| ((*name).to_owned(), *amount)).collect())
    }

    fn reasons(wanted: &[(&str, i64)], used: &[(&str, i64)], pods: usize) -> Vec<String> {
        let has = amounts(&[("cpu", 10_000), ("memory", 1000), ("example.com/gpu", 2)]);
        shortages(&amounts(wanted), &amounts(used), pods, &has, 4).iter().map(Insufficient::reason).collect()
    }

    #[test]
    fn what_is_left_decides() {
        assert!(reasons(&[("cpu", 4000)], &[("cpu", 6000)], 0).is_empty());
        assert_eq!(reasons(&[("cpu", 4001)], &[("cpu", 6000)], 0), ["Insufficient cpu"]);
        assert_eq!(
            reasons(&[("cpu", 4001), ("memory", 1001)], &[("cpu", 6000)], 0),
            ["Insufficient cpu", "Insufficient memory"]
        );
        assert_eq!(reasons(&[("example.com/gpu", 2)], &[("example.com/gpu", 1)], 0), ["Insufficient example.com/gpu"]);
        assert_eq!(reasons(&[("example.com/other", 1)], &[], 0), ["Insufficient example.com/other"]);
        assert!(reasons(&[("example.com/other", 0)], &[], 0).is_empty());
    }

    #[test]
    fn the_number_of_pods_counts_even_for_a_pod_that_asks_for_nothing() {
        assert!(reasons(&[], &[("cpu", 99_000)], 3).is_empty());
        assert_eq!(reasons(&[], &[], 4), ["Too many pods"]);
    }

    #[test]
    fn only_more_than_the_whole_node_is_hopeless() {
        let has = amounts(&[("cpu", 1000)]);
        let short = |cpu| shortages(&amounts(&[("cpu", cpu)]), &amounts(&[("cpu", 500)]), 0, &has, 10).remove(0);
        assert!(!short(600).is_hopeless());
        assert!(short(1001).is_hopeless());
    }

    #[test]
    fn amounts_are_rounded_up() {
        let pod =
            tree(json!({"spec": {"containers": [{"resources": {"requests": {"cpu": "1u", "memory": "1500m"}}}]}}));
        assert_eq!(Amounts::of_pod(&pod, false).unwrap(), amounts(&[("cpu", 1), ("memory", 2)]));
        let node = tree(json!({"status": {"allocatable": {"cpu": "4", "memory": "1Ki", "pods": "110"}}}));
        assert_eq!(Amounts::of_node(&node).unwrap(), (amounts(&[("cpu", 4000), ("memory", 1024)]), 110));
    }

    #[test]
    fn taking_away_undoes_adding() {
        let mut sum = amounts(&[("cpu", 5)]);
        sum.add(&amounts(&[("cpu", 2), ("memory", 3)]));
        sum.subtract(&amounts(&[("cpu", 2), ("memory", 3)]));
        assert_eq!((sum.get("cpu"), sum.get("memory"), sum.get("none")), (5, 0, 0));
    }
}
