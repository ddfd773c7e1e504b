//! RBAC over the objects in the store: roles, cluster roles and their bindings, kept decoded and brought up to date
//! when one of them changed.

use super::rules::{PolicyRule, Reviewed};
use super::{Action, Decision};
use crate::caller::Caller;
use crate::catalog::Catalog;
use crate::objects;
use api::{Tree, meta};
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use store::{Snapshot, Store};

const GROUP: &str = "rbac.authorization.k8s.io";
const PREFIX: &str = "/rbac.authorization.k8s.io/";

/// Who a binding is for.
#[derive(Clone, Debug)]
enum Subject {
    User(String),
    Group(String),
}

#[derive(Clone, Debug)]
struct Binding {
    name: String,
    /// Empty for a ClusterRoleBinding.
    namespace: String,
    role_kind: String,
    role_name: String,
    subjects: Vec<Subject>,
}

/// All roles and bindings at one moment.
#[derive(Default)]
struct Policy {
    /// By kind, namespace and name.
    roles: HashMap<(String, String, String), Vec<PolicyRule>>,
    bindings: Vec<Binding>,
}

/// The policy, and the state of the store that it was read from: the highest revision and the number of its objects,
/// which together change with every write and every deletion.
struct Cached {
    stamp: (u64, usize),
    looked_at: u64,
    policy: Arc<Policy>,
}

/// RBAC.
pub struct Rbac {
    store: Store,
    catalog: Arc<ArcSwap<Catalog>>,
    cached: Mutex<Option<Cached>>,
}

impl Rbac {
    /// RBAC over a store.
    pub fn new(store: Store, catalog: Arc<ArcSwap<Catalog>>) -> Rbac {
        Rbac { store, catalog, cached: Mutex::default() }
    }

    /// Decides; without a rule that allows it, nothing may be.
    pub fn decide(&self, caller: &Caller, action: &Action) -> Decision {
        let policy = self.policy();
        for binding in policy.bindings.iter().filter(|b| b.applies(caller, &action.namespace)) {
            let rules = policy.rules_of(binding);
            if rules.iter().any(|rule| rule.allows(action)) {
                return Decision { allowed: true, reason: binding.reason(caller) };
            }
        }
        Decision { allowed: false, reason: String::new() }
    }

    /// All rules that apply to a user in a namespace.
    pub fn rules(&self, caller: &Caller, namespace: &str) -> Reviewed {
        let policy = self.policy();
        let mut reviewed = Reviewed::default();
        for binding in policy.bindings.iter().filter(|b| b.applies(caller, namespace)) {
            match policy.roles.get(&binding.role_key()) {
                Some(rules) => reviewed.rules.extend(rules.iter().cloned()),
                None => reviewed.missing.push(binding.role_name.clone()),
            }
        }
        reviewed
    }

    /// The rules of one role.
    pub fn role_rules(&self, kind: &str, namespace: &str, name: &str) -> Option<Vec<PolicyRule>> {
        let namespace = if kind == "ClusterRole" { "" } else { namespace };
        self.policy().roles.get(&(kind.to_owned(), namespace.to_owned(), name.to_owned())).cloned()
    }

    fn policy(&self) -> Arc<Policy> {
        let revision = self.store.revision();
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = cached.as_ref()
            && found.looked_at == revision
        {
            return found.policy.clone();
        }
        let snapshot = self.store.snapshot();
        let stamp = stamp(&snapshot);
        if let Some(found) = cached.as_mut()
            && found.stamp == stamp
        {
            found.looked_at = snapshot.revision;
            return found.policy.clone();
        }
        let policy = Arc::new(self.read(&snapshot));
        *cached = Some(Cached { stamp, looked_at: snapshot.revision, policy: policy.clone() });
        policy
    }

