//! Why a pod fits nowhere, in upstream's words, which people and tests look for.
//!
//! It must not know the filters.

use std::collections::BTreeMap;
use std::fmt;

/// Why one node does not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// In the words of the filter, maybe several.
    pub reasons: Vec<String>,
    /// Whether removing other pods would not help.
    pub hopeless: bool,
}

impl Refusal {
    /// A refusal that removing other pods may lift.
    #[must_use]
    pub fn resolvable(reason: &str) -> Refusal {
        Refusal { reasons: vec![reason.to_owned()], hopeless: false }
    }

    /// A refusal for good, as long as node and pod stay as they are.
    #[must_use]
    pub fn hopeless(reason: impl Into<String>) -> Refusal {
        Refusal { reasons: vec![reason.into()], hopeless: true }
    }
}

/// Why a pod fits nowhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// How many nodes there are.
    pub nodes: usize,
    /// What stopped the search before any node was looked at.
    pub before: Option<String>,
    /// How many nodes gave each reason.
    pub reasons: BTreeMap<String, usize>,
    /// Nodes where removing other pods would not help.
    pub hopeless: usize,
    /// Nodes where less important pods could make room.
    pub with_victims: usize,
}

impl Failure {
    /// Counts the refusal of one node.
    pub fn count(&mut self, refusal: Refusal, has_victims: bool) {
        for reason in refusal.reasons {
            *self.reasons.entry(reason).or_default() += 1;
        }
        self.hopeless += usize::from(refusal.hopeless);
        self.with_victims += usize::from(!refusal.hopeless && has_victims);
    }

    /// What making room by removing pods would come to. Nothing is said where it might help.
    fn preemption(&self) -> Option<String> {
        if self.nodes == 0 || self.with_victims > 0 {
            return None;
        }
        let mut parts = Vec::new();
        let without = if self.before.is_some() { 0 } else { self.nodes - self.hopeless };
        if without > 0 {
            parts.push(format!("{without} No preemption victims found for incoming pod"));
        }
        if self.nodes > without {
            parts.push(format!("{} Preemption is not helpful for scheduling", self.nodes - without));
        }
        parts.sort();
        Some(format!("preemption: 0/{} nodes are available: {}.", self.nodes, parts.join(", ")))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nodes == 0 {
            return f.write_str("no nodes available to schedule pods");
        }
        write!(f, "0/{} nodes are available:", self.nodes)?;
        match &self.before {
            Some(before) => write!(f, " {before}.")?,
            None => {
                let mut parts: Vec<String> = self.reasons.iter().map(|(why, n)| format!("{n} {why}")).collect();
                parts.sort();
                write!(f, " {}.", parts.join(", "))?;
            }
        }
        self.preemption().map_or(Ok(()), |text| write!(f, " {text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_upstreams() {
        let mut failure = Failure { nodes: 2, ..Failure::default() };
        failure.count(Refusal::resolvable("Insufficient cpu"), false);
        failure.count(Refusal::hopeless("node(s) were unschedulable"), false);
        assert_eq!(
            failure.to_string(),
            "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable. preemption: 0/2 nodes are \
             available: 1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling."
        );
        assert_eq!(Failure::default().to_string(), "no nodes available to schedule pods");
    }
}
