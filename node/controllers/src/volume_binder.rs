//! The persistent volume controller: brings claims and volumes together and makes volumes for claims of the built-in
//! class as directories on the node. Behaviour as upstream's `pkg/controller/volume/persistentvolume`.
//!
//! It must not mount anything; the directory itself is made by the kubelet (`DirectoryOrCreate`).

use crate::context::{Context, Keys, Life, feed, selects};
use crate::status;
use api::Status;
use client::{After, DeleteOptions, Meta, ObjectKey, Patch, Store};
use k8s_openapi::api::core::v1::{
    Node, PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimStatus, PersistentVolumeStatus,
};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::json;
use std::sync::Arc;

/// The provisioner of the built-in class.
pub const PROVISIONER: &str = "skerry.io/host-path";
/// Holds a volume of ours until the node it is on has removed its folder (kubelet, `volumes/reclaim.rs`).
pub const FOLDER: &str = "skerry.io/host-path";
/// The built-in class.
pub const CLASS: &str = "standard";
const IS_DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";
const BOUND: &str = "pv.kubernetes.io/bind-completed";
const BOUND_BY_US: &str = "pv.kubernetes.io/bound-by-controller";
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
const HOSTNAME: &str = "kubernetes.io/hostname";
const WANTED_PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";

/// What a claim needs.
#[derive(Debug)]
pub enum Step {
    /// Nothing; it is bound and well.
    Keep,
    /// Its volume is gone.
    Lose,
    /// To be bound to this volume.
    Bind(Arc<PersistentVolume>),
    /// A volume has to be made here.
    Provision,
    /// Somebody else makes the volume, or nobody does: why it waits.
    Wait(&'static str, String),
}

fn class(claim: &PersistentVolumeClaim) -> &str {
    claim.spec.as_ref().and_then(|s| s.storage_class_name.as_deref()).unwrap_or_default()
}

/// Bytes of a quantity; one that cannot be read counts as none.
#[must_use]
pub fn bytes(quantity: &Quantity) -> i64 {
    api::Quantity::parse(&quantity.0).map_or(0, |q| q.value())
}

fn asked(claim: &PersistentVolumeClaim) -> i64 {
    let requests = claim.spec.as_ref().and_then(|s| s.resources.as_ref()?.requests.as_ref()?.get("storage"));
    requests.map_or(0, bytes)
}

fn size(volume: &PersistentVolume) -> i64 {
    volume.spec.as_ref().and_then(|s| s.capacity.as_ref()?.get("storage")).map_or(0, bytes)
}

/// Whether a volume is kept for this very claim.
fn is_for(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    volume.spec.as_ref().and_then(|s| s.claim_ref.as_ref()).is_some_and(|r| {
        let same_uid = r.uid.as_deref().is_none_or(|uid| uid.is_empty() || uid == claim.uid());
        r.name.as_deref() == Some(claim.name()) && r.namespace.as_deref() == Some(claim.namespace()) && same_uid
    })
}

fn suits(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let (Some(has), Some(wants)) = (&volume.spec, &claim.spec) else { return false };
    let free = has.claim_ref.is_none() && !volume.is_deleting();
    let mode = |m: &Option<String>| m.clone().unwrap_or_else(|| "Filesystem".to_owned());
    let modes = wants.access_modes.iter().flatten().all(|m| has.access_modes.iter().flatten().any(|h| h == m));
    let labels = wants.selector.is_none() || selects(wants.selector.as_ref(), volume.metadata.labels.as_ref());
    free && modes
        && labels
        && has.storage_class_name.as_deref().unwrap_or_default() == class(claim)
        && mode(&has.volume_mode) == mode(&wants.volume_mode)
        && size(volume) >= asked(claim)
}

/// Decides about a claim.
#[must_use]
pub fn plan(claim: &PersistentVolumeClaim, volumes: &[Arc<PersistentVolume>], class_of: Option<&StorageClass>) -> Step {
    let named = claim.spec.as_ref().and_then(|s| s.volume_name.as_deref()).unwrap_or_default();
    if !named.is_empty() {
        let bound = claim.annotation(BOUND).is_some();
        return match volumes.iter().find(|v| v.name() == named) {
            Some(volume) if is_for(volume, claim) || volume.spec.as_ref().is_some_and(|s| s.claim_ref.is_none()) => {
                let done = bound && claim.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Bound");
                if done && is_for(volume, claim) { Step::Keep } else { Step::Bind(volume.clone()) }
            }
            _ if bound => Step::Lose,
            Some(_) => Step::Wait("FailedBinding", format!("volume {named:?} already bound to a different claim.")),
            None => Step::Wait("FailedBinding", format!("volume {named:?} does not exist yet")),
        };
    }
    let kept = volumes.iter().find(|v| is_for(v, claim) && !v.is_deleting());
    let smallest = || volumes.iter().filter(|v| suits(v, claim)).min_by_key(|v| (size(v), v.name().to_owned()));
    if let Some(volume) = kept.or_else(smallest) {
        return Step::Bind(volume.clone());
    }
    let Some(class_of) = class_of else {
        let text = "no persistent volumes available for this claim and no storage class is set";
        return Step::Wait("FailedBinding", text.to_owned());
    };
    let late = class_of.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer");
    if late && claim.annotation(SELECTED_NODE).is_none() {
        let text = "waiting for first consumer to be created before binding";
        return Step::Wait("WaitForFirstConsumer", text.to_owned());
    }
    if class_of.provisioner == PROVISIONER {
        return Step::Provision;
    }
    let text = format!(
        "Waiting for a volume to be created either by the external provisioner '{}' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.",
        class_of.provisioner
    );
    Step::Wait("ExternalProvisioning", text)
}

/// The volume that is made for a claim. Its folder has the volume's own name, so that the node that removes it can tell
/// it from every other path.
fn volume_for(claim: &PersistentVolumeClaim, name: &str, reclaim: &str, root: &str, node: &Node) -> serde_json::Value {
    let spec = claim.spec.as_ref();
    let size = spec.and_then(|s| s.resources.as_ref()?.requests.as_ref()?.get("storage"));
    let hostname = node.label(HOSTNAME).unwrap_or(node.name());
    json!({"apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {PROVISIONED_BY: PROVISIONER}, "finalizers": [FOLDER]},
        "spec": {
            "accessModes": spec.and_then(|s| s.access_modes.clone()),
            "capacity": {"storage": size}, "persistentVolumeReclaimPolicy": reclaim,
            "storageClassName": class(claim), "volumeMode": "Filesystem",
            "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": claim.namespace(),
                         "name": claim.name(), "uid": claim.uid()},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": HOSTNAME, "operator": "In", "values": [hostname]}]}]}},
            "hostPath": {"path": format!("{root}/{name}"), "type": "DirectoryOrCreate"}}})
}

