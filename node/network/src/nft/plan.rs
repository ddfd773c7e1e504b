//! From one state of a table to another: as few operations as the difference needs.
//!
//! It must not do any of them.

use super::{Chain, Data, Hook, Key, Rule, Ruleset, Set};
use std::collections::BTreeSet;

/// One change of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Throws the table away, if there is one, and begins an empty one.
    Renew,
    /// Makes a set or map.
    AddSet(String, Set),
    /// Makes a chain.
    AddChain(String, Option<Hook>),
    /// Empties a chain.
    FlushChain(String),
    /// Removes an empty chain.
    DeleteChain(String),
    /// Adds a rule at a chain's end.
    AddRule(String, Rule),
    /// Takes keys from a set.
    DeleteElements(String, Vec<Key>),
    /// Takes keys from a set, whether they are there or not. Needs Linux 6.3.
    ForgetElements(String, Vec<Key>),
    /// Adds keys to a set.
    AddElements(String, Vec<(Key, Data)>),
}

/// What to do, and what will be there afterwards.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// In this order, in one transaction.
    pub ops: Vec<Op>,
    /// The table afterwards: what was wanted, and empty chains that are no longer used.
    pub after: Ruleset,
}

/// How to come from `old` to `new`; from nothing known when there is no `old`.
///
/// Chains that are no longer used are only emptied: the kernel does not let a chain go in the same breath as the last
/// element that led to it. [`sweep`] removes them later.
#[must_use]
pub fn plan(old: Option<&Ruleset>, new: &Ruleset) -> Plan {
    let mut ops = Vec::new();
    let nothing = Ruleset::new(new.family, new.table);
    // Sets and base chains cannot change their shape in place.
    let old = old.filter(|old| has_same_shape(old, new));
    if old.is_none() {
        ops.push(Op::Renew);
    }
    let old = old.unwrap_or(&nothing);
    for (name, set) in new.sets.iter().filter(|(name, _)| !old.sets.contains_key(*name)) {
        ops.push(Op::AddSet(name.clone(), set.clone()));
    }
    for (name, chain) in new.chains.iter().filter(|(name, _)| !old.chains.contains_key(*name)) {
        ops.push(Op::AddChain(name.clone(), chain.hook));
    }
    for (name, chain) in &new.chains {
        let there = old.chains.get(name).map_or(&[][..], |chain| &chain.rules);
        if there == chain.rules {
            continue;
        }
        if !there.is_empty() {
            ops.push(Op::FlushChain(name.clone()));
        }
        ops.extend(chain.rules.iter().map(|rule| Op::AddRule(name.clone(), rule.clone())));
    }
    elements(old, new, &mut ops);
    let mut after = new.clone();
    for (name, chain) in old.chains.iter().filter(|(name, _)| !new.chains.contains_key(*name)) {
        if !chain.rules.is_empty() {
            ops.push(Op::FlushChain(name.clone()));
        }
        after.chains.insert(name.clone(), Chain::default());
    }
    Plan { ops, after }
}

fn has_same_shape(old: &Ruleset, new: &Ruleset) -> bool {
    let hooks = |ruleset: &Ruleset| -> Vec<(String, Option<Hook>)> {
        let based = ruleset.chains.iter().filter(|(_, chain)| chain.hook.is_some());
        based.map(|(name, chain)| (name.clone(), chain.hook)).collect()
    };
    old.family == new.family && old.table == new.table && old.sets == new.sets && hooks(old) == hooks(new)
}

/// Elements that went before those that come: a key that leads elsewhere is both.
fn elements(old: &Ruleset, new: &Ruleset, ops: &mut Vec<Op>) {
    let mut added = Vec::new();
    for (set, wanted) in &new.elements {
        let there = old.elements.get(set);
        let stale = there.into_iter().flatten().filter(|(key, data)| wanted.get(*key) != Some(*data));
        let stale: Vec<Key> = stale.map(|(key, _)| key.clone()).collect();
        let fresh = wanted.iter().filter(|(key, data)| there.and_then(|t| t.get(*key)) != Some(*data));
        let fresh: Vec<(Key, Data)> = fresh.map(|(key, data)| (key.clone(), data.clone())).collect();
        if !stale.is_empty() {
            ops.push(Op::DeleteElements(set.clone(), stale));
        }
        if !fresh.is_empty() {
            added.push(Op::AddElements(set.clone(), fresh));
        }
    }
    ops.append(&mut added);
}

/// Removes the chains of `there` that `wanted` does not use.
#[must_use]
pub fn sweep(there: &Ruleset, wanted: &Ruleset) -> Vec<Op> {
    let used: BTreeSet<&String> = wanted.chains.keys().collect();
    let unused = there.chains.keys().filter(|name| !used.contains(name));
    unused.map(|name| Op::DeleteChain(name.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Family, Part, Type, Value};
    use super::*;

    fn base() -> Ruleset {
        let mut rules = Ruleset::new(Family::V4, "test");
        rules.set("ports", &[Type::Port], Some(&[]));
        rules.base("in", Hook::FilterInput, vec![vec![Part::Drop]]);
        rules
    }

    fn with(port: u16, chain: &str) -> Ruleset {
        let mut rules = base();
        rules.chain(chain, vec![vec![Part::Reject]]);
        rules.element("ports", Key(vec![Value::Port(port)]), Data::Goto(chain.to_owned()));
        rules
    }

    #[test]
    fn the_first_plan_makes_the_table_anew() {
        let plan = plan(None, &with(80, "a"));
        assert_eq!(plan.ops.first(), Some(&Op::Renew));
        assert_eq!(plan.ops.len(), 1 + 1 + 2 + 2 + 1);
        assert_eq!(plan.after, with(80, "a"));
    }

    #[test]
    fn nothing_is_done_when_nothing_changed() {
        assert_eq!(plan(Some(&with(80, "a")), &with(80, "a")).ops, []);
    }

    #[test]
    fn a_key_that_leads_elsewhere_is_taken_out_first_and_its_old_chain_only_emptied() {
        let plan = plan(Some(&with(80, "a")), &with(80, "b"));
        let key = Key(vec![Value::Port(80)]);
        assert_eq!(
            plan.ops,
            [
                Op::AddChain("b".to_owned(), None),
                Op::AddRule("b".to_owned(), vec![Part::Reject]),
                Op::DeleteElements("ports".to_owned(), vec![key.clone()]),
                Op::AddElements("ports".to_owned(), vec![(key, Data::Goto("b".to_owned()))]),
                Op::FlushChain("a".to_owned()),
            ]
        );
        assert_eq!(sweep(&plan.after, &with(80, "b")), [Op::DeleteChain("a".to_owned())]);
    }

    #[test]
    fn a_chain_that_comes_back_before_it_was_swept_is_filled_again() {
        let emptied = plan(Some(&with(80, "a")), &base()).after;
        let again = plan(Some(&emptied), &with(80, "a"));
        assert_eq!(again.ops[0], Op::AddRule("a".to_owned(), vec![Part::Reject]));
        assert_eq!(again.after, with(80, "a"));
    }

    #[test]
    fn a_set_of_another_shape_renews_the_table() {
        let mut other = with(80, "a");
        other.set("more", &[Type::Address], None);
        assert_eq!(plan(Some(&with(80, "a")), &other).ops[0], Op::Renew);
    }
}
