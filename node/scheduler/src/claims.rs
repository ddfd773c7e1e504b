//! What a pod's claims ask of its node: where bound volumes can be reached, and which claims have yet to get a volume
//! on the node that is chosen. Pure. Rules as upstream's `volumebinding` plugin.
//!
//! It must not choose the node.

use api::Tree;
use client::Meta;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use std::sync::Arc;

/// On claims: the node that the scheduler chose for their first pod.
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
const BOUND: &str = "pv.kubernetes.io/bind-completed";

/// What the claims ask for.
#[derive(Debug, Default)]
pub struct Needs {
    /// NodeSelectors that the node has to match.
    pub reach: Vec<Tree>,
    /// Claims whose volume is made once a node is chosen.
    pub unmade: Vec<Arc<PersistentVolumeClaim>>,
    /// The node chosen before, when all of [`Needs::unmade`] have the same.
    pub chosen: Option<String>,
}

/// Looks at every claim of a pod. `waits` says whether a class binds only when there is a pod.
///
/// # Errors
/// Why the pod cannot have any node yet, in upstream's words.
pub fn needs(
    pod: &Pod,
    claim: impl Fn(&str) -> Option<Arc<PersistentVolumeClaim>>,
    volume: impl Fn(&str) -> Option<Arc<PersistentVolume>>,
    waits: impl Fn(&str) -> bool,
) -> Result<Needs, String> {
    let mut needs = Needs::default();
    for used in pod.spec.iter().flat_map(|s| s.volumes.iter().flatten()) {
        let name = match (&used.persistent_volume_claim, &used.ephemeral) {
            (Some(claim), _) => claim.claim_name.clone(),
            (None, Some(_)) => format!("{}-{}", pod.name(), used.name),
            (None, None) => continue,
        };
        let found = claim(&name).ok_or_else(|| format!("persistentvolumeclaim {name:?} not found"))?;
        if found.is_deleting() {
            return Err(format!("persistentvolumeclaim {name:?} is being deleted"));
        }
        let spec = found.spec.as_ref();
        let bound_to = spec.and_then(|s| s.volume_name.as_deref()).filter(|v| !v.is_empty());
        match bound_to.filter(|_| found.annotation(BOUND).is_some()) {
            Some(name) => needs.reach.extend(volume(name).and_then(|v| reach(&v))),
            None if waits(spec.and_then(|s| s.storage_class_name.as_deref()).unwrap_or_default()) => {
                needs.unmade.push(found);
            }
            None => return Err("pod has unbound immediate PersistentVolumeClaims".to_owned()),
        }
    }
    let first = needs.unmade.first().and_then(|c| c.annotation(SELECTED_NODE));
    let same = needs.unmade.iter().all(|c| c.annotation(SELECTED_NODE) == first);
    needs.chosen = first.filter(|_| same).map(str::to_owned);
    Ok(needs)
}

fn reach(volume: &PersistentVolume) -> Option<Tree> {
    let required = volume.spec.as_ref()?.node_affinity.as_ref()?.required.as_ref()?;
    let json = serde_json::to_vec(required).ok()?;
    Tree::from_json(&json).ok().map(|decoded| decoded.tree)
}
