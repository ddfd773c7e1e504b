//! Pod templates and controller revisions: what workloads are made from and remember. Rules of
//! `k8s.io/kubernetes/pkg/registry/{core/podtemplate,apps/controllerrevision}`.

use super::labels_text;
use super::place::{IMMUTABLE, NEGATIVE, Place};
use super::pod_spec::{default_template, validate_template};
use super::workloads::container_cells;
use crate::rules::{Faults, PLAIN, Rules};
use api::{Tree, meta};

/// What is special about pod templates.
pub const RULES: Rules = Rules {
    generation: true,
    returns_deleted: true,
    default: |object| default_template(object, &["template"]),
    validate: |object, faults| validate_template(&Place::root(object).at("template"), faults),
    cells,
    ..PLAIN
};

/// What is special about controller revisions.
pub const REVISIONS: Rules = Rules { validate: revision, validate_update: unchanged, cells: revision_cells, ..PLAIN };

fn cells(object: &Tree, _now: i64) -> Vec<Tree> {
    let [names, images] = container_cells(object);
    vec![
        Tree::text(meta::name(object)),
        names,
        images,
        labels_text::labels(object.map_at(&["template", "metadata", "labels"])),
    ]
}

fn revision(object: &Tree, faults: &mut Faults) {
    let place = Place::root(object).at("revision");
    if place.int().is_some_and(|n| n < 0) {
        place.invalid(faults, NEGATIVE);
    }
    let data = Place::root(object).at("data");
    if !data.given() {
        data.required(faults, "data is mandatory");
    }
}

fn unchanged(object: &Tree, old: &Tree, faults: &mut Faults) {
    if object.get("data") != old.get("data") {
        Place::root(object).at("data").invalid(faults, IMMUTABLE);
    }
}

fn revision_cells(object: &Tree, now: i64) -> Vec<Tree> {
    let owner = meta::controller_of(object).map(|owner| {
        let text = |field: &str| owner.str_at(&[field]).unwrap_or_default();
        let (group, _) = meta::split_api_version(text("apiVersion"));
        let kind = text("kind").to_lowercase();
        if group.is_empty() { format!("{kind}/{}", text("name")) } else { format!("{kind}.{group}/{}", text("name")) }
    });
    let revision = object.int_at(&["revision"]).unwrap_or(0).to_string();
    let name = Tree::text(meta::name(object));
    vec![name, crate::cells::or_none(owner.as_deref()), Tree::text(revision), crate::cells::age(object, now)]
}
