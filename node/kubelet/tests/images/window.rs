//! Loads by a host that writes beneath the window. The host's part is played by writing to the window's own file, which
//! is what its disk shows.

use crate::engine::Engine;
use crate::made::{self, Made};
use kubelet::images::{Arrived, Begun, Digest, Fault, Images, Kind, Piece, Target};
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::time::Duration;

const BLOCK: u64 = 4096;

fn folder(engine: &Engine) -> PathBuf {
    engine.folder().join("landing")
}

fn images(engine: &Engine) -> Images {
    let content = engine.folder().join("root/io.containerd.content.v1.content");
    engine.images().with_window(&folder(engine), &content)
}

/// What the host puts into the window at once: pieces with their content, and where they are laid.
#[derive(Default)]
struct Filling(Vec<(Piece, Vec<u8>)>, Option<Target>);

impl Filling {
    /// A whole blob or layer behind what is there.
    fn with(mut self, kind: Kind, digest: &Digest, content: &[u8]) -> Filling {
        let at = self.0.last().map_or(BLOCK, |(piece, _)| piece.at + piece.length.next_multiple_of(BLOCK));
        let length = content.len() as u64;
        self.0.push((Piece { kind, digest: digest.clone(), offset: 0, length, at, last: true }, content.to_vec()));
        self
    }

    fn of(made: &Made) -> Filling {
        let add = |filling: Filling, (blob, content): (kubelet::images::Blob, &[u8])| {
            filling.with(Kind::Blob, &blob.digest, content)
        };
        made.blobs().into_iter().fold(Filling::default(), add)
    }

    /// Lays it in and says so.
    async fn hand_over(&self, engine: &Engine, images: &Images, begun: &Begun, serial: u64) -> Result<(), Fault> {
        let window = File::options().write(true).open(folder(engine).join("window")).unwrap();
        for (piece, content) in &self.0 {
            window.write_all_at(content, piece.at).unwrap();
        }
        window.write_all_at(format!("skerry window {} {serial} 0\n\0", begun.load).as_bytes(), 0).unwrap();
        let pieces = self.0.iter().map(|(piece, _)| piece.clone()).collect();
        let manifest = self.1.as_ref().map(|target| target.manifest.clone());
        images.arrive(Arrived { load: begun.load.clone(), serial, pieces, manifest }).await
    }
}

/// The file that the layers hold, as a pod would find it.
fn unpacked(engine: &Engine, name: &str) -> Vec<Vec<u8>> {
    let snapshots = engine.folder().join("root/io.containerd.snapshotter.v1.overlayfs/snapshots");
    let read =
        |entry: std::io::Result<std::fs::DirEntry>| std::fs::read(entry.unwrap().path().join("fs").join(name)).ok();
    std::fs::read_dir(snapshots).unwrap().filter_map(read).collect()
}

#[tokio::test]
#[ignore = "needs root and a containerd 2, which SKERRY_CONTAINERD names"]
async fn a_load_through_the_window_is_like_any_other() {
    let engine = Engine::start().await;
    let images = images(&engine);
    let made = made::image(&[("lower", &[1; 3_000_000]), ("upper", b"2")]);
    let begun = images.begin_at_hand(&made.told()).await.unwrap();
    assert_eq!((begun.missing.len(), begun.window.is_some()), (4, true));
    Filling::of(&made).hand_over(&engine, &images, &begun, 1).await.unwrap();
    let finished = images.finish(&made.target(&begun.load, &["app:1"])).await.unwrap();
    assert_eq!(finished.id, made.id());
    assert_eq!(unpacked(&engine, "lower"), [vec![1; 3_000_000]]);
    assert_eq!(unpacked(&engine, "upper"), [b"2"]);
    let kept = engine.folder().join("root/io.containerd.content.v1.content/blobs/sha256");
    let config = std::fs::metadata(kept.join(made.id().digits())).unwrap();
    assert_eq!((config.nlink(), config.mode() & 0o777), (1, 0o444), "no part is left");
    let again = images.begin_at_hand(&made.told()).await.unwrap();
    assert_eq!((again.missing, again.window), (vec![], None), "everything is there");
    // It can be taken out again, and goes with its last name.
    let read = images.blob(&Digest::of(&made.layers[0])).await.unwrap();
    assert!(read.is_some());
    images.remove("app:1").await.unwrap();
    assert!(images.list().await.unwrap().is_empty());
}

