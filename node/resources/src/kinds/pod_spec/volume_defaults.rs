//! What a volume gets that leaves it out. Source: `k8s.io/kubernetes/pkg/apis/core/v1/defaults.go`.

use super::defaults::{each, fill, fill_absent, pull_policy};
use api::Tree;

/// rw-r--r--, the mode of files that the kubelet writes.
const FILE_MODE: i64 = 0o644;
/// Seconds that a projected token lasts.
const TOKEN_SECONDS: i64 = 3600;

/// One volume. A volume that names no source is an empty directory.
pub(super) fn volume(volume: &mut Tree) {
    let named = |map: &api::Map| map.iter().any(|(field, value)| **field != *"name" && !value.is_null());
    if !volume.as_map().is_some_and(named) {
        volume.set("emptyDir", Tree::map());
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(found) = volume.get_mut(source).filter(|s| !s.is_null()) {
            fill_absent(found, "defaultMode", FILE_MODE);
            each(found, "items", downward_file);
        }
    }
    if let Some(projected) = volume.get_mut("projected") {
        each(projected, "sources", projection);
    }
    if let Some(path) = volume.get_mut("hostPath").filter(|p| !p.is_null()) {
        fill_absent(path, "type", "");
    }
    if let Some(image) = volume.get_mut("image").filter(|i| !i.is_null()) {
        let policy = pull_policy(image.str_at(&["reference"]).unwrap_or_default());
        fill(image, "pullPolicy", policy);
    }
    if let Some(spec) = volume.at_mut(&["ephemeral", "volumeClaimTemplate", "spec"]) {
        fill_absent(spec, "volumeMode", "Filesystem");
    }
}

fn downward_file(file: &mut Tree) {
    if let Some(field) = file.get_mut("fieldRef").filter(|f| !f.is_null()) {
        fill(field, "apiVersion", "v1");
    }
}

fn projection(source: &mut Tree) {
    if let Some(token) = source.get_mut("serviceAccountToken").filter(|t| !t.is_null()) {
        fill_absent(token, "expirationSeconds", TOKEN_SECONDS);
    }
    if let Some(files) = source.get_mut("downwardAPI") {
        each(files, "items", downward_file);
    }
}
