//! Faults of the annotations that say something about a pod, and of changing them.

use crate::kinds::place::Place;
use crate::rules::Faults;
use api::{FieldError, Tree};

const MIRROR: &str = "kubernetes.io/config.mirror";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Whether a text is a whole number as Go's `strconv.ParseInt` and the deletion cost have it: no plus, no padding.
fn is_cost(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let padded = digits.len() > 1 && digits.starts_with('0');
    !padded && !text.starts_with('+') && text.parse::<i32>().is_ok()
}

/// Faults of a pod's annotations.
pub fn annotations(annotations: &Place, spec: &Tree, faults: &mut Faults) {
    for (key, value) in annotations.entries() {
        if key == MIRROR && spec.str_at(&["nodeName"]).is_none_or(str::is_empty) {
            value.invalid(faults, "must set spec.nodeName if mirror pod annotation is set");
        }
        if key == DELETION_COST && !is_cost(value.text()) {
            value.invalid(faults, "must be a 32bit integer");
        }
    }
}

/// Faults of the keys of annotations.
pub(super) fn annotation_keys(annotations: &Place, faults: &mut Faults) {
    /// Most bytes of all annotations of an object.
    const TOTAL_MAX: usize = 256 * 1024;
    let mut total = 0;
    for (key, value) in annotations.entries() {
        for why in api::names::label_key(&key.to_lowercase()) {
            faults.push(FieldError::invalid(annotations.path.clone(), key, why));
        }
        total += key.len() + value.text().len();
    }
    if total > TOTAL_MAX {
        faults.push(FieldError::too_long(annotations.path.clone(), TOTAL_MAX));
    }
}

/// Faults of changing annotations of a pod.
pub fn annotation_changes(new: &Place, old: &Place, faults: &mut Faults) {
    for (key, before) in old.entries() {
        if new.at(key).value == before.value {
            continue;
        }
        let place = Place { value: before.value, path: new.path.key(key) };
        if key.starts_with(APP_ARMOR) {
            place.forbidden(faults, "may not remove or update AppArmor annotations");
        }
        if key == MIRROR {
            place.forbidden(faults, "may not remove or update mirror pod annotation");
        }
    }
    for (key, place) in new.entries().filter(|(key, _)| !old.at(key).given()) {
        if key.starts_with(APP_ARMOR) {
            place.forbidden(faults, "may not add AppArmor annotations");
        }
        if key == MIRROR {
            place.forbidden(faults, "may not add mirror pod annotation");
        }
    }
}
