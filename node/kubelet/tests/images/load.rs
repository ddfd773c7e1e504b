//! Loads from beginning to end, broken off, forged, in use, and collected.

use crate::engine::Engine;
use crate::made::{self, Made, blob};
use bytes::Bytes;
use containerd_client::services::v1::snapshots::PrepareSnapshotRequest;
use futures_util::stream;
use jiff::{SignedDuration, Timestamp};
use kubelet::images::garbage::Policy;
use kubelet::images::{Collector, Digest, Fault, Images, Load, SANDBOX};
use std::collections::HashMap;

fn pieces(content: &[u8]) -> impl futures_util::Stream<Item = Result<Bytes, String>> + use<> {
    let pieces: Vec<_> = content.chunks(100_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    stream::iter(pieces)
}

async fn load(images: &Images, made: &Made, names: &[&str]) -> Load {
    let begun = images.begin(&made.told()).await.unwrap();
    for (blob, content) in made.blobs() {
        if begun.missing.iter().any(|missing| missing.digest == blob.digest) {
            images.ingest(&begun.load, &blob, 0, pieces(content)).await.unwrap();
        }
    }
    let finished = images.finish(&made.target(&begun.load, names)).await.unwrap();
    assert_eq!(finished.id, made.id());
    begun.load
}

/// A snapshot on top of an image, as a container has one.
async fn container(engine: &Engine, key: &str, image: &Made) {
    let layers: Vec<Digest> = image.layers.iter().map(|layer| Digest::of(layer)).collect();
    assert_eq!(layers.len(), 1, "the chain of one layer is its own digest");
    let request = PrepareSnapshotRequest {
        snapshotter: "overlayfs".to_owned(),
        key: key.to_owned(),
        parent: layers[0].to_string(),
        // As a container has it that nothing else refers to.
        labels: HashMap::from([("containerd.io/gc.root".to_owned(), "test".to_owned())]),
    };
    let mut request = tonic::Request::new(request);
    request.metadata_mut().insert("containerd-namespace", "k8s.io".parse().unwrap());
    let client = containerd_client::Client::from_path(engine.socket()).await.unwrap();
    client.snapshots().prepare(request).await.unwrap();
}

#[tokio::test]
#[ignore = "needs root and a containerd 2, which SKERRY_CONTAINERD names"]
async fn a_loaded_image_is_unpacked_named_and_sent_only_once() {
    let engine = Engine::start().await;
    let images = engine.images();
    let made = made::image(&[("lower", &[1; 3_000_000]), ("upper", b"2")]);
    load(&images, &made, &["app:1", "r.test/app:2"]).await;
    let listed = images.list().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].names, ["docker.io/library/app:1", "r.test/app:2"]);
    assert_eq!(listed[0].id, made.id());
    let again = images.begin(&made.told()).await.unwrap();
    assert_eq!(again.missing, [], "everything is there");
    // A second image on the first sends its own layer, configuration and manifest alone.
    let other = made::image(&[("lower", &[1; 3_000_000]), ("other", b"3")]);
    assert_eq!(images.begin(&other.told()).await.unwrap().missing.len(), 3);
}

#[tokio::test]
#[ignore = "needs root and a containerd 2, which SKERRY_CONTAINERD names"]
async fn a_blob_that_broke_off_goes_on_in_the_next_load() {
    let engine = Engine::start().await;
    let images = engine.images();
    let content = vec![7; 3_500_000];
    let begun = images.begin(&[blob(&content)]).await.unwrap();
    let broken =
        stream::iter([Ok(Bytes::copy_from_slice(&content[..2_000_000])), Err("the line went dead".to_owned())]);
    let fault = images.ingest(&begun.load, &blob(&content), 0, broken).await.unwrap_err();
    assert!(fault.to_string().contains("the line went dead after 2000000 of 3500000"), "{fault}");
    let next = images.begin(&[blob(&content)]).await.unwrap();
    assert_eq!(next.missing[0].offset, 2_000_000);
    let wrong = images.ingest(&next.load, &blob(&content), 5, pieces(&content[5..])).await.unwrap_err();
    assert!(matches!(wrong, Fault::Conflict(_)), "{wrong}");
    images.ingest(&next.load, &blob(&content), 2_000_000, pieces(&content[2_000_000..])).await.unwrap();
    assert_eq!(images.begin(&[blob(&content)]).await.unwrap().missing, []);
}

#[tokio::test]
#[ignore = "needs root and a containerd 2, which SKERRY_CONTAINERD names"]
async fn forged_content_is_refused_and_leaves_nothing_behind() {
    let engine = Engine::start().await;
    let images = engine.images();
    let told = blob(b"truth");
    let begun = images.begin(std::slice::from_ref(&told)).await.unwrap();
    let fault = images.ingest(&begun.load, &told, 0, pieces(b"liars")).await.unwrap_err();
    assert!(matches!(&fault, Fault::Invalid { field: "content", .. }), "{fault}");
    let fault = images.ingest(&begun.load, &told, 0, pieces(b"truth and more")).await.unwrap_err();
    assert!(fault.to_string().contains("more content than the 5 bytes"), "{fault}");
    assert_eq!(images.begin(std::slice::from_ref(&told)).await.unwrap().missing[0].offset, 0);
    images.ingest(&begun.load, &told, 0, pieces(b"truth")).await.unwrap();
    // A layer that does not unpack to what the configuration says.
    let forged = made::with_diff_ids(vec![made::layer("x", b"x")], &[Digest::of(b"other")]);
    let begun = images.begin(&forged.told()).await.unwrap();
    for (blob, content) in forged.blobs() {
        images.ingest(&begun.load, &blob, 0, pieces(content)).await.unwrap();
    }
    let fault = images.finish(&forged.target(&begun.load, &["forged:1"])).await.unwrap_err();
    assert!(matches!(&fault, Fault::Invalid { field: "config", .. }), "{fault}");
    assert_eq!(images.list().await.unwrap(), []);
}