struct Shell<'a> {
    context: &'a Context,
    claims: &'a Arc<Store<PersistentVolumeClaim>>,
    volumes: &'a Arc<Store<PersistentVolume>>,
    classes: &'a Arc<Store<StorageClass>>,
    nodes: &'a Arc<Store<Node>>,
}

/// Runs the controller.
pub fn start(context: Context) -> Life {
    Box::pin(async move {
        let (queue, back): (Keys, Keys) = Default::default();
        let claims = context.informers.of::<PersistentVolumeClaim>();
        let volumes = context.informers.of::<PersistentVolume>();
        let classes = context.informers.of::<StorageClass>();
        let nodes = context.informers.of::<Node>();
        feed(&claims, &queue);
        feed(&volumes, &back);
        let fed = back.clone();
        claims.on_change(move |change| {
            let named = change.latest().spec.as_ref().and_then(|s| s.volume_name.clone());
            named.into_iter().for_each(|name| fed.add(ObjectKey::new("", &name)));
        });
        let (fed, waiting) = (queue.clone(), claims.clone());
        let wake = move || {
            let pending = |c: &PersistentVolumeClaim| c.annotation(BOUND).is_none();
            waiting.all().iter().filter(|c| pending(c)).for_each(|c| fed.add(c.key()));
        };
        let woken = wake.clone();
        volumes.on_change(move |change| {
            let claim = change.latest().spec.as_ref().and_then(|s| s.claim_ref.clone());
            if claim.is_none() || change.new.is_none() || change.old.is_none() {
                woken();
            }
        });
        classes.on_change(move |_| wake());
        claims.synced().await;
        volumes.synced().await;
        classes.synced().await;
        nodes.synced().await;
        let shell = Shell { context: &context, claims: &claims, volumes: &volumes, classes: &classes, nodes: &nodes };
        if let Err(status) = shell.ensure_class().await {
            tracing::warn!(%status, "the built-in storage class could not be made");
        }
        let look_at_claim = |key: ObjectKey| {
            let (shell, claim) = (&shell, claims.get(&key));
            async move {
                match claim {
                    Some(claim) if !claim.is_deleting() => shell.sync_claim(&claim).await,
                    _ => Ok(After::Done),
                }
            }
        };
        let look_at_volume = |key: ObjectKey| {
            let (shell, volume) = (&shell, volumes.get(&key));
            async move {
                match volume {
                    Some(volume) => shell.sync_volume(&volume).await,
                    None => Ok(After::Done),
                }
            }
        };
        queue.count("persistent-volume-claim", &context.settings.metrics);
        // One worker for claims, so that two of them do not want the same volume.
        tokio::join!(
            client::queue::work("persistent-volume-claim", queue.clone(), 1, context.stop.clone(), look_at_claim),
            context.work("persistent-volume", &back, look_at_volume),
        );
    })
}

