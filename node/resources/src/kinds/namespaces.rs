//! Namespaces: born active, held by their content. Rules of `k8s.io/kubernetes/pkg/registry/core/namespace`.

use crate::rules::{PLAIN, Rules, SelectableField};
use api::{Tree, meta};

/// What is special about namespaces.
pub const RULES: Rules = Rules {
    name: api::names::dns1123_label,
    default: name_label,
    on_create: begin,
    on_update: keep,
    returns_deleted: true,
    fields: &[SelectableField { label: "status.phase", path: &["status", "phase"], absent: "" }],
    cells,
    held: |object| !object.list_at(&["spec", "finalizers"]).is_empty(),
    on_dying: terminate,
    ..PLAIN
};

/// The label by which selectors find a namespace by name.
fn name_label(object: &mut Tree) {
    let name = meta::name(object).to_owned();
    if !name.is_empty() {
        object.set_at(&["metadata", "labels", "kubernetes.io/metadata.name"], name);
    }
}

/// The finalizer that namespace deletion removes last.
fn begin(object: &mut Tree) {
    object.set_at(&["status", "phase"], "Active");
    let finalizers = object.list_at(&["spec", "finalizers"]);
    if !finalizers.iter().any(|f| f.as_str() == Some("kubernetes")) {
        let mut finalizers = finalizers.to_vec();
        finalizers.push(Tree::text("kubernetes"));
        object.set_at(&["spec", "finalizers"], finalizers);
    }
}

/// Only `/finalize` changes `spec.finalizers`.
fn keep(object: &mut Tree, old: &Tree) {
    match old.at(&["spec", "finalizers"]) {
        Some(finalizers) => object.set_at(&["spec", "finalizers"], finalizers.clone()),
        None => {
            object.remove_at(&["spec", "finalizers"]);
        }
    }
}

/// A namespace says in its status that it is going, and has no grace period.
fn terminate(object: &mut Tree) {
    object.set_at(&["status", "phase"], "Terminating");
    object.remove_at(&["metadata", "deletionGracePeriodSeconds"]);
}

fn cells(object: &Tree, now: i64) -> Vec<Tree> {
    let phase = object.str_at(&["status", "phase"]).unwrap_or_default();
    vec![Tree::text(meta::name(object)), Tree::text(phase), crate::cells::age(object, now)]
}
