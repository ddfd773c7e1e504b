//! `persistentVolumeClaim`: the volume that the claim is bound to, which has to be a `hostPath` or a `local` one.
//! Rules as upstream's desired-state populator.

use super::plugin::{Job, Place, Work};
use super::reclaim::{PROVISIONED_BY, PROVISIONER};
use super::{host_path, local};
use client::Meta;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};

/// Which claim.
pub struct Asked<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether the pod wants it read-only.
    pub read_only: bool,
    /// Whether the claim has to be the pod's own.
    pub owned: bool,
}

/// See [`super::Plugin::set_up`].
pub fn set_up(job: Job<'_>) -> Work<'_> {
    Box::pin(async move {
        let source = job.volume.persistent_volume_claim.as_ref();
        let name = source.map(|s| s.claim_name.clone()).unwrap_or_default();
        let read_only = source.is_some_and(|s| s.read_only == Some(true));
        bring(&job, Asked { name: &name, read_only, owned: false }).await
    })
}

/// Makes the volume of a claim ready.
///
/// # Errors
/// In upstream's words.
pub async fn bring(job: &Job<'_>, asked: Asked<'_>) -> Result<Place, String> {
    let (namespace, name) = (job.namespace(), asked.name);
    let claim = job.objects.claim(namespace, name).await;
    let claim = claim.map_err(|status| format!("failed to fetch PVC from API server: {status}"))?;
    let claim = claim
        .ok_or_else(|| format!("failed to fetch PVC from API server: persistentvolumeclaims {name:?} not found"))?;
    if asked.owned && claim.controller().is_none_or(|owner| owner.uid != job.pod.uid()) {
        let pod = job.pod.name();
        return Err(format!("PVC {namespace}/{name} was not created for pod {namespace}/{pod} (pod is not owner)"));
    }
    let bound = bound_to(&claim)?;
    let volume = job.objects.volume(bound).await;
    let volume = volume.map_err(|status| format!("failed to get PV {bound:?}: {status}"))?;
    let volume = volume.ok_or_else(|| format!("failed to get PV {bound:?}: persistentvolumes {bound:?} not found"))?;
    fits(&volume, &claim)?;
    let spec = volume.spec.clone().unwrap_or_default();
    let modes = spec.access_modes.as_deref().unwrap_or_default();
    let read_only = asked.read_only || (!modes.is_empty() && modes.iter().all(|mode| mode == "ReadOnlyMany"));
    if let Some(source) = &spec.host_path {
        if volume.annotation(PROVISIONED_BY) == Some(PROVISIONER) && !source.path.split('/').any(|part| part == "..") {
            host_path::make_open(&source.path).await?;
        }
        return host_path::bring(&source.path, source.type_.as_deref().unwrap_or_default(), read_only).await;
    }
    if let Some(source) = &spec.local {
        return local::bring(job, volume.name(), &source.path, read_only).await;
    }
    Err(format!("PV {bound:?} is neither hostPath nor local: no volume plugin matched"))
}

fn bound_to(claim: &PersistentVolumeClaim) -> Result<&str, String> {
    if claim.is_deleting() {
        return Err("PVC is being deleted".to_owned());
    }
    let phase = claim.status.as_ref().and_then(|s| s.phase.as_deref()).unwrap_or_default();
    let volume = claim.spec.as_ref().and_then(|s| s.volume_name.as_deref()).unwrap_or_default();
    if phase != "Bound" || volume.is_empty() {
        return Err("PVC is not bound".to_owned());
    }
    Ok(volume)
}

fn fits(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Result<(), String> {
    let kept_for = volume.spec.as_ref().and_then(|s| s.claim_ref.as_ref());
    let uid = kept_for.and_then(|r| r.uid.as_deref()).unwrap_or_default();
    if kept_for.is_none() {
        return Err(format!(
            "found PV object {:?} but it has a nil pv.Spec.ClaimRef indicating it is not yet bound to the claim",
            volume.name()
        ));
    }
    if uid != claim.uid() {
        return Err(format!(
            "found PV object {:?} but its pv.Spec.ClaimRef.UID {uid} does not point to claim.UID {}",
            volume.name(),
            claim.uid()
        ));
    }
    let block = |mode: Option<&String>| mode.is_some_and(|m| m == "Block");
    if block(claim.spec.as_ref().and_then(|s| s.volume_mode.as_ref())) {
        return Err("volumeMode Block is not supported on this node; use Filesystem".to_owned());
    }
    Ok(())
}
