//! The texts are there, and the packed form gives back what went in.

use super::*;
use resources::facts::{RESOURCES, TYPES};
use schema::facts::{FieldFact, Form, Shape, TypeId};
use std::collections::BTreeSet;

/// The members as JSON sees them.
fn members(of: TypeId) -> Vec<&'static FieldFact> {
    let inner = |f: &'static FieldFact| match f.shape {
        Shape::Ref(id) if f.inline => members(id),
        _ => vec![f],
    };
    TYPES[usize::from(of.0)].fields.iter().flat_map(inner).collect()
}

/// A struct and every struct below it.
fn reach(of: TypeId, found: &mut BTreeSet<TypeId>) {
    if TYPES[usize::from(of.0)].form != Form::Struct || !found.insert(of) {
        return;
    }
    for field in members(of) {
        let mut shape = field.shape;
        while let Shape::List(item) | Shape::Map(item) = shape {
            shape = *item;
        }
        if let Shape::Ref(id) = shape {
            reach(id, found);
        }
    }
}

#[test]
fn every_member_of_every_resource_is_described() {
    let all = Descriptions::unpack();
    let mut types = BTreeSet::new();
    // The metrics API is in no description that could be taken over.
    RESOURCES.iter().filter(|r| r.gvk.group != "metrics.k8s.io").for_each(|r| reach(r.object, &mut types));
    assert!(types.len() > 400, "{}", types.len());
    for id in types {
        let name = TYPES[usize::from(id.0)].name;
        let description = all.of(name).unwrap_or_else(|| panic!("{name} is not described"));
        for field in members(id) {
            assert!(description.fields.contains_key(field.json), "{name}.{}", field.json);
        }
        assert_eq!(description.fields.len(), members(id).len(), "{name} has members that the table does not know");
    }
}

#[test]
fn a_container_and_its_members_are_described() {
    let all = Descriptions::unpack();
    let container = all.of("io.k8s.api.core.v1.Container").expect("Container");
    assert!(container.text.contains("container"), "{}", container.text);
    assert!(container.fields["image"].contains("image"), "{}", container.fields["image"]);
    assert!(all.of("io.k8s.api.core.v1.Contain").is_none());
    assert!(all.len() > 500, "{}", all.len());
}

#[test]
fn a_list_is_described_by_rule() {
    let all = Descriptions::unpack();
    let list = all.of("io.k8s.api.apps.v1.DeploymentList").expect("DeploymentList");
    assert_eq!(list.fields["items"], "The objects of the kind Deployment.");
    let item = all.of("io.k8s.api.apps.v1.Deployment").expect("Deployment");
    assert_eq!(list.fields["kind"], item.fields["kind"]);
    assert!(!item.fields["kind"].is_empty());
}

#[test]
fn escapes_come_back_as_they_went_in() {
    let all = read("T a.B\tone\\ntwo\\\\n\n c\ttab\\tend\n");
    assert_eq!(all["a.B"].text, "one\ntwo\\n");
    assert_eq!(all["a.B"].fields["c"], "tab\tend");
}
