//! Ownership: the reference that marks a controller, and the pure decision which children to adopt or let go, as
//! upstream's `controller_ref_manager.go`.
//!
//! It must not know any kind.

use api::Status;
use client::{Api, Meta, Object, Patch};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::json;
use std::sync::Arc;

/// The reference by which an object controls others.
#[must_use]
pub fn controlled_by<T: Object>(owner: &T) -> OwnerReference {
    OwnerReference {
        api_version: T::API_VERSION.to_owned(),
        kind: T::KIND.to_owned(),
        name: owner.name().to_owned(),
        uid: owner.uid().to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// Whether `child` is controlled by the object with this uid.
#[must_use]
pub fn controls(uid: &str, child: &impl Meta) -> bool {
    child.controller().is_some_and(|owner| owner.uid == uid)
}

/// What to do about the children of one owner.
#[derive(Debug)]
pub struct Claim<C> {
    /// Controlled already and wanted.
    pub owned: Vec<Arc<C>>,
    /// Wanted, and nobody's.
    pub adopt: Vec<Arc<C>>,
    /// Controlled, and no longer wanted.
    pub release: Vec<Arc<C>>,
}

/// Sorts children by what is to be done. An owner that is being deleted adopts and releases nothing.
pub fn claim<C: Object>(uid: &str, deleting: bool, children: Vec<Arc<C>>, wants: impl Fn(&C) -> bool) -> Claim<C> {
    let mut claim = Claim { owned: Vec::new(), adopt: Vec::new(), release: Vec::new() };
    for child in children {
        match child.controller() {
            Some(owner) if owner.uid != uid => (),
            Some(_) if wants(&child) => claim.owned.push(child),
            Some(_) if !deleting => claim.release.push(child),
            Some(_) => (),
            None if !deleting && !child.is_deleting() && wants(&child) => claim.adopt.push(child),
            None => (),
        }
    }
    claim
}

/// Carries a claim out; the children that are owned afterwards. `still_there` asks the server whether the owner lives,
/// once, before the first adoption.
///
/// # Errors
/// The server's `Status`; a child that vanished meanwhile is no error.
pub async fn settle<C: Object>(
    api: &Api<C>,
    owner: &OwnerReference,
    claim: Claim<C>,
    still_there: impl Future<Output = Result<bool, Status>>,
) -> Result<Vec<Arc<C>>, Status> {
    let mut owned = claim.owned;
    for child in claim.release {
        let change = json!({"metadata": {"uid": child.uid(),
            "ownerReferences": [{"$patch": "delete", "uid": owner.uid}]}});
        match api.patch(child.namespace(), child.name(), "", &Patch::Strategic(change)).await {
            // 404: gone; 422: the uid differs, so another object has its name now.
            Err(status) if !matches!(status.code, 404 | 422) => return Err(status),
            _ => (),
        }
    }
    if claim.adopt.is_empty() || !still_there.await? {
        return Ok(owned);
    }
    for child in claim.adopt {
        let change = json!({"metadata": {"uid": child.uid(), "ownerReferences": [owner]}});
        match api.patch(child.namespace(), child.name(), "", &Patch::Strategic(change)).await {
            Ok(adopted) => owned.push(Arc::new(adopted)),
            Err(status) if matches!(status.code, 404 | 422) => (),
            Err(status) => return Err(status),
        }
    }
    Ok(owned)
}

/// Whether the server still has the owner, alive, under its uid.
///
/// # Errors
/// The server's `Status`, other than 404.
pub async fn lives<O: Object>(api: &Api<O>, owner: &O) -> Result<bool, Status> {
    let there = api.find(owner.namespace(), owner.name()).await?;
    Ok(there.is_some_and(|o| o.uid() == owner.uid() && !o.is_deleting()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Pod;

    fn pod(name: &str, owner: &str, label: &str) -> Arc<Pod> {
        let mut tree = json!({"metadata": {"name": name, "labels": {"app": label}}});
        if !owner.is_empty() {
            tree["metadata"]["ownerReferences"] =
                json!([{"apiVersion": "v1", "kind": "X", "name": "x", "uid": owner, "controller": true}]);
        }
        Arc::new(serde_json::from_value(tree).unwrap())
    }

    fn names(pods: &[Arc<Pod>]) -> Vec<&str> {
        pods.iter().map(|p| p.name()).collect()
    }

    fn children() -> Vec<Arc<Pod>> {
        vec![pod("mine", "u", "a"), pod("strayed", "u", "b"), pod("free", "", "a"), pod("other", "v", "a")]
    }

    #[test]
    fn matching_orphans_are_adopted_and_strays_released() {
        let claim = claim("u", false, children(), |p| p.label("app") == Some("a"));
        assert_eq!(names(&claim.owned), ["mine"]);
        assert_eq!(names(&claim.adopt), ["free"]);
        assert_eq!(names(&claim.release), ["strayed"]);
    }

    #[test]
    fn an_owner_that_goes_neither_adopts_nor_releases() {
        let claim = claim("u", true, children(), |p| p.label("app") == Some("a"));
        assert_eq!((names(&claim.owned), claim.adopt.len(), claim.release.len()), (vec!["mine"], 0, 0));
    }
}
