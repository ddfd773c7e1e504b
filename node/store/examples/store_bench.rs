//! Figures of the embedded store on this machine: commits a second, opening times, file growth. Asserts nothing.
//!
//! Run with `cargo run --release -p store --example store_bench [FOLDER]`; the folder decides which disk is measured.

use bytes::Bytes;
use std::path::{Path, PathBuf};
use std::time::Instant;
use store::{Embedded, Op, Options, Store, Value};

/// A typical small object.
const VALUE_BYTES: usize = 2_000;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn value(seed: usize) -> Value {
    let mut bytes = vec![b'x'; VALUE_BYTES];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    Value { bytes: Bytes::from(bytes), splice: 0 }
}

fn create(key: String, seed: usize) -> Op {
    Op::Create { key: key.into(), value: value(seed), extra: None }
}

async fn open(path: &Path) -> Outcome<Store> {
    Ok(Store::open(Box::new(Embedded::new(path)?), Options::default()).await?)
}

/// `writers` tasks, each updating `keys` keys of its own in turn.
async fn updates(store: &Store, writers: usize, keys: usize, each: usize) -> Outcome<f64> {
    let start = Instant::now();
    let tasks = (0..writers).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            for round in 0..each {
                let key = format!("/bench/{writer}/{}", round % keys);
                let op = match store.get(&key) {
                    None => create(key, round),
                    Some(entry) => Op::Update {
                        key: key.into(),
                        value: value(round),
                        extra: None,
                        expect_mod_revision: entry.mod_revision,
                    },
                };
                store.commit(vec![op]).await?;
            }
            Ok::<_, store::CommitError>(())
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await??;
    }
    Ok((writers * each) as f64 / start.elapsed().as_secs_f64())
}

async fn opening(folder: &Path, objects: usize) -> Outcome<()> {
    let path = folder.join(format!("open-{objects}.redb"));
    let store = open(&path).await?;
    for chunk in (0..objects).collect::<Vec<_>>().chunks(100) {
        store.commit(chunk.iter().map(|i| create(format!("/objects/{i:06}"), *i)).collect()).await?;
    }
    // A copy of the live file is what a loss of power leaves behind.
    let cut = folder.join(format!("cut-{objects}.redb"));
    std::fs::copy(&path, &cut)?;
    store.close().await;
    for (name, path) in [("clean", &path), ("after a power cut", &cut)] {
        let start = Instant::now();
        let store = open(path).await?;
        let took = start.elapsed();
        println!("open {objects} objects, {name}: {took:.1?}, {} MiB", std::fs::metadata(path)?.len() >> 20);
        let start = Instant::now();
        let listed = store.range("/objects/", None, 0).entries.len();
        println!("list {listed} objects: {:.2?}", start.elapsed());
        store.close().await;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let folder = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(folder)?;
    for (writers, each) in [(1, 2_000), (64, 300)] {
        let store = open(&folder.path().join(format!("commits-{writers}.redb"))).await?;
        let rate = updates(&store, writers, 10, each).await?;
        println!("{writers} writers: {rate:.0} commits/s");
        store.close().await;
    }
    for objects in [5_000, 50_000] {
        opening(folder.path(), objects).await?;
    }
    let path = folder.path().join("growth.redb");
    let store = open(&path).await?;
    for thousands in [20, 40, 60, 80, 100] {
        updates(&store, 100, 1, 200).await?;
        let mib = std::fs::metadata(&path)?.len() as f64 / f64::from(1 << 20);
        println!("{thousands},000 updates of 100 keys: file {mib:.1} MiB, history from {}", store.oldest_revision());
    }
    let start = Instant::now();
    let old = store.snapshot_at(store.oldest_revision())?;
    let back = store.revision() - old.revision;
    println!("the state {back} revisions ago: {:.1?}, {} keys", start.elapsed(), old.count(""));
    store.close().await;
    open(&path).await?.close().await;
    println!("after opening it again: {:.1} MiB", std::fs::metadata(&path)?.len() as f64 / f64::from(1 << 20));
    Ok(())
}
