//! Faults of paths inside volumes and of modes of files.

use crate::kinds::place::Place;
use crate::rules::Faults;

const MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";

/// A path that never goes up.
pub(super) fn no_backsteps(path: &Place, faults: &mut Faults) {
    if path.text().split('/').any(|part| part == "..") {
        path.invalid(faults, "must not contain '..'");
    }
}

/// A relative path that never goes up.
pub(super) fn descending(path: &Place, faults: &mut Faults) {
    if path.text().starts_with('/') {
        path.invalid(faults, "must be a relative path");
    }
    no_backsteps(path, faults);
}

/// A relative path that never goes up and does not begin as the kubelet's own files do.
pub(super) fn not_reserved(path: &Place, faults: &mut Faults) {
    descending(path, faults);
    if path.text().starts_with("..") && !path.text().starts_with("../") {
        path.invalid(faults, "must not start with '..'");
    }
}

/// Permissions of a file, if they are given.
pub(super) fn mode(mode: &Place, faults: &mut Faults) {
    if mode.int().is_some_and(|bits| !(0..=0o777).contains(&bits)) {
        mode.invalid(faults, MODE);
    }
}
