//! Removes the folders of volumes that the built-in provisioner made on this node, once they are released. Controllers
//! never touch the disk: they mark the volume with [`FINALIZER`] and ask for its deletion; this loop removes the folder
//! and then the finalizer, and the volume goes.
//!
//! Pure core: [`plan`]. It must not decide when a volume is released.

use super::beneath;
use super::files::{on_disk, said};
use api::Status;
use client::Boxed;
use client::queue::work;
use client::{After, Client, Informers, Meta, ObjectKey, Patch, Queue};
use k8s_openapi::api::core::v1::PersistentVolume;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// On volumes whose folder is to be removed before they go.
pub const FINALIZER: &str = "skerry.io/host-path";
/// The provisioner whose volumes these are.
pub const PROVISIONER: &str = "skerry.io/host-path";
/// The annotation that names a volume's provisioner.
pub const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
const HOSTNAME: &str = "kubernetes.io/hostname";

/// What to do about a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: it lives, is not ours, or is another node's.
    Keep,
    /// Remove this folder of the volumes' folder, then the finalizer.
    Remove(String),
    /// Remove the finalizer only: nothing is to be removed.
    LetGo,
    /// Its path is none that we made: leave it and say so.
    Refuse(String),
}

/// Decides about a volume. Its folder is one name directly below `root`, the volume's own, or it is not ours.
#[must_use]
pub fn plan(volume: &PersistentVolume, root: &Path, node: &str) -> Step {
    let ours = volume.is_deleting() && volume.has_finalizer(FINALIZER) && is_here(volume, node);
    // Others hold it back as long as it is in use.
    let others = volume.metadata.finalizers.iter().flatten().any(|f| f != FINALIZER);
    if !ours || others {
        return Step::Keep;
    }
    let Some(spec) = &volume.spec else { return Step::LetGo };
    let deletes = spec.persistent_volume_reclaim_policy.as_deref() == Some("Delete");
    if !deletes || volume.annotation(PROVISIONED_BY) != Some(PROVISIONER) {
        return Step::LetGo;
    }
    let path = spec.host_path.as_ref().map(|source| source.path.as_str()).unwrap_or_default();
    if Path::new(path) == root.join(volume.name()) && !volume.name().contains('/') {
        return Step::Remove(volume.name().to_owned());
    }
    Step::Refuse(format!("the path {path:?} is not {:?}", root.join(volume.name())))
}

/// Whether the volume's node is this one.
fn is_here(volume: &PersistentVolume, node: &str) -> bool {
    let affinity = volume.spec.as_ref().and_then(|s| s.node_affinity.as_ref()?.required.as_ref());
    let terms = affinity.iter().flat_map(|required| &required.node_selector_terms);
    terms
        .flat_map(|term| term.match_expressions.iter().flatten())
        .any(|expression| expression.key == HOSTNAME && expression.values.iter().flatten().any(|value| value == node))
}

/// Removes folders below `root` until told to stop. `node` is the value of this node's `kubernetes.io/hostname` label.
pub fn run(
    client: Client,
    informers: &Informers,
    root: PathBuf,
    node: String,
    stop: CancellationToken,
) -> Boxed<'_, ()> {
    Box::pin(follow(client, informers, root, node, stop))
}

async fn follow(client: Client, informers: &Informers, root: PathBuf, node: String, stop: CancellationToken) {
    let volumes = informers.of::<PersistentVolume>();
    let queue: Arc<Queue<ObjectKey>> = Arc::default();
    let fed = queue.clone();
    volumes.on_change(move |change| {
        if change.new.as_ref().is_some_and(|volume| volume.is_deleting()) {
            fed.add(change.latest().key());
        }
    });
    let look = |key: ObjectKey| {
        let (client, root, node, volume) = (&client, &root, &node, volumes.get(&key));
        async move {
            match volume {
                Some(volume) => act(client, root, node, &volume).await,
                None => Ok(After::Done),
            }
        }
    };
    work("volume-reclaim", queue, 1, stop, look).await;
}

