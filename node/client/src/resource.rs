//! What a resource is called on the wire, and what every cached object can tell about itself.
//!
//! It must not know any single kind; names of built-in kinds come from their types.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A resource as its URL names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceRef {
    /// API group; empty for the core group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Plural name, the URL's segment.
    pub plural: String,
    /// Kind of its objects.
    pub kind: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

impl ResourceRef {
    /// The resource of a typed kind.
    #[must_use]
    pub fn of<T: Object>() -> ResourceRef {
        let scope = std::any::type_name::<T::Scope>();
        ResourceRef::built_in([T::GROUP, T::VERSION, T::URL_PATH_SEGMENT, T::KIND], scope)
    }

    fn built_in(names: [&str; 4], scope: &str) -> ResourceRef {
        let [group, version, plural, kind] = names.map(str::to_owned);
        ResourceRef { group, version, plural, kind, namespaced: scope.ends_with("NamespaceResourceScope") }
    }

    /// `v1` or `group/version`.
    #[must_use]
    pub fn api_version(&self) -> String {
        api::meta::join_api_version(&self.group, &self.version)
    }

    /// The path of the collection, in a namespace or across all of them (empty namespace).
    #[must_use]
    pub fn path(&self, namespace: &str) -> String {
        let root = if self.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", self.group) };
        if namespace.is_empty() || !self.namespaced {
            format!("{root}/{}/{}", self.version, self.plural)
        } else {
            format!("{root}/{}/namespaces/{namespace}/{}", self.version, self.plural)
        }
    }
}

impl fmt::Display for ResourceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() { f.write_str(&self.plural) } else { write!(f, "{}.{}", self.plural, self.group) }
    }
}

/// A kind that can be read, cached and written: any top-level type of `k8s-openapi`, and [`Partial`].
pub trait Object:
    k8s_openapi::Resource
    + k8s_openapi::Metadata<Ty = ObjectMeta>
    + Serialize
    + DeserializeOwned
    + Clone
    + fmt::Debug
    + Send
    + Sync
    + 'static
{
}

impl<T> Object for T where
    T: k8s_openapi::Resource
        + k8s_openapi::Metadata<Ty = ObjectMeta>
        + Serialize
        + DeserializeOwned
        + Clone
        + fmt::Debug
        + Send
        + Sync
        + 'static
{
}

/// What is asked of an object's metadata all the time; absent text reads as empty.
pub trait Meta {
    /// The metadata itself.
    fn meta(&self) -> &ObjectMeta;

    /// The name.
    fn name(&self) -> &str {
        self.meta().name.as_deref().unwrap_or_default()
    }
    /// The namespace.
    fn namespace(&self) -> &str {
        self.meta().namespace.as_deref().unwrap_or_default()
    }
    /// The uid.
    fn uid(&self) -> &str {
        self.meta().uid.as_deref().unwrap_or_default()
    }
    /// The resourceVersion as text.
    fn resource_version(&self) -> &str {
        self.meta().resource_version.as_deref().unwrap_or_default()
    }
    /// The resourceVersion as a number, 0 when it is none.
    fn revision(&self) -> u64 {
        self.resource_version().parse().unwrap_or(0)
    }
    /// One label.
    fn label(&self, key: &str) -> Option<&str> {
        self.meta().labels.as_ref()?.get(key).map(String::as_str)
    }
    /// One annotation.
    fn annotation(&self, key: &str) -> Option<&str> {
        self.meta().annotations.as_ref()?.get(key).map(String::as_str)
    }
    /// The owner that controls it.
    fn controller(&self) -> Option<&OwnerReference> {
        self.meta().owner_references.as_deref().unwrap_or_default().iter().find(|owner| owner.controller == Some(true))
    }
    /// Whether its deletion was asked for.
    fn is_deleting(&self) -> bool {
        self.meta().deletion_timestamp.is_some()
    }
    /// Whether a finalizer holds it.
    fn has_finalizer(&self, name: &str) -> bool {
        self.meta().finalizers.as_deref().unwrap_or_default().iter().any(|f| f == name)
    }
    /// The generation; 0 when there is none.
    fn generation(&self) -> i64 {
        self.meta().generation.unwrap_or(0)
    }
    /// Namespace and name.
    fn key(&self) -> ObjectKey {
        ObjectKey::new(self.namespace(), self.name())
    }
}

impl<T: k8s_openapi::Metadata<Ty = ObjectMeta>> Meta for T {
    fn meta(&self) -> &ObjectMeta {
        self.metadata()
    }
}

/// Namespace and name of an object of a known kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// The namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl ObjectKey {
    /// A key from its parts.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> ObjectKey {
        ObjectKey { namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

/// An object of any kind of which only the metadata is looked at (`PartialObjectMetadata`).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Partial {
    /// Of the object, or of `PartialObjectMetadata` itself.
    pub api_version: String,
    /// As `api_version`.
    pub kind: String,
    /// The metadata.
    pub metadata: ObjectMeta,
}

impl k8s_openapi::Resource for Partial {
    const API_VERSION: &'static str = "meta.k8s.io/v1";
    const GROUP: &'static str = "meta.k8s.io";
    const KIND: &'static str = "PartialObjectMetadata";
    const VERSION: &'static str = "v1";
    const URL_PATH_SEGMENT: &'static str = "";
    type Scope = k8s_openapi::NamespaceResourceScope;
}

impl k8s_openapi::Metadata for Partial {
    type Ty = ObjectMeta;
    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::apps::v1::Deployment;
    use k8s_openapi::api::core::v1::{Node, Pod};

    #[test]
    fn paths_follow_group_and_scope() {
        assert_eq!(ResourceRef::of::<Pod>().path("a"), "/api/v1/namespaces/a/pods");
        assert_eq!(ResourceRef::of::<Pod>().path(""), "/api/v1/pods");
        assert_eq!(ResourceRef::of::<Node>().path("ignored"), "/api/v1/nodes");
        assert_eq!(ResourceRef::of::<Deployment>().path("a"), "/apis/apps/v1/namespaces/a/deployments");
    }
}