#[tokio::test]
#[ignore = "needs root and a containerd 2, which SKERRY_CONTAINERD names"]
async fn a_load_without_all_its_blobs_or_of_no_lease_makes_nothing() {
    let engine = Engine::start().await;
    let images = engine.images();
    let made = made::image(&[("x", b"x")]);
    let begun = images.begin(&made.told()).await.unwrap();
    let manifest = &made.manifest[..];
    images.ingest(&begun.load, &blob(manifest), 0, pieces(manifest)).await.unwrap();
    let fault = images.finish(&made.target(&begun.load, &["x:1"])).await.unwrap_err();
    assert!(matches!(&fault, Fault::NotFound(what) if what.contains("has not been sent")), "{fault}");
    let nobody = Load::parse(&"0".repeat(32)).unwrap();
    let fault = images.ingest(&nobody, &blob(b"y"), 0, pieces(b"y")).await.unwrap_err();
    assert!(matches!(&fault, Fault::NotFound(_)), "{fault}");
}

#[tokio::test]
#[ignore = "needs root and a containerd 2, which SKERRY_CONTAINERD names"]
async fn a_name_moves_to_a_new_image_and_goes_with_its_last() {
    let engine = Engine::start().await;
    let images = engine.images();
    let (old, new) = (made::image(&[("x", b"old")]), made::image(&[("x", b"new")]));
    load(&images, &old, &["app:1"]).await;
    load(&images, &new, &["app:1", "app:2"]).await;
    let listed = images.list().await.unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!((&listed[0].id, listed[0].names.len()), (&new.id(), 2));
    assert_eq!((&listed[1].id, listed[1].names.len()), (&old.id(), 0));
    container(&engine, "c1", &new).await;
    assert_eq!(images.remove("app:2").await.unwrap(), ["docker.io/library/app:2"]);
    let fault = images.remove("app:1").await.unwrap_err();
    assert!(matches!(&fault, Fault::Conflict(_)), "{fault}");
    images.remove(old.id().as_str()).await.unwrap();
    assert_eq!(images.list().await.unwrap().len(), 1);
    assert_eq!(images.begin(&[blob(&old.config)]).await.unwrap().missing.len(), 1, "its content has been collected");
    assert!(matches!(images.remove("app:9").await, Err(Fault::NotFound(_))));
}

#[tokio::test]
#[ignore = "needs root and a containerd 2, which SKERRY_CONTAINERD names"]
async fn the_sandbox_image_is_imported_once_and_again_when_it_is_gone() {
    let engine = Engine::start().await;
    let images = engine.images();
    let archive = engine.folder().join("pause.tar");
    std::fs::write(&archive, archive_of(&made::image(&[("pause", b"program")]))).unwrap();
    assert!(images.ensure_sandbox(&archive).await.unwrap());
    assert!(!images.ensure_sandbox(&archive).await.unwrap());
    assert!(images.list().await.unwrap()[0].pinned);
    assert!(matches!(images.remove(SANDBOX).await, Err(Fault::Conflict(_))));
    // A newer machine brings a newer one.
    std::fs::write(&archive, archive_of(&made::image(&[("pause", b"newer")]))).unwrap();
    assert!(images.ensure_sandbox(&archive).await.unwrap());
    std::fs::write(&archive, b"rubbish").unwrap();
    assert!(matches!(images.ensure_sandbox(&archive).await, Err(Fault::Invalid { field: "sandbox", .. })));
}

fn archive_of(made: &Made) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut put = |path: String, content: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, path, content).unwrap();
    };
    for (blob, content) in made.blobs() {
        put(format!("blobs/sha256/{}", blob.digest.as_str().trim_start_matches("sha256:")), content);
    }
    let manifest = blob(&made.manifest);
    let index = serde_json::json!({ "manifests": [{ "mediaType": "application/vnd.oci.image.manifest.v1+json",
                                                    "digest": manifest.digest, "size": manifest.size }] });
    put("index.json".to_owned(), index.to_string().as_bytes());
    tar.into_inner().unwrap()
}

#[tokio::test]
#[ignore = "needs root and a containerd 2, which SKERRY_CONTAINERD names"]
async fn a_full_disk_takes_unused_images_and_leaves_the_others() {
    let engine = Engine::start().await;
    let images = engine.images();
    let archive = engine.folder().join("pause.tar");
    std::fs::write(&archive, archive_of(&made::image(&[("pause", b"program")]))).unwrap();
    images.ensure_sandbox(&archive).await.unwrap();
    let (used, unused) = (made::image(&[("x", b"used")]), made::image(&[("x", b"unused")]));
    load(&images, &used, &["used:1"]).await;
    load(&images, &unused, &["unused:1"]).await;
    container(&engine, "c1", &used).await;
    // Every disk is fuller than nothing, and none can become emptier than that.
    let full = Policy { high_percent: 0, low_percent: 0, age_min: SignedDuration::from_mins(2) };
    let mut collector = Collector::new(images.clone(), engine.folder(), full);
    let now = Timestamp::now();
    assert_eq!(collector.look(now).await.unwrap().remove, [], "all have just come");
    let plan = collector.look(now + SignedDuration::from_mins(3)).await.unwrap();
    assert_eq!(plan.remove, [unused.id()]);
    assert!(plan.falls_short());
    let left: Vec<_> = images.list().await.unwrap().into_iter().flat_map(|image| image.names).collect();
    assert_eq!(left, ["docker.io/library/used:1", SANDBOX]);
}
