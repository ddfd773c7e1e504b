//! Admission: what changes or refuses a write after authorization. One file a plugin, one line each in one table, in
//! upstream's order; mutating first, then validating, quota last.

mod certificates;
mod lifecycle;
mod limits;
mod nodes;
mod pod_security;
mod pods;
mod quota;
mod service_account;
mod storage;

use crate::call::Call;
use crate::server::Server;
use api::{Status, Tree};

/// What a write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new object.
    Create,
    /// A changed object.
    Update,
    /// An object that goes.
    Delete,
    /// A connection to something behind an object.
    Connect,
}

/// What a plugin looks at.
pub struct Attributes<'a> {
    /// The server, to read other objects.
    pub server: &'a Server,
    /// The request.
    pub call: &'a Call,
    /// What it does.
    pub operation: Operation,
    /// The object before; absent on create.
    pub old: Option<&'a Tree>,
}

impl Attributes<'_> {
    /// Whether the write is of this resource itself, not of a subresource.
    #[must_use]
    pub fn is(&self, group: &str, plural: &str) -> bool {
        self.is_sub(group, plural, "")
    }

    /// Whether the write is of this subresource.
    #[must_use]
    pub fn is_sub(&self, group: &str, plural: &str, subresource: &str) -> bool {
        let resource = &self.call.resource;
        resource.group == group && resource.plural == plural && self.call.info.subresource == subresource
    }

    /// Whether it creates an object of this resource.
    #[must_use]
    pub fn creates(&self, group: &str, plural: &str) -> bool {
        self.operation == Operation::Create && self.is(group, plural)
    }

    /// A 403 about the object of the write.
    pub fn forbidden(&self, name: &str, why: impl std::fmt::Display) -> Status {
        Status::forbidden(&self.call.resource.named(), name, why)
    }
}

type Mutate = fn(&Attributes, &mut Tree) -> Result<(), Status>;
type Validate = fn(&Attributes, Option<&Tree>) -> Result<(), Status>;

/// One plugin.
struct Plugin {
    /// Upstream's name of it.
    name: &'static str,
    mutate: Option<Mutate>,
    validate: Option<Validate>,
}

const fn mutating(name: &'static str, mutate: Mutate) -> Plugin {
    Plugin { name, mutate: Some(mutate), validate: None }
}

const fn validating(name: &'static str, validate: Validate) -> Plugin {
    Plugin { name, mutate: None, validate: Some(validate) }
}

const fn both(name: &'static str, mutate: Mutate, validate: Validate) -> Plugin {
    Plugin { name, mutate: Some(mutate), validate: Some(validate) }
}

/// The plugins in the order of `k8s.io/kubernetes/pkg/kubeapiserver/options/plugins.go`. Webhooks and policies come
/// behind the last mutating and the last validating one, before quota.
const PLUGINS: &[Plugin] = &[
    mutating("NamespaceLifecycle", lifecycle::namespace),
    validating("NamespaceLifecycle", lifecycle::namespace_deletion),
    both("LimitRanger", limits::mutate, limits::validate),
    both("ServiceAccount", service_account::mutate, service_account::validate),
    mutating("TaintNodesByCondition", nodes::taint_new),
    validating("PodSecurity", pod_security::validate),
    mutating("Priority", pods::priority),
    mutating("DefaultTolerationSeconds", pods::default_tolerations),
    mutating("DefaultStorageClass", storage::default_class),
    mutating("CertificateRequester", certificates::requester),
    mutating("StorageObjectInUseProtection", storage::protect_in_use),
    both("RuntimeClass", pods::runtime_class, pods::runtime_class_overhead),
    validating("Priority", pods::one_default_priority),
    validating("PersistentVolumeClaimResize", storage::resize),
];

/// Changes an object.
///
/// # Errors
/// What a plugin refuses it with.
pub async fn mutate(
    server: &Server,
    call: &Call,
    operation: Operation,
    object: &mut Tree,
    old: Option<&Tree>,
) -> Result<(), Status> {
    let attributes = Attributes { server, call, operation, old };
    service_account::wait_for_default(&attributes, object).await?;
    for plugin in PLUGINS {
        if let Some(mutate) = plugin.mutate {
            mutate(&attributes, object).inspect_err(|status| refused(plugin.name, status))?;
        }
    }
    Ok(())
}

/// Refuses an object, or counts it.
///
/// # Errors
/// What a plugin refuses it with.
pub async fn validate(
    server: &Server,
    call: &Call,
    operation: Operation,
    object: Option<&Tree>,
    old: Option<&Tree>,
) -> Result<(), Status> {
    let attributes = Attributes { server, call, operation, old };
    for plugin in PLUGINS {
        if let Some(validate) = plugin.validate {
            validate(&attributes, object).inspect_err(|status| refused(plugin.name, status))?;
        }
    }
    match object {
        Some(object) => quota::admit(&attributes, object).await.inspect_err(|s| refused("ResourceQuota", s)),
        None => Ok(()),
    }
}

fn refused(plugin: &str, status: &Status) {
    tracing::debug!(plugin, message = status.message, "admission refused a write");
}