impl Shell<'_> {
    async fn ensure_class(&self) -> Result<(), Status> {
        if !self.classes.all().is_empty() {
            return Ok(());
        }
        let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
            "metadata": {"name": CLASS, "annotations": {IS_DEFAULT: "true"}}, "provisioner": PROVISIONER,
            "reclaimPolicy": "Delete", "volumeBindingMode": "WaitForFirstConsumer"});
        match self.context.client.of::<StorageClass>().create("", &class).await {
            Err(status) if !status.is_already_exists() => Err(status),
            _ => Ok(()),
        }
    }

    async fn sync_claim(&self, claim: &PersistentVolumeClaim) -> Result<After, Status> {
        let class_of = self.classes.find("", class(claim));
        match plan(claim, &self.volumes.all(), class_of.as_deref()) {
            Step::Keep => (),
            Step::Lose => self.set_claim_phase(claim, "Lost").await?,
            Step::Bind(volume) => self.bind(claim, &volume).await?,
            Step::Provision => self.provision(claim, class_of.as_deref()).await?,
            Step::Wait(reason, text) => {
                if reason == "ExternalProvisioning" {
                    self.name_provisioner(claim, class_of.as_deref()).await?;
                }
                if reason != "FailedBinding" || class(claim).is_empty() {
                    self.context.events.normal(claim, reason, text);
                }
                if claim.status.as_ref().and_then(|s| s.phase.as_deref()).unwrap_or_default().is_empty() {
                    self.set_claim_phase(claim, "Pending").await?;
                }
            }
        }
        Ok(After::Done)
    }

    async fn set_claim_phase(&self, claim: &PersistentVolumeClaim, phase: &str) -> Result<(), Status> {
        let old = claim.status.clone().unwrap_or_default();
        let new = PersistentVolumeClaimStatus { phase: Some(phase.to_owned()), ..old.clone() };
        status::write(&self.context.client.of(), claim, &old, &new, false).await.map(drop)
    }

    async fn name_provisioner(
        &self,
        claim: &PersistentVolumeClaim,
        class: Option<&StorageClass>,
    ) -> Result<(), Status> {
        let Some(class) = class.filter(|c| claim.annotation(WANTED_PROVISIONER) != Some(&c.provisioner)) else {
            return Ok(());
        };
        let change = json!({"metadata": {"annotations": {WANTED_PROVISIONER: class.provisioner}}});
        let api = self.context.client.of::<PersistentVolumeClaim>();
        api.patch(claim.namespace(), claim.name(), "", &Patch::Merge(change)).await.map(drop)
    }

    /// Volume first, claim second: a crash between leaves a volume that is kept for the claim.
    async fn bind(&self, claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> Result<(), Status> {
        let volumes = self.context.client.of::<PersistentVolume>();
        let mut newest = volume.clone();
        let whole = volume.spec.as_ref().and_then(|s| s.claim_ref.as_ref()?.uid.as_deref()) == Some(claim.uid());
        if !whole {
            let mut metadata = json!({"resourceVersion": volume.resource_version()});
            if volume.spec.as_ref().is_some_and(|s| s.claim_ref.is_none()) {
                metadata["annotations"] = json!({BOUND_BY_US: "yes"});
            }
            let change = json!({"metadata": metadata, "spec": {"claimRef": {"apiVersion": "v1",
                "kind": "PersistentVolumeClaim", "namespace": claim.namespace(), "name": claim.name(),
                "uid": claim.uid(), "resourceVersion": claim.resource_version()}}});
            newest = volumes.patch("", volume.name(), "", &Patch::Merge(change)).await?;
        }
        self.set_volume_phase(&newest, "Bound").await?;
        let claims = self.context.client.of::<PersistentVolumeClaim>();
        let named = claim.spec.as_ref().and_then(|s| s.volume_name.as_deref()) == Some(volume.name());
        let mut bound = claim.clone();
        if !named || claim.annotation(BOUND).is_none() {
            let mut annotations = json!({BOUND: "yes"});
            if !named {
                annotations[BOUND_BY_US] = json!("yes");
            }
            let change = json!({"metadata": {"uid": claim.uid(), "annotations": annotations},
                "spec": {"volumeName": volume.name()}});
            bound = claims.patch(claim.namespace(), claim.name(), "", &Patch::Merge(change)).await?;
        }
        let spec = newest.spec.as_ref();
        let old = bound.status.clone().unwrap_or_default();
        let new = PersistentVolumeClaimStatus {
            phase: Some("Bound".to_owned()),
            access_modes: spec.and_then(|s| s.access_modes.clone()),
            capacity: spec.and_then(|s| s.capacity.clone()),
            ..old.clone()
        };
        if let Some(written) = status::write(&claims, &bound, &old, &new, false).await? {
            bound = written;
        }
        self.claims.reached(bound.revision()).await;
        self.volumes.reached(newest.revision()).await;
        Ok(())
    }

    /// Where the claim's volume is to be: the scheduler's choice, or any node for a class that does not wait for it.
    fn place(&self, claim: &PersistentVolumeClaim) -> Result<Arc<Node>, Status> {
        let chosen = claim.annotation(SELECTED_NODE);
        let found = match chosen {
            Some(name) => self.nodes.find("", name),
            None => self.nodes.all().into_iter().next(),
        };
        found.ok_or_else(|| match chosen {
            Some(name) => Status::unavailable(format!("node {name:?} is not there (yet)")),
            None => Status::unavailable("there is no node yet"),
        })
    }

    async fn provision(&self, claim: &PersistentVolumeClaim, class: Option<&StorageClass>) -> Result<(), Status> {
        let name = format!("pvc-{}", claim.uid());
        let node = self.place(claim)?;
        let reclaim = class.and_then(|c| c.reclaim_policy.clone()).unwrap_or_else(|| "Delete".to_owned());
        let volume = volume_for(claim, &name, &reclaim, &self.context.settings.volumes_path, &node);
        match self.context.client.of::<PersistentVolume>().create("", &volume).await {
            Ok(made) => {
                let text = format!("Successfully provisioned volume {name}");
                self.context.events.normal(claim, "ProvisioningSucceeded", text);
                self.volumes.reached(made.revision()).await;
                self.bind(claim, &made).await
            }
            Err(status) if status.is_already_exists() => Err(status),
            Err(status) => {
                let text = format!("Failed to provision volume with StorageClass {CLASS:?}: {status}");
                self.context.events.warning(claim, "ProvisioningFailed", text);
                Err(status)
            }
        }
    }

    async fn set_volume_phase(&self, volume: &PersistentVolume, phase: &str) -> Result<(), Status> {
        let old = volume.status.clone().unwrap_or_default();
        if old.phase.as_deref() == Some(phase) {
            return Ok(());
        }
        let new = PersistentVolumeStatus {
            phase: Some(phase.to_owned()),
            last_phase_transition_time: Some(crate::context::seconds(self.context.now())),
            ..old.clone()
        };
        status::write(&self.context.client.of(), volume, &old, &new, false).await.map(drop)
    }

    async fn sync_volume(&self, volume: &PersistentVolume) -> Result<After, Status> {
        let spec = volume.spec.clone().unwrap_or_default();
        let Some(kept_for) = spec.claim_ref else {
            self.set_volume_phase(volume, "Available").await?;
            return Ok(After::Done);
        };
        let uid = kept_for.uid.unwrap_or_default();
        if uid.is_empty() {
            self.set_volume_phase(volume, "Available").await?;
            return Ok(After::Done);
        }
        let key = ObjectKey::new(&kept_for.namespace.unwrap_or_default(), &kept_for.name.unwrap_or_default());
        let mut claim = self.claims.get(&key).filter(|c| c.uid() == uid).map(|c| (*c).clone());
        if claim.is_none() {
            // The cache may lag behind; a volume must not be given up for that.
            let api = self.context.client.of::<PersistentVolumeClaim>();
            claim = api.find(&key.namespace, &key.name).await?.filter(|c| c.uid() == uid);
        }
        if claim.is_some() {
            self.set_volume_phase(volume, "Bound").await?;
            return Ok(After::Done);
        }
        self.set_volume_phase(volume, "Released").await?;
        let deletes = spec.persistent_volume_reclaim_policy.as_deref() == Some("Delete");
        if deletes && volume.annotation(PROVISIONED_BY) == Some(PROVISIONER) && !volume.is_deleting() {
            let options = DeleteOptions::only(volume.uid());
            self.context.client.of::<PersistentVolume>().delete_if_there("", volume.name(), &options).await?;
        }
        Ok(After::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{context, until_writes_end};
    use client::fake::Fake;

    fn claim(class: &str, size: &str) -> PersistentVolumeClaim {
        serde_json::from_value(json!({"metadata": {"name": "data", "namespace": "a", "uid": "u"}, "spec":
            {"storageClassName": class, "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}}))
        .unwrap()
    }

    fn volume(name: &str, size: &str) -> Arc<PersistentVolume> {
        Arc::new(
            serde_json::from_value(json!({"metadata": {"name": name}, "spec": {"storageClassName": "x",
            "accessModes": ["ReadWriteOnce"], "capacity": {"storage": size}}}))
            .unwrap(),
        )
    }

    #[test]
    fn the_smallest_volume_that_is_big_enough_is_taken() {
        let volumes = [volume("big", "9Gi"), volume("small", "500M"), volume("fit", "1.5Gi")];
        assert!(matches!(plan(&claim("x", "1Gi"), &volumes, None), Step::Bind(v) if v.name() == "fit"));
        assert!(matches!(plan(&claim("y", "1Gi"), &volumes, None), Step::Wait("FailedBinding", _)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_of_the_built_in_class_gets_a_volume_on_the_chosen_node_and_gives_it_back() {
        let server = Fake::new();
        server.put(&claim(CLASS, "1Gi"));
        let node = json!({"metadata": {"name": "n", "labels": {HOSTNAME: "host"}}});
        server.put(&serde_json::from_value::<Node>(node).unwrap());
        let (context, stop) = context(&server);
        let life = tokio::spawn(start(context));
        until_writes_end(&server).await;
        let phase = |c: &PersistentVolumeClaim| c.status.as_ref().unwrap().phase.clone().unwrap();
        assert_eq!(phase(&server.all::<PersistentVolumeClaim>()[0]), "Pending");
        let api = server.client().of::<PersistentVolumeClaim>();
        let chosen = json!({"metadata": {"annotations": {SELECTED_NODE: "n"}}});
        api.patch("a", "data", "", &Patch::Merge(chosen)).await.unwrap();
        until_writes_end(&server).await;
        assert_eq!(phase(&server.all::<PersistentVolumeClaim>()[0]), "Bound");
        let made = server.all::<PersistentVolume>().remove(0);
        assert_eq!(made.status.as_ref().unwrap().phase.as_deref(), Some("Bound"));
        let spec = made.spec.as_ref().unwrap();
        let path = format!("/var/lib/skerry/volumes/{}", made.name());
        assert_eq!(spec.host_path.as_ref().unwrap().path, path);
        let affinity = json!(spec.node_affinity);
        assert_eq!(affinity["required"]["nodeSelectorTerms"][0]["matchExpressions"][0]["values"], json!(["host"]));
        api.delete("a", "data", &DeleteOptions::default()).await.unwrap();
        until_writes_end(&server).await;
        let released = server.all::<PersistentVolume>().remove(0);
        assert_eq!(released.status.as_ref().unwrap().phase.as_deref(), Some("Released"));
        assert!(released.is_deleting() && released.has_finalizer(FOLDER), "the node has yet to remove the folder");
        stop.cancel();
        life.await.unwrap();
    }
}