#[tokio::test]
#[ignore = "needs root and a containerd 2, which SKERRY_CONTAINERD names"]
async fn a_compressed_layer_is_unpacked_from_what_the_host_unpacked() {
    let engine = Engine::start().await;
    let images = images(&engine);
    let plain = made::layer("packed", &[7; 2_000_000]);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, &plain).unwrap();
    let (diff, blob) = (Digest::of(&plain), encoder.finish().unwrap());
    let mut made = made::with_diff_ids(vec![blob], std::slice::from_ref(&diff));
    let manifest = String::from_utf8(made.manifest).unwrap().replace("layer.v1.tar", "layer.v1.tar+gzip");
    made.manifest = manifest.into_bytes();
    let begun = images.begin_at_hand(&made.told()).await.unwrap();
    let filling = Filling::of(&made).with(Kind::Layer, &diff, &plain);
    filling.hand_over(&engine, &images, &begun, 1).await.unwrap();
    images.finish(&made.target(&begun.load, &["packed:1"])).await.unwrap();
    assert_eq!(unpacked(&engine, "packed"), [vec![7; 2_000_000]]);
    assert!(!folder(&engine).join("parts").exists(), "nothing is left behind");
    // The same without the window: containerd unpacks it, and comes to the same.
    images.remove("packed:1").await.unwrap();
    let begun = images.begin(&made.told()).await.unwrap();
    for (blob, content) in made.blobs() {
        let content = bytes::Bytes::copy_from_slice(content);
        let content = futures_util::stream::iter([Ok::<_, String>(content)]);
        images.ingest(&begun.load, &blob, 0, content).await.unwrap();
    }
    images.finish(&made.target(&begun.load, &["packed:2"])).await.unwrap();
    assert!(unpacked(&engine, "packed").contains(&vec![7; 2_000_000]));
}

