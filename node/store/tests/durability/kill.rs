//! A process that is killed while it writes to a real file loses nothing that it was told is durable.

use crate::ops::{create, text, update};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use store::{Embedded, Options, Store};

/// Names the file to the child; without it, the child's part is nothing to do.
const FILE: &str = "STORE_KILL_FILE";
const KEYS: u64 = 8;
/// Acknowledgements after which the child is killed, one number a life.
const KILL_AFTER: [usize; 6] = [1, 40, 7, 150, 90, 33];

async fn open(path: &Path) -> Store {
    Store::open(Box::new(Embedded::new(path).unwrap()), Options::default()).await.unwrap()
}

/// The child: writes for ever and prints `revision key text` for every acknowledged write.
#[tokio::test]
#[ignore = "runs in a child process of the test below, which ends it"]
async fn child_writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(FILE) else { panic!("{FILE} names no file") };
    let store = open(Path::new(&path)).await;
    let writers = (0..KEYS).map(|n| {
        let store = store.clone();
        tokio::spawn(async move {
            let key = format!("/n/{n}");
            loop {
                let (op, new) = match store.get(&key) {
                    None => (create(&key, "0"), 0),
                    Some(entry) => {
                        let new = text(&entry).parse::<u64>().unwrap() + 1;
                        (update(&key, &new.to_string(), entry.mod_revision), new)
                    }
                };
                let done = store.commit(vec![op]).await.unwrap();
                println!("\nack {} {key} {new}", done.revision);
            }
        })
    });
    let first = writers.collect::<Vec<_>>().swap_remove(0).await;
    panic!("a writer ended: {:?}", first.err());
}

/// One life of the child; returns what it acknowledged.
fn life(path: &Path, acknowledgements: usize) -> Vec<(u64, String, u64)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child_writes_until_it_is_killed", "--ignored", "--nocapture"])
        .env(FILE, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    let mut killed = false;
    // What it had written to the pipe before it was killed counts, too.
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        if let ["ack", revision, key, number] = words[..]
            && let (Ok(revision), Ok(number)) = (revision.parse(), number.parse())
        {
            acknowledged.push((revision, key.to_owned(), number));
        }
        if acknowledged.len() >= acknowledgements && !killed {
            child.kill().unwrap();
            killed = true;
        }
    }
    let status = child.wait().unwrap();
    assert!(killed, "the child ended by itself: {status}");
    acknowledged
}

#[tokio::test]
async fn a_killed_process_loses_no_acknowledged_write() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut newest = 1;
    for acknowledgements in KILL_AFTER {
        let acknowledged = life(&path, acknowledgements);
        let store = open(&path).await;
        for (revision, key, number) in &acknowledged {
            assert!(*revision > newest, "revision {revision} was given before the kill, too");
            let entry = store.get(key).unwrap();
            let (found, at) = (text(&entry).parse::<u64>().unwrap(), entry.mod_revision);
            assert!(at >= *revision && found >= *number, "{key}: {found} at {at}, acknowledged {number} at {revision}");
        }
        assert!(store.revision() >= newest);
        newest = store.revision();
        // Updates carry the expected revision, so a lost or doubled one would show here.
        let total: u64 = store.range("/n/", None, 0).entries.iter().map(|e| text(e).parse::<u64>().unwrap() + 1).sum();
        assert_eq!(total + 1, newest, "every revision is one update");
        store.close().await;
    }
}
