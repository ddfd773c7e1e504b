//! IPAddresses: which Service has an address. Rules of `k8s.io/kubernetes/pkg/registry/networking/ipaddress`.

use super::address;
use super::place::Place;
use crate::rules::{Faults, PLAIN, Rules};
use api::{Tree, meta, names};

/// What is special about IPAddresses.
pub const RULES: Rules = Rules { name, validate, validate_update, cells: row, ..PLAIN };

fn name(text: &str) -> Vec<String> {
    let (tree, mut faults) = (Tree::text(text), Faults::new());
    address::canonical_ip(&Place::root(&tree), &mut faults);
    faults.into_iter().map(|fault| fault.detail).collect()
}

fn validate(object: &Tree, faults: &mut Faults) {
    let parent = Place::root(object).down(&["spec", "parentRef"]);
    if !parent.given() {
        return parent.required(faults, "");
    }
    parent.at("group").may_pass(faults, names::dns1123_subdomain);
    parent.at("resource").must_pass(faults, names::path_segment);
    parent.at("name").must_pass(faults, names::path_segment);
    parent.at("namespace").may_pass(faults, names::path_segment);
}

fn validate_update(object: &Tree, old: &Tree, faults: &mut Faults) {
    let parent = ["spec", "parentRef"];
    Place::root(object).down(&parent).unchanged(faults, old.at(&parent).unwrap_or(&Tree::Null));
}

fn row(object: &Tree, _now: i64) -> Vec<Tree> {
    let text = |field: &str| object.str_at(&["spec", "parentRef", field]).filter(|t| !t.is_empty());
    let group = text("group").map(|group| format!(".{group}")).unwrap_or_default();
    let namespace = text("namespace").map(|namespace| format!("/{namespace}")).unwrap_or_default();
    let resource = format!("{}{group}", text("resource").unwrap_or_default()).to_lowercase();
    let parent = format!("{resource}{namespace}/{}", text("name").unwrap_or_default());
    let given = object.map_at(&["spec", "parentRef"]).is_some();
    vec![Tree::text(meta::name(object)), Tree::text(if given { parent } else { "<none>".to_owned() })]
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn the_name_is_the_address() {
        assert!(name("10.0.0.1").is_empty());
        assert_eq!(name("FD00::1"), ["must be in canonical form (\"fd00::1\")"]);
        let parent = tree!({"resource": "services", "namespace": "d", "name": "s"});
        let object = tree!({"metadata": {"name": "10.0.0.1"}, "spec": {"parentRef": parent}});
        assert_eq!(row(&object, 0)[1], Tree::text("services/d/s"));
    }
}