    fn read(&self, snapshot: &Snapshot) -> Policy {
        let catalog = self.catalog.load();
        let mut policy = Policy::default();
        for plural in ["roles", "clusterroles", "rolebindings", "clusterrolebindings"] {
            let Some(resource) = catalog.find(GROUP, "v1", plural) else { continue };
            for entry in snapshot.iter(&resource.prefix(""), None) {
                match objects::tree(resource, entry) {
                    Ok(object) if plural.ends_with("roles") => policy.add_role(&resource.kind, &object),
                    Ok(object) => policy.bindings.push(Binding::read(&object)),
                    // A damaged object grants nothing.
                    Err(error) => tracing::error!(key = %entry.key, %error, "an RBAC object cannot be read"),
                }
            }
        }
        policy
    }
}

fn stamp(snapshot: &Snapshot) -> (u64, usize) {
    snapshot.iter(PREFIX, None).fold((0, 0), |(newest, count), entry| (newest.max(entry.mod_revision), count + 1))
}

impl Policy {
    fn add_role(&mut self, kind: &str, object: &Tree) {
        let rules = object.list_at(&["rules"]).iter().map(PolicyRule::from_tree).collect();
        let key = (kind.to_owned(), meta::namespace(object).to_owned(), meta::name(object).to_owned());
        self.roles.insert(key, rules);
    }

    fn rules_of(&self, binding: &Binding) -> &[PolicyRule] {
        self.roles.get(&binding.role_key()).map(Vec::as_slice).unwrap_or_default()
    }
}

impl Binding {
    fn read(object: &Tree) -> Binding {
        let namespace = meta::namespace(object).to_owned();
        let text = |subject: &Tree, field: &str| subject.str_at(&[field]).unwrap_or_default().to_owned();
        let subject = |subject: &Tree| match subject.str_at(&["kind"])? {
            "User" => Some(Subject::User(text(subject, "name"))),
            "Group" => Some(Subject::Group(text(subject, "name"))),
            "ServiceAccount" => {
                let own = text(subject, "namespace");
                let namespace = if own.is_empty() { namespace.as_str() } else { own.as_str() };
                let name = text(subject, "name");
                (!namespace.is_empty()).then(|| Subject::User(format!("system:serviceaccount:{namespace}:{name}")))
            }
            _ => None,
        };
        let subjects = object.list_at(&["subjects"]).iter().filter_map(subject).collect();
        Binding {
            name: meta::name(object).to_owned(),
            role_kind: object.str_at(&["roleRef", "kind"]).unwrap_or_default().to_owned(),
            role_name: object.str_at(&["roleRef", "name"]).unwrap_or_default().to_owned(),
            subjects,
            namespace,
        }
    }

    fn role_key(&self) -> (String, String, String) {
        let namespace = if self.role_kind == "ClusterRole" { String::new() } else { self.namespace.clone() };
        (self.role_kind.clone(), namespace, self.role_name.clone())
    }

    /// A cluster binding applies everywhere, a binding in its own namespace.
    fn applies(&self, caller: &Caller, namespace: &str) -> bool {
        let here = self.namespace.is_empty() || self.namespace == namespace;
        here && self.subjects.iter().any(|subject| match subject {
            Subject::User(name) => name == caller.name(),
            Subject::Group(name) => caller.in_group(name),
        })
    }

    /// Upstream's words for why something is allowed.
    fn reason(&self, caller: &Caller) -> String {
        let (kind, name) = if self.namespace.is_empty() {
            ("ClusterRoleBinding", self.name.clone())
        } else {
            ("RoleBinding", format!("{}/{}", self.name, self.namespace))
        };
        let group = self.subjects.iter().find_map(|s| match s {
            Subject::Group(group) if caller.in_group(group) => Some(format!("Group \"{group}\"")),
            _ => None,
        });
        let subject = group.unwrap_or_else(|| format!("User \"{}\"", caller.name()));
        format!("RBAC: allowed by {kind} \"{name}\" of {} \"{}\" to {subject}", self.role_kind, self.role_name)
    }
}
