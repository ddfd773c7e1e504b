//! Volumes as a whole, on real folders and mounts. These need root, as the kubelet itself does; mounts are made below a
//! temporary folder only, and taken away by the code under test.

use super::*;
use crate::objects::fake::Fixed;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

struct Node {
    top: tempfile::TempDir,
    objects: Arc<Fixed>,
    now: Arc<Mutex<Timestamp>>,
    volumes: Volumes,
}

fn node() -> Node {
    let (top, objects) = (tempfile::tempdir().unwrap(), Arc::new(Fixed::default()));
    let now = Arc::new(Mutex::new(Timestamp::UNIX_EPOCH));
    let read = now.clone();
    let volumes = Volumes::new(top.path(), objects.clone(), Arc::new(move || *read.lock().unwrap()));
    Node { top, objects, now, volumes }
}

fn pod(volumes: Value, security: Value, mounts: Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "a", "uid": "u", "labels": {"l": "1"}},
        "spec": {"serviceAccountName": "s", "volumes": volumes, "securityContext": security,
            "containers": [{"name": "c", "volumeMounts": mounts}]}}))
    .unwrap()
}

fn plain(volumes: Value) -> Pod {
    pod(volumes, json!({}), json!([]))
}

fn map(value: &str) -> k8s_openapi::api::core::v1::ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": "m", "namespace": "a"}, "data": {"k": value}})).unwrap()
}

impl Node {
    async fn set_up(&self, pod: &Pod) -> Result<Option<Timestamp>, Vec<Failure>> {
        self.volumes.set_up(pod, &Facts::default()).await
    }

    fn read(&self, volume: &str, file: &str) -> String {
        fs::read_to_string(self.volumes.folder("u", volume).unwrap().join(file)).unwrap()
    }

    fn mounts(&self, pod: &Pod) -> Result<Vec<Mount>, String> {
        self.volumes.mounts(pod, &pod.spec.as_ref().unwrap().containers[0], &Variables::new(), false)
    }

    async fn end(self) {
        self.volumes.tear_down("u").await.unwrap();
        assert!(self.volumes.on_disk().unwrap().is_empty());
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(self.top.path().to_str().unwrap()), "a mount is left");
    }
}

#[tokio::test]
async fn a_config_map_is_there_when_it_appears_and_follows_its_changes() {
    let node = node();
    let pod = plain(json!([{"name": "v", "configMap": {"name": "m", "defaultMode": 256}}]));
    let missing = node.set_up(&pod).await.unwrap_err().remove(0).to_string();
    assert_eq!(missing, "MountVolume.SetUp failed for volume \"v\" : configmap \"m\" not found");
    *node.objects.config_maps.lock().unwrap() = vec![map("1")];
    node.set_up(&pod).await.unwrap();
    assert_eq!(node.read("v", "k"), "1");
    let file = node.volumes.folder("u", "v").unwrap().join("k");
    assert!(file.ends_with("pods/u/volumes/kubernetes.io~configmap/v/k"));
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o400);
    *node.objects.config_maps.lock().unwrap() = vec![map("2")];
    node.volumes.refresh(&pod, &Facts::default()).await.unwrap();
    assert_eq!(node.read("v", "k"), "2");
    node.objects.config_maps.lock().unwrap().clear();
    assert!(node.volumes.refresh(&pod, &Facts::default()).await.is_err());
    assert_eq!(node.read("v", "k"), "2", "files stay while their object is away");
    node.end().await;
}

#[tokio::test]
async fn a_projected_volume_joins_its_sources_and_renews_its_token() {
    let node = node();
    *node.objects.config_maps.lock().unwrap() = vec![map("1")];
    let sources = json!([{"configMap": {"name": "m"}}, {"serviceAccountToken": {"path": "token",
        "expirationSeconds": 1000, "audience": "x"}}, {"downwardAPI": {"items": [{"path": "labels",
        "fieldRef": {"fieldPath": "metadata.labels"}}]}}]);
    let pod = pod(json!([{"name": "v", "projected": {"sources": sources}}]), json!({"fsGroup": 77}), json!([]));
    let next = node.set_up(&pod).await.unwrap();
    assert_eq!(next, Some(Timestamp::from_second(800).unwrap()));
    assert_eq!(
        (node.read("v", "k"), node.read("v", "token"), node.read("v", "labels")),
        ("1".into(), "token-1".into(), "l=\"1\"".into())
    );
    let token = fs::metadata(node.volumes.folder("u", "v").unwrap().join("token")).unwrap();
    assert_eq!((token.gid(), token.mode() & 0o777), (77, 0o640));
    node.set_up(&pod).await.unwrap();
    assert_eq!(node.objects.asked.lock().unwrap().len(), 1, "a good token is kept");
    *node.now.lock().unwrap() = Timestamp::from_second(800).unwrap();
    node.volumes.refresh(&pod, &Facts::default()).await.unwrap();
    assert_eq!(node.read("v", "token"), "token-2");
    let bound = node.objects.asked.lock().unwrap()[0].bound_object_ref.clone().unwrap();
    assert_eq!((bound.kind.as_deref(), bound.uid.as_deref()), (Some("Pod"), Some("u")));
    node.end().await;
}

