//! ServiceCIDRs: where addresses of Services come from. Rules of
//! `k8s.io/kubernetes/pkg/registry/networking/servicecidr`.

use super::address;
use super::place::{IMMUTABLE, Place};
use crate::cells;
use crate::rules::{Faults, PLAIN, Rules};
use api::{Tree, meta};

/// What is special about ServiceCIDRs.
pub const RULES: Rules = Rules { validate, validate_update, cells: row, ..PLAIN };

fn validate(object: &Tree, faults: &mut Faults) {
    let ranges = Place::root(object).down(&["spec", "cidrs"]);
    if !ranges.must(faults, "at least one CIDR required") {
        return;
    }
    if ranges.len() > 2 {
        return ranges.invalid(faults, "may only hold up to 2 values");
    }
    let parsed: Vec<_> = ranges.items().filter_map(|range| address::canonical_cidr(&range, faults)).collect();
    if let [first, second] = parsed[..]
        && first.ip.is_ipv4() == second.ip.is_ipv4()
    {
        let why = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        ranges.invalid(faults, why);
    }
}

/// A second range may come later; nothing else changes.
fn validate_update(object: &Tree, old: &Tree, faults: &mut Faults) {
    let ranges = Place::root(object).down(&["spec", "cidrs"]);
    let before = old.list_at(&["spec", "cidrs"]);
    if ranges.len() != before.len() && (before.len(), ranges.len()) != (1, 2) {
        return ranges.invalid(faults, IMMUTABLE);
    }
    for (range, _) in ranges.items().zip(before).filter(|(range, before)| range.value != *before) {
        range.invalid(faults, IMMUTABLE);
    }
}

fn row(object: &Tree, now: i64) -> Vec<Tree> {
    let ranges: Vec<&str> = object.list_at(&["spec", "cidrs"]).iter().filter_map(Tree::as_str).collect();
    vec![Tree::text(meta::name(object)), Tree::text(ranges.join(",")), cells::age(object, now)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_range_of_the_other_family_may_come_later() {
        let old = tree!({"spec": {"cidrs": ["10.0.0.0/16"]}});
        let faults = |object: Tree| {
            let mut faults = Faults::new();
            validate(&object, &mut faults);
            validate_update(&object, &old, &mut faults);
            faults.len()
        };
        assert_eq!(faults(tree!({"spec": {"cidrs": ["10.0.0.0/16", "fd00::/112"]}})), 0);
        assert_eq!(faults(tree!({"spec": {"cidrs": ["10.0.0.0/16", "10.1.0.0/16"]}})), 1);
        assert_eq!(faults(tree!({"spec": {"cidrs": ["10.1.0.0/16"]}})), 1);
    }
}