#[tokio::test]
#[ignore = "needs root and a containerd 2, which SKERRY_CONTAINERD names"]
async fn layers_are_unpacked_and_labels_given_while_other_parts_are_on_their_way() {
    let engine = Engine::start().await;
    let images = images(&engine);
    let made = made::image(&[("first", &[1; 2_000_000]), ("second", &[2; 2_000_000]), ("third", b"3")]);
    let begun = images.begin_at_hand(&made.told()).await.unwrap();
    let target = made.target(&begun.load, &["ahead:1"]);
    let fill = |contents: &[&[u8]]| {
        let filling = Filling(Vec::new(), Some(target.clone()));
        contents.iter().fold(filling, |filling, content| filling.with(Kind::Blob, &Digest::of(content), content))
    };
    // The upper one waits for the lower one.
    let first = fill(&[&made.manifest, &made.config, &made.layers[1]]);
    first.hand_over(&engine, &images, &begun, 1).await.unwrap();
    fill(&[&made.layers[0]]).hand_over(&engine, &images, &begun, 2).await.unwrap();
    let is_ahead = || unpacked(&engine, "second") == [vec![2; 2_000_000]] && unpacked(&engine, "first").len() == 1;
    for _ in 0..100 {
        if is_ahead() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(is_ahead(), "two layers are unpacked before the third has come");
    let lacking = images.finish(&target).await;
    assert!(matches!(&lacking, Err(Fault::NotFound(what)) if what.contains("has not been sent")), "{lacking:?}");
    fill(&[&made.layers[2]]).hand_over(&engine, &images, &begun, 3).await.unwrap();
    assert_eq!(images.finish(&target).await.unwrap().id, made.id());
    assert_eq!(unpacked(&engine, "third"), [b"3"]);
    assert_eq!(unpacked(&engine, "second").len(), 1, "nothing is unpacked twice");
    // Whatever the engine collects now, the image holds all its parts by their labels.
    engine.collect().await;
    let again = images.begin_at_hand(&made.told()).await.unwrap();
    assert_eq!((again.missing, again.window), (vec![], None));
    images.finish(&made.target(&again.load, &["ahead:2"])).await.unwrap();
    assert_eq!(unpacked(&engine, "second").len(), 1);
}

#[tokio::test]
#[ignore = "needs root and a containerd 2, which SKERRY_CONTAINERD names"]
async fn a_manifest_that_is_told_wrongly_delays_the_work_and_harms_nothing() {
    let engine = Engine::start().await;
    let images = images(&engine);
    let (made, other) = (made::image(&[("mine", &[5; 100_000])]), made::image(&[("other", b"6")]));
    for (wrong, name) in [(&other.manifest, "b:1"), (&b"no manifest".to_vec(), "c:1")] {
        let begun = images.begin_at_hand(&made.told()).await.unwrap();
        let told = Made { manifest: wrong.clone(), config: vec![], layers: vec![] };
        let filling = Filling(Vec::new(), Some(told.target(&begun.load, &[name])));
        let all = made.blobs().into_iter().map(|(blob, content)| (blob, content.to_vec()));
        let junk = made::blob(wrong);
        let all = all.chain([(junk, wrong.clone())]);
        let filling = all.fold(filling, |filling, (blob, content)| filling.with(Kind::Blob, &blob.digest, &content));
        filling.hand_over(&engine, &images, &begun, 1).await.unwrap();
        assert_eq!(images.finish(&made.target(&begun.load, &[name])).await.unwrap().id, made.id());
        assert_eq!(unpacked(&engine, "mine"), [vec![5; 100_000]]);
        engine.collect().await;
        images.remove(name).await.unwrap();
    }
}

#[tokio::test]
#[ignore = "needs root and a containerd 2, which SKERRY_CONTAINERD names"]
async fn a_window_that_was_not_filled_or_is_another_s_gives_nothing() {
    let engine = Engine::start().await;
    let images = images(&engine);
    let made = made::image(&[("file", &[3; 100_000])]);
    let begun = images.begin_at_hand(&made.told()).await.unwrap();
    let wrong = Filling::of(&made).hand_over(&engine, &images, &begun, 2).await;
    assert!(wrong.is_ok(), "the second time comes after any first");
    let stale = images.arrive(Arrived { load: begun.load.clone(), serial: 3, pieces: vec![], manifest: None }).await;
    assert!(matches!(stale, Err(Fault::Invalid { field: "serial", .. })), "{stale:?}");
    let outside = Piece { kind: Kind::Blob, digest: made.id(), offset: 0, length: BLOCK, at: 32 << 20, last: true };
    for piece in [
        outside.clone(),
        Piece { at: 0, ..outside.clone() },
        Piece { at: BLOCK + 1, ..outside.clone() },
        Piece { at: u64::MAX, ..outside.clone() },
        Piece { at: BLOCK, offset: BLOCK, ..outside.clone() },
    ] {
        let pieces = vec![piece.clone()];
        let arrived = Arrived { load: begun.load.clone(), serial: 2, pieces, manifest: None };
        let refused = images.arrive(arrived).await;
        assert!(matches!(refused, Err(Fault::Invalid { field: "pieces", .. })), "{piece:?}: {refused:?}");
    }
    let next = images.begin_at_hand(&made::image(&[("other", b"4")]).told()).await.unwrap();
    assert!(next.window.is_some());
    let late = Filling::of(&made).hand_over(&engine, &images, &begun, 3).await;
    assert!(matches!(late, Err(Fault::Conflict(_))), "{late:?}");
    // The load itself goes on over the network.
    for (blob, content) in made.blobs() {
        let content = futures_util::stream::iter([Ok::<_, String>(bytes::Bytes::copy_from_slice(content))]);
        images.ingest(&begun.load, &blob, 0, content).await.unwrap();
    }
    images.finish(&made.target(&begun.load, &["late:1"])).await.unwrap();
}
