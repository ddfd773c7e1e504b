//! Scopes: which pods and claims a quota is about.

use super::claims;
use crate::qos::{QosClass, compute};
use api::Tree;
use api::selector::{Operator, Requirement};

/// One scope of a quota; with the operator `Exists` where it only names the scope.
pub(super) struct Scope(Requirement);

/// The scopes of a quota: those that it names and those that it selects by. One with an operator that does not exist,
/// which validation refuses, selects nothing.
pub(super) fn of_quota(quota: &Tree) -> impl Iterator<Item = Scope> {
    let named = quota
        .list_at(&["spec", "scopes"])
        .iter()
        .filter_map(Tree::as_str)
        .map(|name| Scope(Requirement { key: name.to_owned(), operator: Operator::Exists, values: Vec::new() }));
    let selected = quota.list_at(&["spec", "scopeSelector", "matchExpressions"]).iter().map(|expression| {
        let key = expression.str_at(&["scopeName"]).unwrap_or_default().to_owned();
        let values = expression.list_at(&["values"]).iter().filter_map(Tree::as_str).map(str::to_owned).collect();
        let operator = match expression.str_at(&["operator"]) {
            Some("NotIn") => Operator::NotIn,
            Some("Exists") => Operator::Exists,
            Some("DoesNotExist") => Operator::DoesNotExist,
            _ => Operator::In,
        };
        Scope(Requirement { key, operator, values })
    });
    named.chain(selected)
}

/// Whether a pod ends by itself, at a deadline.
pub(super) fn is_terminating(pod: &Tree) -> bool {
    pod.int_at(&["spec", "activeDeadlineSeconds"]).is_some_and(|seconds| seconds >= 0)
}

/// What does not parse asks for something.
fn is_best_effort(pod: &Tree) -> bool {
    compute(pod) == Ok(QosClass::BestEffort)
}

/// Whether a pod's affinity looks into other namespaces.
fn looks_abroad(pod: &Tree) -> bool {
    ["podAffinity", "podAntiAffinity"].iter().any(|side| {
        let at = |list: &str| pod.list_at(&["spec", "affinity", side, list]).iter();
        let required = at("requiredDuringSchedulingIgnoredDuringExecution");
        let preferred = at("preferredDuringSchedulingIgnoredDuringExecution").filter_map(|t| t.get("podAffinityTerm"));
        let abroad = |t: &Tree| !t.list_at(&["namespaces"]).is_empty() || t.get("namespaceSelector").is_some();
        required.chain(preferred).any(abroad)
    })
}

impl Scope {
    fn wants(&self, value: Option<&str>) -> bool {
        self.0.matches(|_| value)
    }

    pub(super) fn wants_pod(&self, pod: &Tree) -> bool {
        match self.0.key.as_str() {
            "Terminating" => is_terminating(pod),
            "NotTerminating" => !is_terminating(pod),
            "BestEffort" => is_best_effort(pod),
            "NotBestEffort" => !is_best_effort(pod),
            "PriorityClass" => self.wants(pod.str_at(&["spec", "priorityClassName"]).filter(|name| !name.is_empty())),
            "CrossNamespacePodAffinity" => looks_abroad(pod),
            _ => false,
        }
    }

    pub(super) fn wants_claim(&self, claim: &Tree) -> bool {
        if self.0.key != "VolumeAttributesClass" {
            return false;
        }
        let classes = claims::attribute_classes(claim);
        if classes.is_empty() { self.wants(None) } else { classes.into_iter().any(|class| self.wants(Some(class))) }
    }
}
