//! Roles and bindings: their names are path segments, so that `system:node` is one. Rules of
//! `k8s.io/kubernetes/pkg/registry/rbac` and `pkg/apis/rbac/validation`. It must not know who may grant what.

use super::place::Place;
use crate::cells;
use crate::rules::{Faults, PLAIN, Rules};
use api::{FieldError, Tree, meta, names, tree};

const GROUP: &str = "rbac.authorization.k8s.io";
const NAMED: Rules = Rules { name: names::path_segment, create_on_update: true, ..PLAIN };

/// What is special about Roles.
pub const ROLES: Rules = Rules { validate: |object, faults| rules(object, true, faults), ..NAMED };
/// What is special about ClusterRoles.
pub const CLUSTER_ROLES: Rules = Rules { validate: cluster_role, ..NAMED };
/// What is special about RoleBindings.
pub const ROLE_BINDINGS: Rules = Rules {
    default,
    validate: |object, faults| binding(object, &["Role", "ClusterRole"], faults),
    validate_update: same_role,
    cells: row,
    ..NAMED
};
/// What is special about ClusterRoleBindings.
pub const CLUSTER_ROLE_BINDINGS: Rules =
    Rules { validate: |object, faults| binding(object, &["ClusterRole"], faults), ..ROLE_BINDINGS };

fn default(object: &mut Tree) {
    if object.str_at(&["roleRef", "apiGroup"]).unwrap_or_default().is_empty() {
        object.set_at(&["roleRef", "apiGroup"], GROUP);
    }
    for subject in object.get_mut("subjects").and_then(Tree::as_list_mut).into_iter().flatten() {
        let person = matches!(subject.str_at(&["kind"]), Some("User" | "Group"));
        if person && subject.str_at(&["apiGroup"]).unwrap_or_default().is_empty() {
            subject.set("apiGroup", GROUP);
        }
    }
}

fn rules(object: &Tree, namespaced: bool, faults: &mut Faults) {
    for rule in Place::root(object).at("rules").items() {
        rule.at("verbs").must(faults, "verbs must contain at least one value");
        let (urls, groups, resources) = (rule.at("nonResourceURLs"), rule.at("apiGroups"), rule.at("resources"));
        if urls.len() > 0 {
            if namespaced {
                urls.invalid(faults, "namespaced rules cannot apply to non-resource URLs");
            }
            if groups.len() > 0 || resources.len() > 0 || rule.at("resourceNames").len() > 0 {
                urls.invalid(faults, "rules cannot apply to both regular resources and non-resource URLs");
            }
            continue;
        }
        groups.must(faults, "resource rules must supply at least one api group");
        resources.must(faults, "resource rules must supply at least one resource");
    }
}

fn cluster_role(object: &Tree, faults: &mut Faults) {
    rules(object, false, faults);
    let aggregation = Place::root(object).at("aggregationRule");
    if aggregation.given() {
        let selectors = aggregation.at("clusterRoleSelectors");
        selectors.must(faults, "at least one clusterRoleSelector required if aggregationRule is non-nil");
        selectors.items().for_each(|selector| selector.label_selector(faults));
    }
}

fn binding(object: &Tree, kinds: &[&str], faults: &mut Faults) {
    let role = Place::root(object).at("roleRef");
    role.at("apiGroup").one_of(faults, &[GROUP]);
    role.at("kind").one_of(faults, kinds);
    role.at("name").must_pass(faults, names::path_segment);
    let namespaced = kinds.contains(&"Role");
    for subject in Place::root(object).at("subjects").items() {
        let (name, group) = (subject.at("name"), subject.at("apiGroup"));
        name.must(faults, "");
        match subject.at("kind").text() {
            "ServiceAccount" => {
                name.may_pass(faults, names::dns1123_subdomain);
                if !group.text().is_empty() {
                    group.one_of(faults, &[""]);
                }
                if !namespaced {
                    subject.at("namespace").must(faults, "");
                }
            }
            "User" | "Group" => group.one_of(faults, &[GROUP]),
            _ => subject.at("kind").one_of(faults, &["ServiceAccount", "User", "Group"]),
        }
    }
}

fn same_role(object: &Tree, old: &Tree, faults: &mut Faults) {
    if object.get("roleRef") != old.get("roleRef") {
        let role = Place::root(object).at("roleRef");
        // Upstream shows its internal form, whose fields have other names.
        let text = |field: &str| role.at(field).text();
        let shown = tree!({"APIGroup": (text("apiGroup")), "Kind": (text("kind")), "Name": (text("name"))});
        faults.push(FieldError::invalid(role.path.clone(), shown, "cannot change roleRef"));
    }
}

fn row(object: &Tree, now: i64) -> Vec<Tree> {
    let text = |field: &str| object.str_at(&["roleRef", field]).unwrap_or_default();
    let subjects = |kind: &str| {
        let of_kind = object.list_at(&["subjects"]).iter().filter(|s| s.str_at(&["kind"]) == Some(kind));
        let shown = of_kind.map(|s| {
            let name = s.str_at(&["name"]).unwrap_or_default();
            match s.str_at(&["namespace"]).filter(|n| !n.is_empty() && kind == "ServiceAccount") {
                Some(namespace) => format!("{namespace}/{name}"),
                None if kind == "ServiceAccount" => format!("/{name}"),
                None => name.to_owned(),
            }
        });
        Tree::text(shown.collect::<Vec<_>>().join(", "))
    };
    vec![
        Tree::text(meta::name(object)),
        Tree::text(format!("{}/{}", text("kind"), text("name"))),
        cells::age(object, now),
        subjects("User"),
        subjects("Group"),
        subjects("ServiceAccount"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_role_of_a_binding_stays() {
        let role = |name: &str| {
            let subject = tree!({"kind": "User", "name": "u"});
            let mut object = tree!({"roleRef": {"kind": "ClusterRole", "name": name}, "subjects": [subject]});
            default(&mut object);
            object
        };
        let mut faults = Faults::new();
        (CLUSTER_ROLE_BINDINGS.validate)(&role("a"), &mut faults);
        same_role(&role("a"), &role("a"), &mut faults);
        assert_eq!(faults, []);
        same_role(&role("b"), &role("a"), &mut faults);
        assert_eq!(faults[0].detail, "cannot change roleRef");
        assert_eq!(row(&role("a"), 0)[3], Tree::text("u"));
    }

    #[test]
    fn rules_name_verbs_and_resources() {
        let mut faults = Faults::new();
        (ROLES.validate)(&tree!({"rules": [{"apiGroups": [""], "resources": ["pods"]}]}), &mut faults);
        assert_eq!(faults[0].to_string(), "rules[0].verbs: Required value: verbs must contain at least one value");
    }
}
