//! One rule of RBAC, and whether it covers an action or another rule. Pure; semantics of
//! `k8s.io/component-helpers/auth/rbac/validation` and `k8s.io/kubernetes/pkg/apis/rbac/v1/evaluation_helpers.go`.

use super::Action;
use api::{Tree, tree};

/// A `PolicyRule`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyRule {
    /// Verbs, or `*`.
    pub verbs: Vec<String>,
    /// API groups, or `*`.
    pub groups: Vec<String>,
    /// `pods`, `pods/log`, `*/scale`, or `*`.
    pub resources: Vec<String>,
    /// Names; empty for all.
    pub names: Vec<String>,
    /// Paths, with `*` at the end or alone.
    pub paths: Vec<String>,
}

/// The rules that apply to a user.
#[derive(Clone, Debug, Default)]
pub struct Reviewed {
    /// The rules.
    pub rules: Vec<PolicyRule>,
    /// Roles that bindings name and that are not there.
    pub missing: Vec<String>,
}

fn strings(rule: &Tree, field: &str) -> Vec<String> {
    rule.list_at(&[field]).iter().filter_map(Tree::as_str).map(str::to_owned).collect()
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == "*" || item == wanted)
}

fn path_matches(pattern: &str, path: &str) -> bool {
    pattern == "*"
        || pattern == path
        || pattern
            .strip_suffix('*')
            .is_some_and(|start| path.starts_with(start.trim_end_matches('/')) && path.starts_with(start))
}

impl PolicyRule {
    /// Reads a rule of a Role or ClusterRole.
    #[must_use]
    pub fn from_tree(rule: &Tree) -> PolicyRule {
        PolicyRule {
            verbs: strings(rule, "verbs"),
            groups: strings(rule, "apiGroups"),
            resources: strings(rule, "resources"),
            names: strings(rule, "resourceNames"),
            paths: strings(rule, "nonResourceURLs"),
        }
    }

    /// A rule about resources.
    #[must_use]
    pub fn of(verbs: &[&str], groups: &[&str], resources: &[&str]) -> PolicyRule {
        let owned = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
        PolicyRule { verbs: owned(verbs), groups: owned(groups), resources: owned(resources), ..PolicyRule::default() }
    }

    /// Everything on every resource.
    #[must_use]
    pub fn everything() -> PolicyRule {
        PolicyRule::of(&["*"], &["*"], &["*"])
    }

    /// Everything on every path that is no resource.
    #[must_use]
    pub fn every_path() -> PolicyRule {
        PolicyRule { verbs: vec!["*".to_owned()], paths: vec!["*".to_owned()], ..PolicyRule::default() }
    }

    /// As a Role has it.
    #[must_use]
    pub fn to_tree(&self) -> Tree {
        let mut rule = tree!({"verbs": (self.verbs.clone())});
        let lists = [
            ("apiGroups", &self.groups),
            ("resources", &self.resources),
            ("resourceNames", &self.names),
            ("nonResourceURLs", &self.paths),
        ];
        for (field, list) in lists {
            if !list.is_empty() {
                rule.set(field, list.clone());
            }
        }
        rule
    }

    /// Whether the rule allows an action.
    #[must_use]
    pub fn allows(&self, action: &Action) -> bool {
        if !has(&self.verbs, &action.verb) {
            return false;
        }
        if !action.is_resource {
            return self.paths.iter().any(|pattern| path_matches(pattern, &action.path));
        }
        has(&self.groups, &action.group)
            && self.has_resource(&action.resource, &action.subresource)
            && (self.names.is_empty() || self.names.contains(&action.name))
    }

    fn has_resource(&self, resource: &str, subresource: &str) -> bool {
        self.resources.iter().any(|pattern| match pattern.split_once('/') {
            None => pattern == "*" || (subresource.is_empty() && pattern == resource),
            Some(("*", sub)) => !subresource.is_empty() && sub == subresource,
            Some((main, sub)) => main == resource && sub == subresource,
        })
    }

    /// The parts of the rule that these rules do not grant, as single-verb, single-resource rules.
    #[must_use]
    pub fn beyond(&self, granted: &[PolicyRule]) -> Vec<PolicyRule> {
        self.single().into_iter().filter(|part| !granted.iter().any(|rule| rule.covers(part))).collect()
    }

