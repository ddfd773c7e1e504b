//! The roles and bindings that a cluster is born with. Facts in `bootstrap/policy.txt`, our own
//! additions in `bootstrap/ours.txt`; this file reads them.

use super::rules::PolicyRule;
use api::{Tree, tree};

const POLICY: &str = include_str!("bootstrap/policy.txt");
const OURS: &str = include_str!("bootstrap/ours.txt");
const GROUP: &str = "rbac.authorization.k8s.io";

/// All objects, with kind and namespace; roles that aggregate others have their rules filled in already.
#[must_use]
pub fn objects() -> Vec<Tree> {
    let mut objects: Vec<Tree> = Vec::new();
    for line in POLICY.lines().chain(OURS.lines()).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["role", kind, namespace, name, rest @ ..] => objects.push(role(kind, namespace, name, rest)),
            ["bind", kind, namespace, name, "to", role_kind, role_name, "for", subjects] => {
                objects.push(binding(kind, namespace, name, (role_kind, role_name), subjects));
            }
            ["allow", verbs, rest @ ..] => {
                let role = objects.last_mut().expect("a role stands before its rules");
                let mut rule = rule(verbs, rest);
                if api::meta::name(role).starts_with(CONTROLLERS) {
                    may_patch(&mut rule);
                }
                role.make_map().entry("rules").as_list_mut().expect("a role has rules").push(rule.to_tree());
            }
            _ => unreachable!("a policy file has a line that is none of its forms: {line}"),
        }
    }
    aggregate(&mut objects);
    objects
}

/// Roles of controllers begin so.
const CONTROLLERS: &str = "system:controller:";

/// Our controllers change objects by patch where upstream's update them whole: who may update may patch.
fn may_patch(rule: &mut PolicyRule) {
    let has = |verb: &str| rule.verbs.iter().any(|v| v == verb);
    if has("update") && !has("patch") {
        rule.verbs.push("patch".to_owned());
    }
}

fn split(list: &str) -> Vec<String> {
    list.split(',').map(str::to_owned).collect()
}

fn head(kind: &str, namespace: &str, name: &str) -> Tree {
    let mut object = tree!({
        "apiVersion": (format!("{GROUP}/v1")),
        "kind": kind,
        "metadata": {
            "name": name,
            "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
            "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}
        }
    });
    if namespace != "-" {
        object.set_at(&["metadata", "namespace"], namespace);
    }
    object
}

fn role(kind: &str, namespace: &str, name: &str, rest: &[&str]) -> Tree {
    let mut object = head(kind, namespace, name);
    object.set("rules", Tree::List(Vec::new()));
    for pair in rest.chunks(2) {
        let [what, setting] = pair else { unreachable!("settings of a role come in pairs") };
        let (key, value) = setting.split_once('=').expect("a label has a value");
        if *what == "label" {
            object.set_at(&["metadata", "labels", key], value);
        } else {
            let labels: api::Map = [(key, value)].into_iter().collect();
            let selectors = object.make_map().entry("aggregationRule").make_map().entry("clusterRoleSelectors");
            if selectors.is_null() {
                *selectors = Tree::List(Vec::new());
            }
            selectors.as_list_mut().expect("just made").push(tree!({"matchLabels": labels}));
        }
    }
    object
}

fn rule(verbs: &str, rest: &[&str]) -> PolicyRule {
    let mut rule = PolicyRule { verbs: split(verbs), ..PolicyRule::default() };
    for pair in rest.chunks(2) {
        match pair {
            ["at", paths] => rule.paths = split(paths),
            ["on", resources] => rule.resources = split(resources),
            ["in", groups] => {
                let named = |g: String| if g == "core" { String::new() } else { g };
                rule.groups = split(groups).into_iter().map(named).collect();
            }
            ["named", names] => rule.names = split(names),
            _ => unreachable!("a rule has only at, on, in and named: {rest:?}"),
        }
    }
    rule
}

fn binding(kind: &str, namespace: &str, name: &str, (role_kind, role_name): (&str, &str), subjects: &str) -> Tree {
    let mut object = head(kind, namespace, name);
    object.set("roleRef", tree!({"apiGroup": GROUP, "kind": role_kind, "name": role_name}));
    let subject = |text: &str| match text.split_once(':') {
        Some(("account", account)) => {
            let (namespace, name) = account.split_once('/').expect("an account has a namespace");
            tree!({"kind": "ServiceAccount", "namespace": namespace, "name": name})
        }
        Some(("user", name)) => tree!({"apiGroup": GROUP, "kind": "User", "name": name}),
        Some((_, name)) => tree!({"apiGroup": GROUP, "kind": "Group", "name": name}),
        None => unreachable!("a subject says what it is: {text}"),
    };
    if subjects != "-" {
        object.set("subjects", Tree::List(subjects.split(',').map(subject).collect()));
    }
    object
}

/// Fills in the rules of the roles that aggregate others, to a fixed point: admin takes in edit, which takes in view.
fn aggregate(objects: &mut [Tree]) {
    loop {
        let before = objects.to_vec();
        for object in objects.iter_mut().filter(|o| o.get("aggregationRule").is_some()) {
            let selectors = object.list_at(&["aggregationRule", "clusterRoleSelectors"]).to_vec();
            let mut rules: Vec<Tree> = Vec::new();
            for selector in &selectors {
                let selector = api::selector::LabelSelector::from_map(selector.map_at(&["matchLabels"]));
                let chosen = before.iter().filter(|o| api::meta::kind(o) == "ClusterRole");
                for other in chosen.filter(|o| selector.matches(api::meta::labels(o))) {
                    rules.extend(
                        other.list_at(&["rules"]).iter().filter(|r| !rules.contains(r)).cloned().collect::<Vec<_>>(),
                    );
                }
            }
            object.set("rules", Tree::List(rules));
        }
        if before == objects {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::meta;

    fn named<'a>(objects: &'a [Tree], name: &str) -> &'a Tree {
        objects.iter().find(|o| meta::name(o) == name && meta::kind(o).ends_with("Role")).unwrap()
    }

    #[test]
    fn every_line_becomes_an_object() {
        let lines =
            POLICY.lines().chain(OURS.lines()).filter(|l| l.starts_with("role ") || l.starts_with("bind ")).count();
        assert_eq!(objects().len(), lines);
    }

    #[test]
    fn admin_aggregates_edit_and_view() {
        let objects = objects();
        let rules = |name: &str| named(&objects, name).list_at(&["rules"]).to_vec();
        assert!(!rules("view").is_empty());
        for name in ["view", "edit"] {
            assert!(rules(name).iter().all(|r| rules("admin").contains(r)), "admin lacks rules of {name}");
        }
    }
}
