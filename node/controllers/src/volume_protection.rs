//! Keeps claims that pods use, and volumes that claims use, from vanishing under them, by a finalizer on each.
//! Behaviour as upstream's `pkg/controller/volume/pvcprotection` and `pvprotection`.
//!
//! It must not bind volumes.

use crate::context::{Context, Keys, Life, feed};
use crate::pod::is_finished;
use api::Status;
use client::{After, Client, Meta, Object, ObjectKey, Patch};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use serde_json::json;

/// On claims.
pub const CLAIM: &str = "kubernetes.io/pvc-protection";
/// On volumes.
pub const VOLUME: &str = "kubernetes.io/pv-protection";

/// The finalizers an object should have; `None` when it has them.
#[must_use]
pub fn plan(object: &impl Meta, finalizer: &str, in_use: bool) -> Option<Vec<String>> {
    let mut all = object.meta().finalizers.clone().unwrap_or_default();
    match (object.is_deleting(), object.has_finalizer(finalizer)) {
        (false, false) => all.push(finalizer.to_owned()),
        (true, true) if !in_use => all.retain(|f| f != finalizer),
        _ => return None,
    }
    Some(all)
}

async fn carry_out<T: Object>(client: &Client, object: &T, finalizers: Option<Vec<String>>) -> Result<After, Status> {
    let Some(finalizers) = finalizers else { return Ok(After::Done) };
    let change = json!({"metadata": {"resourceVersion": object.resource_version(), "finalizers": finalizers}});
    let api = client.of::<T>();
    match api.patch(object.namespace(), object.name(), "", &Patch::Merge(change)).await {
        Err(status) if !status.is_not_found() => Err(status),
        _ => Ok(After::Done),
    }
}

/// The claims a pod uses, its own ephemeral ones among them.
fn claims_of(pod: &Pod) -> Vec<String> {
    let volumes = pod.spec.iter().flat_map(|s| s.volumes.iter().flatten());
    volumes
        .filter_map(|v| match (&v.persistent_volume_claim, &v.ephemeral) {
            (Some(claim), _) => Some(claim.claim_name.clone()),
            (None, Some(_)) => Some(format!("{}-{}", pod.name(), v.name)),
            (None, None) => None,
        })
        .collect()
}

/// Runs the controller of claims.
pub fn start_claims(context: Context) -> Life {
    Box::pin(async move {
        let keys: Keys = Default::default();
        let claims = context.informers.of::<PersistentVolumeClaim>();
        let pods = context.informers.of::<Pod>();
        feed(&claims, &keys);
        let fed = keys.clone();
        pods.on_change(move |change| {
            if change.new.as_ref().is_none_or(|p| is_finished(p)) {
                let pod = change.latest();
                claims_of(pod).iter().for_each(|name| fed.add(ObjectKey::new(pod.namespace(), name)));
            }
        });
        claims.synced().await;
        pods.synced().await;
        let look = |key: ObjectKey| {
            let (context, claim) = (&context, claims.get(&key));
            let users = pods.in_namespace(&key.namespace);
            async move {
                let Some(claim) = claim else { return Ok(After::Done) };
                let uses = |pod: &Pod| {
                    let placed = pod.spec.as_ref().is_some_and(|s| s.node_name.is_some());
                    placed && !is_finished(pod) && claims_of(pod).contains(&key.name)
                };
                let in_use = users.iter().any(|pod| uses(pod));
                carry_out(&context.client, claim.as_ref(), plan(claim.as_ref(), CLAIM, in_use)).await
            }
        };
        context.work("pvc-protection", &keys, look).await;
    })
}

/// Runs the controller of volumes: another account, because upstream's policy lets each change only its own kind.
pub fn start_volumes(context: Context) -> Life {
    Box::pin(async move {
        let keys: Keys = Default::default();
        let volumes = context.informers.of::<PersistentVolume>();
        feed(&volumes, &keys);
        volumes.synced().await;
        let look = |key: ObjectKey| {
            let (context, volume) = (&context, volumes.get(&key));
            async move {
                let Some(volume) = volume else { return Ok(After::Done) };
                let in_use = volume.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Bound");
                carry_out(&context.client, volume.as_ref(), plan(volume.as_ref(), VOLUME, in_use)).await
            }
        };
        context.work("pv-protection", &keys, look).await;
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_controller_has_the_account_that_may_change_its_kind() {
        for (name, account) in [
            ("pvc-protection-controller", "pvc-protection-controller"),
            ("pv-protection-controller", "pv-protection-controller"),
        ] {
            let controller = crate::CONTROLLERS.iter().find(|c| c.name == name).unwrap();
            assert_eq!(controller.account, account);
        }
    }

    #[test]
    fn the_finalizer_comes_at_once_and_goes_when_nobody_uses_the_object() {
        let claim = |meta: serde_json::Value| -> PersistentVolumeClaim {
            serde_json::from_value(json!({"metadata": meta})).unwrap()
        };
        assert_eq!(plan(&claim(json!({})), CLAIM, false), Some(vec![CLAIM.to_owned()]));
        let going = claim(json!({"finalizers": [CLAIM, "x"], "deletionTimestamp": "2026-01-01T00:00:00Z"}));
        assert_eq!(plan(&going, CLAIM, true), None);
        assert_eq!(plan(&going, CLAIM, false), Some(vec!["x".to_owned()]));
    }
}
