//! What an object costs of a quota, which quotas it falls under, and whether there is enough left: the arithmetic of
//! `ResourceQuota`, for the server's admission and for the controller that counts. Rules of
//! `k8s.io/kubernetes/pkg/quota/v1` and `k8s.io/apiserver/pkg/admission/plugin/resourcequota`.
//!
//! Quotas and objects are trees; there is no store here and no clock: now is a parameter.

mod charge;
mod claims;
mod pod;
mod scope;
mod services;

pub use charge::{Change, Charge, Refusal, charge};

use crate::list::{self, Malformed, ResourceList};
use api::time::Instant;
use api::{Quantity, Tree, quantity::Format};
use std::collections::BTreeSet;

/// Resources that no quota counts: what is not stored, and events.
const IGNORED: &[(&str, &str)] = &[
    ("", "bindings"),
    ("", "componentstatuses"),
    ("", "events"),
    ("authentication.k8s.io", "selfsubjectreviews"),
    ("authentication.k8s.io", "tokenreviews"),
    ("authorization.k8s.io", "localsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
    ("authorization.k8s.io", "subjectaccessreviews"),
    ("events.k8s.io", "events"),
];

/// Resources that are counted under their bare name too.
const ALIASED: &[&str] = &["configmaps", "replicationcontrollers", "resourcequotas", "secrets"];

/// How objects of one resource are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evaluator {
    /// Pods: number, requests, limits.
    Pods,
    /// Services: number, node ports, load balancers.
    Services,
    /// Claims of volumes: number and storage, in all and by storage class.
    Claims,
    /// Anything else: only its number, under these names.
    Count(Vec<String>),
}

/// The name under which the number of objects of a resource is counted.
#[must_use]
pub fn count_name(group: &str, plural: &str) -> String {
    if group.is_empty() { format!("count/{plural}") } else { format!("count/{plural}.{group}") }
}

fn one() -> Quantity {
    number(1)
}

fn number(count: usize) -> Quantity {
    Quantity::from_int(i64::try_from(count).unwrap_or(i64::MAX), Format::DecimalSi)
}

impl Evaluator {
    /// How objects of a resource are counted; `None` when no quota counts them.
    #[must_use]
    pub fn of(group: &str, plural: &str) -> Option<Evaluator> {
        if IGNORED.contains(&(group, plural)) {
            return None;
        }
        Some(match (group, plural) {
            ("", "pods") => Evaluator::Pods,
            ("", "services") => Evaluator::Services,
            ("", "persistentvolumeclaims") => Evaluator::Claims,
            _ => {
                let alias = (group.is_empty() && ALIASED.contains(&plural)).then(|| plural.to_owned());
                Evaluator::Count(std::iter::once(count_name(group, plural)).chain(alias).collect())
            }
        })
    }

    /// Whether a write can change what a quota counts. `old` is absent on a creation.
    #[must_use]
    pub fn handles(&self, subresource: &str, object: &Tree, old: Option<&Tree>) -> bool {
        match (self, subresource, old) {
            (Evaluator::Pods, "", Some(old)) => scope::is_terminating(old) != scope::is_terminating(object),
            (Evaluator::Pods, "resize", Some(_)) => true,
            (Evaluator::Services | Evaluator::Claims, "", Some(_)) => true,
            (Evaluator::Claims, "status", Some(old)) => claims::status_counts(object, old),
            (_, "", None) => true,
            _ => false,
        }
    }

    /// Whether it counts a resource by this name.
    #[must_use]
    pub fn tracks(&self, resource: &str) -> bool {
        match self {
            Evaluator::Pods => pod::tracks(resource),
            Evaluator::Services => services::tracks(resource),
            Evaluator::Claims => claims::tracks(resource),
            Evaluator::Count(names) => names.iter().any(|name| name == resource),
        }
    }

    /// Whether an object is within the scopes of a quota. Scopes are of pods, and one of claims; nothing else is
    /// within any.
    #[must_use]
    pub fn in_scope(&self, quota: &Tree, object: &Tree) -> bool {
        scope::of_quota(quota).all(|scope| match self {
            Evaluator::Pods => scope.wants_pod(object),
            Evaluator::Claims => scope.wants_claim(object),
            Evaluator::Services | Evaluator::Count(_) => false,
        })
    }

    /// What an object costs.
    ///
    /// # Errors
    /// When an amount is no quantity.
    pub fn usage(&self, object: &Tree, now: Instant) -> Result<ResourceList, Malformed> {
        match self {
            Evaluator::Pods => pod::usage(object, now),
            Evaluator::Services => Ok(services::usage(object)),
            Evaluator::Claims => claims::usage(object),
            Evaluator::Count(names) => Ok(names.iter().map(|name| (name.clone(), one())).collect()),
        }
    }

    /// What an object must say to fall under a quota of these resources; the words of the fault if it does not.
    fn lacks(&self, required: &BTreeSet<&str>, object: &Tree) -> Option<String> {
        if *self == Evaluator::Pods { pod::lacks(required, object) } else { None }
    }

    /// What objects of the resource cost of one quota together: of the names in `spec.hard` that it counts, each, be
    /// it zero. For the controller that counts.
    ///
    /// # Errors
    /// When an amount is no quantity.
    pub fn total<'a>(
        &self,
        quota: &Tree,
        objects: impl IntoIterator<Item = &'a Tree>,
        now: Instant,
    ) -> Result<ResourceList, Malformed> {
        let hard = list::read(quota, &["spec", "hard"])?;
        let mut sum: ResourceList =
            hard.into_keys().filter(|name| self.tracks(name)).map(|name| (name, number(0))).collect();
        if sum.is_empty() {
            return Ok(sum);
        }
        for object in objects {
            if self.in_scope(quota, object) {
                let mut usage = self.usage(object, now)?;
                usage.retain(|name, _| sum.contains_key(name));
                list::add(&mut sum, &usage);
            }
        }
        Ok(sum)
    }
}

#[cfg(test)]
mod tests;
