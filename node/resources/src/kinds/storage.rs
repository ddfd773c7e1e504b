//! What the kinds of storage share: access modes, class names, drivers, parameters, data sources. Rules of
//! `pkg/apis/core/validation` and `pkg/apis/storage/validation`. It must not know how volumes are made.

use super::place::Place;
use crate::rules::Faults;
use api::{FieldError, Quantity, Tree, names};

const MODES: &[(&str, &str)] =
    &[("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
/// The class of a claim or volume, before there was a field for it.
pub const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
/// Most parameters of a class.
const PARAMETERS_MAX: usize = 512;
/// Most bytes of all parameters of a class.
const PARAMETER_BYTES_MAX: usize = 256 * 1024;
const DRIVER_MAX: usize = 63;

/// Access modes in short: `RWO,ROX`.
pub fn modes_text(modes: &[Tree]) -> Tree {
    let has = |mode: &str| modes.iter().any(|m| m.as_str() == Some(mode));
    let shown: Vec<&str> = MODES.iter().filter(|(mode, _)| has(mode)).map(|(_, short)| *short).collect();
    Tree::text(shown.join(","))
}

/// The storage class of a claim or volume as a table shows it.
pub fn class_text(object: &Tree) -> Tree {
    let annotation = api::meta::annotation(object, CLASS_ANNOTATION);
    Tree::text(annotation.or_else(|| object.str_at(&["spec", "storageClassName"])).unwrap_or_default())
}

/// The phase of a claim or volume as a table shows it.
pub fn phase_text(object: &Tree) -> Tree {
    let going = api::meta::deletion_timestamp(object).is_some();
    Tree::text(if going { "Terminating" } else { object.str_at(&["status", "phase"]).unwrap_or_default() })
}

/// A text of the spec, or `<unset>`.
pub fn unset_or(object: &Tree, field: &str) -> Tree {
    Tree::text(object.str_at(&["spec", field]).unwrap_or("<unset>"))
}

/// Demands access modes that go together.
pub fn access_modes(place: &Place, none: &str, faults: &mut Faults) {
    place.must(faults, none);
    let mut valid: Vec<&str> = MODES.iter().map(|(mode, _)| *mode).collect();
    valid.sort_unstable();
    let given: Vec<&str> = place.value.as_list().unwrap_or_default().iter().filter_map(Tree::as_str).collect();
    for mode in given.iter().filter(|mode| !valid.contains(mode)) {
        faults.push(FieldError::not_supported(place.path.clone(), *mode, &valid));
    }
    let alone = given.contains(&"ReadWriteOncePod");
    if alone && given.iter().any(|mode| *mode != "ReadWriteOncePod" && valid.contains(mode)) {
        place.forbidden(faults, "may not use ReadWriteOncePod with other access modes");
    }
}

/// Demands more than nothing.
pub fn positive(place: &Place, faults: &mut Faults) {
    if Quantity::parse(place.text()).is_ok_and(|amount| amount.sign() <= 0) {
        place.invalid(faults, "must be greater than zero");
    }
}

/// Demands the name of a CSI driver.
pub fn driver_name(place: &Place, faults: &mut Faults) {
    if !place.must(faults, "") {
        return;
    }
    if place.text().len() > DRIVER_MAX {
        faults.push(FieldError::too_long(place.path.clone(), DRIVER_MAX));
    }
    place.invalid_for(faults, names::dns1123_subdomain(&place.text().to_lowercase()));
}

/// Demands the name of a provisioner.
pub fn provisioner(place: &Place, faults: &mut Faults) {
    if place.must(faults, "") {
        place.invalid_for(faults, names::label_key(&place.text().to_lowercase()));
    }
}

/// Demands parameters of a class within their limits.
pub fn parameters(place: &Place, may_be_empty: bool, faults: &mut Faults) {
    if place.len() > PARAMETERS_MAX {
        return faults.push(FieldError::too_long(place.path.clone(), PARAMETERS_MAX));
    }
    let mut bytes = 0;
    for (key, value) in place.entries() {
        if key.is_empty() {
            faults.push(FieldError::invalid(place.path.clone(), key, "field can not be empty."));
        }
        bytes += key.len() + value.text().len();
    }
    if bytes > PARAMETER_BYTES_MAX {
        faults.push(FieldError::too_long(place.path.clone(), PARAMETER_BYTES_MAX));
    }
    if !may_be_empty && place.len() == 0 {
        place.required(faults, "must contain at least one key/value pair");
    }
}

/// Demands that a field is what it was.
pub fn frozen(object: &Tree, old: &Tree, path: &[&str], faults: &mut Faults) {
    Place::root(object).down(path).unchanged(faults, old.at(path).unwrap_or(&Tree::Null));
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn access_modes_are_short_and_exclusive() {
        let modes = tree!(["ReadWriteMany", "ReadWriteOnce"]);
        assert_eq!(modes_text(modes.as_list().expect("a list")), Tree::text("RWO,RWX"));
        let (modes, mut faults) = (tree!(["ReadWriteOncePod", "ReadWriteOnce"]), Faults::new());
        access_modes(&Place::root(&modes), "", &mut faults);
        assert_eq!(faults[0].detail, "may not use ReadWriteOncePod with other access modes");
    }
}
