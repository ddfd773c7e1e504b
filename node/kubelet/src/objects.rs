//! The objects that pods refer to: ConfigMaps, Secrets, claims, volumes, Services, and tokens of service accounts.
//!
//! ConfigMaps and Secrets are watched one by one, and only while a pod of this node holds them: a change reaches the
//! files of the pod at once, an object that was missing wakes the pod that waits for it, and an idle node wakes nobody
//! (upstream's default `configMapAndSecretChangeDetectionStrategy: Watch`). Claims and volumes are read when a pod is
//! set up and at no other time, so they are plain GETs. It must not know what the objects are used for.

mod cached;
#[cfg(test)]
pub mod fake;
mod names;

pub use cached::{Cached, SYNC_WAIT};
pub use names::{Names, names_of};

use api::Status;
use k8s_openapi::api::authentication::v1::{TokenRequestSpec, TokenRequestStatus};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolume, PersistentVolumeClaim, Pod, Secret, Service};
use std::pin::Pin;
use std::sync::Arc;

/// An answer on its way. Errors are the server's `Status`; an object that is not there is `None`, not an error.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Status>> + Send + 'a>>;

/// Where the kubelet finds what pods refer to.
pub trait Objects: Send + Sync {
    /// Begins to follow what the pod refers to; called whenever its spec is (again) accepted. Cheap when nothing is new.
    fn hold(&self, pod: &Pod);
    /// The pod with this uid is gone from the node: what nobody else holds is forgotten.
    fn release(&self, uid: &str);
    /// A ConfigMap.
    fn config_map<'a>(&'a self, namespace: &'a str, name: &'a str) -> Answer<'a, Option<Arc<ConfigMap>>>;
    /// A Secret.
    fn secret<'a>(&'a self, namespace: &'a str, name: &'a str) -> Answer<'a, Option<Arc<Secret>>>;
    /// A PersistentVolumeClaim.
    fn claim<'a>(&'a self, namespace: &'a str, name: &'a str) -> Answer<'a, Option<Arc<PersistentVolumeClaim>>>;
    /// A PersistentVolume.
    fn volume<'a>(&'a self, name: &'a str) -> Answer<'a, Option<Arc<PersistentVolume>>>;
    /// The Services of a namespace.
    fn services<'a>(&'a self, namespace: &'a str) -> Answer<'a, Vec<Arc<Service>>>;
    /// A new token of a service account.
    fn token<'a>(
        &'a self,
        namespace: &'a str,
        account: &'a str,
        spec: TokenRequestSpec,
    ) -> Answer<'a, TokenRequestStatus>;
}