async fn act(client: &Client, root: &Path, node: &str, volume: &PersistentVolume) -> Result<After, Status> {
    match plan(volume, root, node) {
        Step::Keep => return Ok(After::Done),
        Step::Refuse(why) => {
            tracing::error!(
                volume = volume.name(),
                why,
                "a volume is left as it is: remove folder and finalizer by hand"
            );
            return Ok(After::Done);
        }
        Step::LetGo => (),
        Step::Remove(name) => {
            let root = root.to_owned();
            let removing = on_disk(move || beneath::remove(&root, &name).map_err(said("removing", &root.join(&name))));
            removing.await.map_err(Status::internal)?;
        }
    }
    let finalizers: Vec<&String> = volume.metadata.finalizers.iter().flatten().filter(|f| *f != FINALIZER).collect();
    let change = json!({"metadata": {"resourceVersion": volume.resource_version(), "finalizers": finalizers}});
    match client.of::<PersistentVolume>().patch("", volume.name(), "", &Patch::Merge(change)).await {
        Err(status) if !status.is_not_found() => Err(status),
        _ => Ok(After::Done),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use client::fake::Fake;
    use serde_json::Value;
    use std::time::Duration;

    fn volume(path: &str, change: Value) -> PersistentVolume {
        let mut value = json!({"metadata": {"name": "pvc-1", "uid": "u", "deletionTimestamp": "2026-01-01T00:00:00Z",
            "finalizers": [FINALIZER], "annotations": {PROVISIONED_BY: PROVISIONER}},
            "spec": {"persistentVolumeReclaimPolicy": "Delete", "hostPath": {"path": path},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                    {"key": HOSTNAME, "operator": "In", "values": ["n"]}]}]}}}});
        for (field, new) in change.as_object().unwrap() {
            value["metadata"][field] = new.clone();
        }
        serde_json::from_value(value).unwrap()
    }

    fn check(path: &str, change: Value, node: &str, wanted: Step) {
        assert_eq!(plan(&volume(path, change), Path::new("/vols"), node), wanted, "{path}");
    }

    #[test]
    fn only_a_released_volume_of_this_node_is_removed() {
        check("/vols/pvc-1", json!({}), "n", Step::Remove("pvc-1".into()));
        check("/vols/pvc-1", json!({}), "other", Step::Keep);
        check("/vols/pvc-1", json!({"deletionTimestamp": null}), "n", Step::Keep);
        check("/vols/pvc-1", json!({"finalizers": [FINALIZER, "kubernetes.io/pv-protection"]}), "n", Step::Keep);
        check("/vols/pvc-1", json!({"annotations": {}}), "n", Step::LetGo);
    }

    #[test]
    fn a_path_that_we_did_not_make_is_refused() {
        for path in ["/vols", "/vols/other", "/vols/../etc", "/etc", "", "/vols/pvc-1/.."] {
            assert!(matches!(plan(&volume(path, json!({})), Path::new("/vols"), "n"), Step::Refuse(_)), "{path}");
        }
    }

    #[tokio::test]
    async fn the_folder_goes_and_then_the_volume() {
        let (server, top) = (Fake::new(), tempfile::tempdir().unwrap());
        let folder = top.path().join("pvc-1");
        std::fs::create_dir_all(folder.join("data")).unwrap();
        server.put(&volume(folder.to_str().unwrap(), json!({})));
        let stop = CancellationToken::new();
        let informers = Informers::new(server.client(), stop.clone());
        let volumes = informers.of::<PersistentVolume>();
        let (sender, mut gone) = tokio::sync::mpsc::unbounded_channel();
        volumes.on_change(move |change| {
            if change.new.is_none() {
                let _ = sender.send(());
            }
        });
        let root = top.path().to_owned();
        let client = server.client();
        let life = tokio::spawn({
            let stop = stop.clone();
            async move { run(client, &informers, root, "n".into(), stop).await }
        });
        tokio::time::timeout(Duration::from_secs(30), gone.recv()).await.expect("the volume goes").unwrap();
        assert!(!folder.exists() && top.path().exists());
        stop.cancel();
        life.await.unwrap();
    }
}
