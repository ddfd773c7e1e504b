//! Leases: who holds something, and until when. Rules of `k8s.io/kubernetes/pkg/apis/coordination/validation`.

use super::place::{NEGATIVE, Place};
use crate::rules::{Faults, PLAIN, Rules};
use api::Tree;

/// What is special about leases.
pub const RULES: Rules = Rules { create_on_update: true, unconditional_update: false, validate, cells: row, ..PLAIN };

fn validate(object: &Tree, faults: &mut Faults) {
    let spec = Place::root(object).at("spec");
    let (length, moves) = (spec.at("leaseDurationSeconds"), spec.at("leaseTransitions"));
    if length.int().is_some_and(|seconds| seconds <= 0) {
        length.invalid(faults, "must be greater than 0");
    }
    if moves.int().is_some_and(|count| count < 0) {
        moves.invalid(faults, NEGATIVE);
    }
    let unset = |field: &str| spec.at(field).text().is_empty();
    if !unset("preferredHolder") && unset("strategy") {
        spec.at("preferredHolder").forbidden(faults, "may only be specified if `strategy` is defined");
    }
}

fn row(object: &Tree, now: i64) -> Vec<Tree> {
    let holder = object.str_at(&["spec", "holderIdentity"]).unwrap_or_default();
    vec![Tree::text(api::meta::name(object)), Tree::text(holder), crate::cells::age(object, now)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_lease_lasts_and_its_counts_are_no_debts() {
        let faults = |spec: Tree| {
            let mut faults = Faults::new();
            validate(&tree!({"spec": spec}), &mut faults);
            faults.into_iter().map(|fault| fault.path.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(faults(tree!({"leaseDurationSeconds": 15, "leaseTransitions": 0})), [""; 0]);
        assert_eq!(faults(tree!({"leaseDurationSeconds": 0})), ["spec.leaseDurationSeconds"]);
        assert_eq!(faults(tree!({"leaseTransitions": (-1)})), ["spec.leaseTransitions"]);
        assert_eq!(faults(tree!({"preferredHolder": "me"})), ["spec.preferredHolder"]);
    }
}