#[tokio::test]
async fn an_empty_dir_keeps_what_is_in_it_until_the_pod_goes() {
    let node = node();
    let volumes = json!([{"name": "disk", "emptyDir": {}}, {"name": "mem", "emptyDir": {"medium": "Memory",
        "sizeLimit": "1Mi"}}]);
    let pod = pod(volumes, json!({"fsGroup": 77}), json!([]));
    node.set_up(&pod).await.unwrap();
    for volume in ["disk", "mem"] {
        let folder = node.volumes.folder("u", volume).unwrap();
        let meta = fs::metadata(&folder).unwrap();
        assert_eq!((meta.gid(), meta.mode() & 0o7777), (77, 0o2777), "{volume}");
        fs::write(folder.join("f"), "kept").unwrap();
    }
    let big = fs::write(node.volumes.folder("u", "mem").unwrap().join("big"), vec![0; 2 << 20]);
    assert!(big.is_err(), "a volume in memory has its size");
    node.set_up(&pod).await.unwrap();
    assert_eq!((node.read("disk", "f"), node.read("mem", "f")), ("kept".into(), "kept".into()));
    node.end().await;
}

#[tokio::test]
async fn a_local_volume_is_bound_and_outlives_the_pod() {
    let node = node();
    let disk = tempfile::tempdir().unwrap();
    fs::write(disk.path().join("f"), "kept").unwrap();
    let claim = json!({"metadata": {"name": "data", "namespace": "a", "uid": "c"}, "spec": {"volumeName": "pv"},
        "status": {"phase": "Bound"}});
    let volume = json!({"metadata": {"name": "pv"}, "spec": {"claimRef": {"uid": "c"}, "accessModes": ["ReadWriteOnce"],
        "local": {"path": disk.path()}}});
    node.objects.claims.lock().unwrap().push(serde_json::from_value(claim).unwrap());
    let pod = plain(json!([{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]));
    let missing = node.set_up(&pod).await.unwrap_err().remove(0).message;
    assert_eq!(missing, "failed to get PV \"pv\": persistentvolumes \"pv\" not found");
    node.objects.volumes.lock().unwrap().push(serde_json::from_value(volume).unwrap());
    node.set_up(&pod).await.unwrap();
    node.set_up(&pod).await.unwrap();
    assert_eq!(node.read("v", "f"), "kept");
    node.end().await;
    assert_eq!(fs::read_to_string(disk.path().join("f")).unwrap(), "kept");
}

#[tokio::test]
async fn a_sub_path_is_made_and_bound_and_never_leaves_its_volume() {
    let node = node();
    let mounts = |sub: &str| json!([{"name": "v", "mountPath": "/x", "subPath": sub}]);
    let volumes = json!([{"name": "v", "emptyDir": {}}]);
    let good = pod(volumes.clone(), json!({}), mounts("a/b"));
    node.set_up(&good).await.unwrap();
    let root = node.volumes.folder("u", "v").unwrap();
    let mount = node.mounts(&good).unwrap().remove(0);
    fs::write(root.join("a/b/f"), "seen").unwrap();
    assert_eq!(fs::read_to_string(mount.host_path.join("f")).unwrap(), "seen");
    assert_eq!(node.mounts(&good).unwrap().remove(0).host_path, mount.host_path, "a second time is the same");
    let outside = node.top.path().join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, root.join("absolute")).unwrap();
    symlink("../../../../../outside", root.join("relative")).unwrap();
    for sub in ["absolute", "relative", "absolute/new"] {
        let text = node.mounts(&pod(volumes.clone(), json!({}), mounts(sub))).unwrap_err();
        assert!(text.ends_with("for volumeMount \"v\" of container \"c\""), "{text}");
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    node.end().await;
}

#[tokio::test]
async fn a_sub_path_of_a_changed_config_map_is_new_for_a_new_container() {
    let node = node();
    *node.objects.config_maps.lock().unwrap() = vec![map("1")];
    let mounts = json!([{"name": "v", "mountPath": "/x", "subPath": "k"}]);
    let pod = pod(json!([{"name": "v", "configMap": {"name": "m"}}]), json!({}), mounts);
    node.set_up(&pod).await.unwrap();
    let first = node.mounts(&pod).unwrap().remove(0);
    assert!(first.read_only && fs::read_to_string(&first.host_path).unwrap() == "1");
    *node.objects.config_maps.lock().unwrap() = vec![map("2")];
    node.set_up(&pod).await.unwrap();
    assert_eq!(fs::read_to_string(&first.host_path).unwrap(), "1", "a running container keeps its file");
    let second = node.mounts(&pod).unwrap().remove(0);
    assert_eq!(fs::read_to_string(second.host_path).unwrap(), "2");
    node.end().await;
}

#[tokio::test]
async fn tearing_down_never_deletes_through_a_mount() {
    let node = node();
    let pod = plain(json!([{"name": "v", "emptyDir": {}}]));
    node.set_up(&pod).await.unwrap();
    let (foreign, inner) = (tempfile::tempdir().unwrap(), node.volumes.folder("u", "v").unwrap().join("deep/mount"));
    fs::write(foreign.path().join("f"), "kept").unwrap();
    fs::create_dir_all(&inner).unwrap();
    sys::mount::bind_alone(foreign.path(), &inner).unwrap();
    assert!(node.volumes.tear_down("u").await.is_err(), "somebody else's mount is in the way");
    assert_eq!(fs::read_to_string(foreign.path().join("f")).unwrap(), "kept");
    sys::mount::unmount(&inner, false).unwrap();
    node.end().await;
}

#[tokio::test]
async fn what_this_node_cannot_do_is_refused_by_name() {
    let node = node();
    let pod = plain(json!([{"name": "v", "nfs": {"server": "s", "path": "/"}}]));
    let text = node.set_up(&pod).await.unwrap_err().remove(0).to_string();
    assert!(text.contains("nfs is not supported on this node; use one of configMap, secret"), "{text}");
    assert!(node.volumes.tear_down("..").await.is_err());
    node.end().await;
}
