//! CSIDrivers: what a storage driver can and wants. Rules of `k8s.io/kubernetes/pkg/registry/storage/csidriver`.

use super::place::Place;
use crate::cells;
use crate::rules::{Faults, PLAIN, Rules};
use api::{FieldError, Tree, meta};

/// Shortest and longest life of a token, seconds.
const TOKEN_SECONDS: std::ops::RangeInclusive<i64> = 600..=1 << 32;
/// How often a driver may be asked for its limits, seconds.
const UPDATE_SECONDS_MIN: i64 = 10;

/// What is special about CSIDrivers.
pub const RULES: Rules = Rules {
    generation: true,
    unconditional_update: false,
    returns_deleted: true,
    default,
    validate,
    validate_update,
    cells: row,
    ..PLAIN
};

fn default(object: &mut Tree) {
    let defaults = [
        ("attachRequired", Tree::Bool(true)),
        ("podInfoOnMount", Tree::Bool(false)),
        ("storageCapacity", Tree::Bool(false)),
        ("fsGroupPolicy", Tree::text("ReadWriteOnceWithFSType")),
        ("requiresRepublish", Tree::Bool(false)),
        ("seLinuxMount", Tree::Bool(false)),
    ];
    for (field, value) in defaults {
        if object.at(&["spec", field]).is_none_or(Tree::is_null) {
            object.set_at(&["spec", field], value);
        }
    }
    if object.list_at(&["spec", "volumeLifecycleModes"]).is_empty() {
        object.set_at(&["spec", "volumeLifecycleModes"], vec!["Persistent"]);
    }
}

fn validate(object: &Tree, faults: &mut Faults) {
    let spec = Place::root(object).at("spec");
    if spec.at("fsGroupPolicy").given() {
        spec.at("fsGroupPolicy").one_of(faults, &["File", "None", "ReadWriteOnceWithFSType"]);
    }
    let tokens = spec.at("tokenRequests");
    let mut seen = Vec::new();
    for token in tokens.items() {
        let (audience, seconds) = (token.at("audience"), token.at("expirationSeconds"));
        if seen.contains(&audience.text()) {
            audience.duplicate(faults);
            continue;
        }
        seen.push(audience.text());
        match seconds.int() {
            Some(s) if s < *TOKEN_SECONDS.start() => {
                seconds.invalid(faults, "may not specify a duration less than 10 minutes");
            }
            Some(s) if s > *TOKEN_SECONDS.end() => {
                seconds.invalid(faults, "may not specify a duration larger than 2^32 seconds");
            }
            _ => {}
        }
    }
    let modes = spec.at("volumeLifecycleModes");
    for mode in modes.items().filter(|mode| !matches!(mode.text(), "Persistent" | "Ephemeral")) {
        faults.push(FieldError::not_supported(modes.path.clone(), mode.text(), &["Persistent", "Ephemeral"]));
    }
    let period = spec.at("nodeAllocatableUpdatePeriodSeconds");
    if period.int().is_some_and(|seconds| seconds < UPDATE_SECONDS_MIN) {
        period.invalid(faults, "must be greater than or equal to 10 seconds");
    }
    let secrets = spec.at("serviceAccountTokenInSecrets");
    if secrets.given() && tokens.len() == 0 {
        secrets.invalid(faults, "serviceAccountTokenInSecrets is set but no tokenRequests are specified");
    }
}

fn validate_update(object: &Tree, old: &Tree, faults: &mut Faults) {
    let spec = Place::root(object).at("spec");
    // Upstream misspells the first of these paths.
    for (field, shown) in [("attachRequired", "attachedRequired"), ("volumeLifecycleModes", "volumeLifecycleModes")] {
        let place = Place { value: spec.at(field).value, path: spec.path.field(shown) };
        if place.value != old.at(&["spec", field]).unwrap_or(&Tree::Null) {
            place.invalid(faults, super::place::IMMUTABLE);
        }
    }
}

fn row(object: &Tree, now: i64) -> Vec<Tree> {
    let yes = |field: &str, absent: bool| Tree::Bool(object.bool_at(&["spec", field]).unwrap_or(absent));
    let texts = |items: Vec<&str>| items.join(",");
    let tokens = object.list_at(&["spec", "tokenRequests"]).iter();
    let audiences = texts(tokens.map(|t| t.str_at(&["audience"]).unwrap_or_default()).collect());
    let unset = object.at(&["spec", "tokenRequests"]).is_none_or(Tree::is_null);
    let modes = texts(object.list_at(&["spec", "volumeLifecycleModes"]).iter().filter_map(Tree::as_str).collect());
    vec![
        Tree::text(meta::name(object)),
        yes("attachRequired", true),
        yes("podInfoOnMount", false),
        yes("storageCapacity", false),
        Tree::text(if unset { "<unset>".to_owned() } else { audiences }),
        yes("requiresRepublish", false),
        cells::or_none(Some(&modes)),
        cells::age(object, now),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_driver_attaches_unless_it_says_otherwise_and_keeps_to_it() {
        let (mut old, mut faults) = (tree!({"metadata": {"name": "d"}, "spec": {}}), Faults::new());
        default(&mut old);
        validate(&old, &mut faults);
        assert_eq!(faults, []);
        let mut object = old.clone();
        object.set_at(&["spec", "attachRequired"], false);
        object.set_at(&["spec", "podInfoOnMount"], true);
        validate_update(&object, &old, &mut faults);
        let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["spec.attachedRequired: Invalid value: false: field is immutable"]);
    }
}