    /// The rule taken apart.
    fn single(&self) -> Vec<PolicyRule> {
        let mut parts = Vec::new();
        for verb in &self.verbs {
            for path in &self.paths {
                parts.push(PolicyRule {
                    verbs: vec![verb.clone()],
                    paths: vec![path.clone()],
                    ..PolicyRule::default()
                });
            }
            for (group, resource) in self.groups.iter().flat_map(|g| self.resources.iter().map(move |r| (g, r))) {
                let base = PolicyRule {
                    verbs: vec![verb.clone()],
                    groups: vec![group.clone()],
                    resources: vec![resource.clone()],
                    ..PolicyRule::default()
                };
                if self.names.is_empty() {
                    parts.push(base);
                } else {
                    parts.extend(self.names.iter().map(|n| PolicyRule { names: vec![n.clone()], ..base.clone() }));
                }
            }
        }
        parts
    }

    /// Whether this rule grants all of a single-verb, single-resource rule.
    fn covers(&self, part: &PolicyRule) -> bool {
        let verbs = part.verbs.iter().all(|v| has(&self.verbs, v));
        if let Some(path) = part.paths.first() {
            let covered =
                self.paths.iter().any(|p| p == path || path_matches(p, path.trim_end_matches('*')) && p.ends_with('*'));
            return verbs && covered;
        }
        let resource = |wanted: &String| {
            let (main, sub) = wanted.split_once('/').unwrap_or((wanted, ""));
            self.resources.contains(wanted)
                || (wanted != "*" && self.has_resource(main, sub))
                || self.resources.iter().any(|r| r == "*")
        };
        verbs
            && part.groups.iter().all(|g| has(&self.groups, g))
            && part.resources.iter().all(resource)
            && (self.names.is_empty() || (!part.names.is_empty() && part.names.iter().all(|n| self.names.contains(n))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(verb: &str, group: &str, resource: &str, name: &str) -> Action {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        Action {
            verb: verb.into(),
            group: group.into(),
            resource: resource.into(),
            subresource: subresource.into(),
            name: name.into(),
            is_resource: true,
            ..Action::default()
        }
    }

    #[test]
    fn a_rule_allows_what_it_names_and_no_more() {
        let rule = PolicyRule::of(&["get", "list"], &[""], &["pods", "pods/log", "*/scale"]);
        assert!(rule.allows(&action("get", "", "pods", "a")));
        assert!(rule.allows(&action("get", "", "pods/log", "a")));
        assert!(rule.allows(&action("get", "", "replicationcontrollers/scale", "a")));
        assert!(!rule.allows(&action("get", "", "pods/exec", "a")));
        assert!(!rule.allows(&action("create", "", "pods", "")));
        assert!(!rule.allows(&action("get", "apps", "pods", "a")));
        assert!(PolicyRule::everything().allows(&action("x", "y", "z/w", "a")));
    }

    #[test]
    fn names_narrow_a_rule() {
        let mut rule = PolicyRule::of(&["get"], &[""], &["secrets"]);
        rule.names = vec!["a".into()];
        assert!(rule.allows(&action("get", "", "secrets", "a")));
        assert!(!rule.allows(&action("get", "", "secrets", "b")));
    }

    #[test]
    fn paths_match_exactly_or_by_their_beginning() {
        let rule = PolicyRule {
            verbs: vec!["get".into()],
            paths: vec!["/healthz".into(), "/api/*".into()],
            ..PolicyRule::default()
        };
        let path = |path: &str| Action { verb: "get".into(), path: path.into(), ..Action::default() };
        assert!(rule.allows(&path("/healthz")));
        assert!(rule.allows(&path("/api/v1")));
        assert!(!rule.allows(&path("/healthz/x")));
        assert!(!rule.allows(&path("/apis")));
    }

    #[test]
    fn what_goes_beyond_the_own_rights_is_found() {
        let own = [PolicyRule::of(&["get"], &[""], &["pods"]), PolicyRule::of(&["*"], &["apps"], &["*"])];
        assert!(PolicyRule::of(&["get"], &[""], &["pods"]).beyond(&own).is_empty());
        assert!(PolicyRule::of(&["delete"], &["apps"], &["deployments/scale"]).beyond(&own).is_empty());
        assert_eq!(PolicyRule::of(&["get", "list"], &[""], &["pods"]).beyond(&own).len(), 1);
        assert_eq!(PolicyRule::everything().beyond(&own).len(), 1);
    }
}
