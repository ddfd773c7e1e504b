//! PriorityClasses: which pods go first. Rules of `k8s.io/kubernetes/pkg/registry/scheduling/priorityclass`.

use super::place::Place;
use crate::cells;
use crate::rules::{Faults, PLAIN, Rules};
use api::{Tree, meta};

/// The highest priority that users may define.
const USER_MAX: i64 = 1_000_000_000;
const SYSTEM: &[(&str, i64)] =
    &[("system-node-critical", 2 * USER_MAX + 1000), ("system-cluster-critical", 2 * USER_MAX)];

/// What is special about PriorityClasses.
pub const RULES: Rules = Rules { on_create, default, validate, validate_update, cells: row, ..PLAIN };

/// Classes count from one and never on.
fn on_create(object: &mut Tree) {
    object.set_at(&["metadata", "generation"], 1);
}

fn default(object: &mut Tree) {
    if object.get("preemptionPolicy").is_none_or(Tree::is_null) {
        object.set("preemptionPolicy", "PreemptLowerPriority");
    }
}

fn validate(object: &Tree, faults: &mut Faults) {
    let root = Place::root(object);
    let (name, value) = (meta::name(object), root.at("value").int().unwrap_or_default());
    if name.starts_with("system-") {
        let why = match SYSTEM.iter().find(|(known, _)| *known == name) {
            None => Some(format!("{name} is not a known system priority class")),
            Some((_, known)) if *known != value => Some(format!("value of {name} PriorityClass must be {known}")),
            Some(_) if root.at("globalDefault").yes() => {
                Some(format!("globalDefault of {name} PriorityClass must be false"))
            }
            Some(_) => None,
        };
        if let Some(why) = why {
            let what = "priority class names with 'system-' prefix are reserved for system use only. error: ";
            root.down(&["metadata", "name"]).forbidden(faults, format!("{what}{why}"));
        }
    } else if value > USER_MAX {
        let why = format!("maximum allowed value of a user defined priority is {USER_MAX}");
        root.at("value").forbidden(faults, why);
    }
    if root.at("preemptionPolicy").given() {
        root.at("preemptionPolicy").one_of(faults, &["Never", "PreemptLowerPriority"]);
    }
}

fn validate_update(object: &Tree, old: &Tree, faults: &mut Faults) {
    let root = Place::root(object);
    if root.at("value").int().unwrap_or_default() != old.int_at(&["value"]).unwrap_or_default() {
        root.at("value").forbidden(faults, "may not be changed in an update.");
    }
    root.at("preemptionPolicy").unchanged(faults, old.get("preemptionPolicy").unwrap_or(&Tree::Null));
}

fn row(object: &Tree, now: i64) -> Vec<Tree> {
    vec![
        Tree::text(meta::name(object)),
        Tree::Int(object.int_at(&["value"]).unwrap_or_default()),
        Tree::Bool(object.bool_at(&["globalDefault"]) == Some(true)),
        cells::age(object, now),
        Tree::text(object.str_at(&["preemptionPolicy"]).unwrap_or_default()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn values_stay_and_high_ones_are_for_the_system() {
        let faults = |name: &str, value: i64| {
            let mut faults = Faults::new();
            let object = tree!({"metadata": {"name": name}, "value": value});
            validate(&object, &mut faults);
            validate_update(&object, &tree!({"value": 5}), &mut faults);
            faults.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(faults("a", 5), [""; 0]);
        assert_eq!(faults("a", 6), ["value: Forbidden: may not be changed in an update."]);
        assert_eq!(faults("system-a", 5).len(), 1);
        assert_eq!(faults("system-node-critical", 2_000_001_000).len(), 1);
    }
}
