//! Authorization: may this user do this? By RBAC objects in the store, for nodes by what the node's pods use, and
//! always for `system:masters`.

pub mod bootstrap;
pub mod node;
mod rbac;
mod rules;

use crate::caller::{Caller, MASTERS};
use crate::catalog::Catalog;
use crate::request::RequestInfo;
use api::Status;
use arc_swap::ArcSwap;
use std::sync::Arc;
use store::Store;

pub use rules::{PolicyRule, Reviewed};

/// What is asked of authorization.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Action {
    /// `get`, `list`, `create` …
    pub verb: String,
    /// API group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Plural resource.
    pub resource: String,
    /// Subresource.
    pub subresource: String,
    /// Namespace; empty for cluster-scoped and for all.
    pub namespace: String,
    /// Object.
    pub name: String,
    /// Path, for what is no resource.
    pub path: String,
    /// Whether it is about a resource.
    pub is_resource: bool,
    /// What a list or watch is narrowed to: fields that must have exactly these values.
    pub fields: Vec<(String, String)>,
}

impl Action {
    /// Whether a list or watch is narrowed to objects whose field has this value.
    #[must_use]
    pub fn selects(&self, field: &str, value: &str) -> bool {
        self.fields.iter().any(|(known, wanted)| known == field && wanted == value)
    }
}

impl From<&RequestInfo> for Action {
    fn from(info: &RequestInfo) -> Action {
        Action {
            verb: info.verb.clone(),
            group: info.group.clone(),
            version: info.version.clone(),
            resource: info.resource.clone(),
            subresource: info.subresource.clone(),
            namespace: info.namespace.clone(),
            name: info.name.clone(),
            path: info.path.clone(),
            is_resource: info.is_resource,
            fields: info.fields.clone(),
        }
    }
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may be.
    pub allowed: bool,
    /// Why, for reviews and audit.
    pub reason: String,
}

/// Decides by the objects in the store.
pub struct Authorizer {
    rbac: rbac::Rbac,
    nodes: node::Nodes,
}

impl Authorizer {
    /// An authorizer over the roles and bindings of a store.
    #[must_use]
    pub fn new(store: Store, catalog: Arc<ArcSwap<Catalog>>) -> Authorizer {
        Authorizer { nodes: node::Nodes::new(store.clone(), catalog.clone()), rbac: rbac::Rbac::new(store, catalog) }
    }

    /// Whether a user may do something.
    #[must_use]
    pub fn decide(&self, caller: &Caller, action: &Action) -> Decision {
        if caller.in_group(MASTERS) {
            return Decision { allowed: true, reason: String::new() };
        }
        if self.nodes.allows(caller, action) {
            return Decision { allowed: true, reason: String::new() };
        }
        self.rbac.decide(caller, action)
    }

    /// The rules that apply to a user in a namespace, for `SelfSubjectRulesReview` and the check against escalation.
    #[must_use]
    pub fn rules(&self, caller: &Caller, namespace: &str) -> Reviewed {
        let mut reviewed = self.rbac.rules(caller, namespace);
        if caller.in_group(MASTERS) {
            reviewed.rules.insert(0, PolicyRule::everything());
            reviewed.rules.insert(1, PolicyRule::every_path());
        }
        reviewed
    }

    /// The rules of a role that a binding refers to.
    #[must_use]
    pub fn role_rules(&self, kind: &str, namespace: &str, name: &str) -> Option<Vec<PolicyRule>> {
        self.rbac.role_rules(kind, namespace, name)
    }

    /// Refuses what a user may not do.
    ///
    /// # Errors
    /// 403 in upstream's words; it names the user, the verb and the resource.
    pub fn check(&self, caller: &Caller, action: &Action) -> Result<(), Status> {
        let decision = self.decide(caller, action);
        if decision.allowed { Ok(()) } else { Err(refusal(caller, action)) }
    }
}

/// What a refused user is told; as `k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/errors.go` words it.
fn refusal(caller: &Caller, action: &Action) -> Status {
    let user = api::Tree::text(caller.name()).to_json_text();
    if !action.is_resource {
        let why = format!("User {user} cannot {} path \"{}\"", action.verb, action.path);
        return Status::forbidden(&api::status::GroupName::default(), "", why);
    }
    let mut resource = action.resource.clone();
    if !action.subresource.is_empty() {
        resource = format!("{resource}/{}", action.subresource);
    }
    let scope = if action.namespace.is_empty() {
        " at the cluster scope".to_owned()
    } else {
        format!(" in the namespace \"{}\"", action.namespace)
    };
    let why =
        format!("User {user} cannot {} resource \"{resource}\" in API group \"{}\"{scope}", action.verb, action.group);
    let named = api::status::GroupName::new(action.group.as_str(), action.resource.as_str());
    Status::forbidden(&named, &action.name, why)
}
