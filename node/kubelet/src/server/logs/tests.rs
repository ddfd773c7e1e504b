//! Logs as files on disk: several of them, packed ones, growing ones.

use super::options::Options;
use super::read::{Chunks, Following, start};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// How long anything is waited for.
const WAIT_MAX: Duration = Duration::from_secs(30);

struct Log {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Log {
    fn new() -> Log {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.log");
        Log { _folder: folder, path }
    }

    fn append(&self, lines: &[&str]) {
        let mut file = std::fs::File::options().append(true).create(true).open(&self.path).unwrap();
        file.write_all(written(lines).as_bytes()).unwrap();
    }

    fn rotate(&self, stamp: &str) {
        std::fs::rename(&self.path, self.older(stamp)).unwrap();
    }

    fn older(&self, stamp: &str) -> PathBuf {
        PathBuf::from(format!("{}.{stamp}", self.path.display()))
    }
}

fn written(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("2026-01-02T03:04:05Z stdout F {line}\n")).collect()
}

async fn rest(mut chunks: Chunks) -> String {
    let mut text = Vec::new();
    while let Some(chunk) = tokio::time::timeout(WAIT_MAX, chunks.recv()).await.unwrap() {
        text.extend_from_slice(&chunk.unwrap());
    }
    String::from_utf8(text).unwrap().replace('\n', " ")
}

async fn check(log: &Log, options: Options) -> String {
    rest(start(log.path.clone(), options, None).await.unwrap()).await
}

#[tokio::test]
async fn older_files_are_read_first_and_only_as_far_as_wanted() {
    let log = Log::new();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(written(&["a", "b"]).as_bytes()).unwrap();
    std::fs::write(log.older("20260101-000000.gz"), packed.finish().unwrap()).unwrap();
    log.append(&["c", "d"]);
    log.rotate("20260102-000000");
    log.append(&["e", "f"]);
    std::fs::write(log.older("tmp"), "no log").unwrap();
    assert_eq!(check(&log, Options::default()).await, "a b c d e f ");
    for (tail, wants) in
        [(0, ""), (1, "f "), (2, "e f "), (3, "d e f "), (4, "c d e f "), (5, "b c d e f "), (9, "a b c d e f ")]
    {
        assert_eq!(check(&log, Options { tail: Some(tail), ..Options::default() }).await, wants, "{tail}");
    }
    assert_eq!(check(&log, Options { limit: Some(5), ..Options::default() }).await, "a b c");
}

#[tokio::test]
async fn a_missing_log_is_an_error_at_once() {
    let error = start(PathBuf::from("/nonexistent/0.log"), Options::default(), None).await.unwrap_err();
    assert!(error.to_string().contains("failed to open log file \"/nonexistent/0.log\""), "{error}");
}

struct Container {
    alive: Arc<AtomicBool>,
    changes: watch::Sender<u64>,
    places: Arc<Semaphore>,
}

impl Container {
    fn new() -> Container {
        let alive = Arc::new(AtomicBool::new(true));
        Container { alive, changes: watch::Sender::new(0), places: Arc::new(Semaphore::new(1)) }
    }

    fn following(&self) -> Following {
        let alive = self.alive.clone();
        Following {
            alive: Box::new(move || alive.load(Ordering::SeqCst)),
            changes: self.changes.subscribe(),
            place: self.places.clone().try_acquire_owned().unwrap(),
        }
    }

    fn end(&self) {
        self.alive.store(false, Ordering::SeqCst);
        self.changes.send_modify(|n| *n += 1);
    }
}

async fn next(chunks: &mut Chunks) -> String {
    let chunk = tokio::time::timeout(WAIT_MAX, chunks.recv()).await.unwrap();
    String::from_utf8(chunk.unwrap().unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn a_log_is_followed_through_rotation_until_the_container_ends() {
    let (log, container) = (Log::new(), Container::new());
    log.append(&["a", "b"]);
    let options = Options { follow: true, tail: Some(1), ..Options::default() };
    let mut chunks = start(log.path.clone(), options, Some(container.following())).await.unwrap();
    assert_eq!(next(&mut chunks).await, "b\n");
    log.append(&["c"]);
    assert_eq!(next(&mut chunks).await, "c\n");
    log.append(&["d"]);
    log.rotate("20260102-000000");
    log.append(&["e"]);
    log.append(&["f"]);
    container.end();
    assert_eq!(rest(chunks).await, "d e f ");
}

#[tokio::test]
async fn a_line_in_two_writes_is_sent_once_it_is_whole() {
    let (log, container) = (Log::new(), Container::new());
    log.append(&["a"]);
    let options = Options { follow: true, ..Options::default() };
    let mut chunks = start(log.path.clone(), options, Some(container.following())).await.unwrap();
    assert_eq!(next(&mut chunks).await, "a\n");
    let line = written(&["whole"]);
    let mut file = std::fs::File::options().append(true).open(&log.path).unwrap();
    file.write_all(&line.as_bytes()[..20]).unwrap();
    file.write_all(&line.as_bytes()[20..]).unwrap();
    assert_eq!(next(&mut chunks).await, "whole\n");
    container.end();
    assert_eq!(rest(chunks).await, "");
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_place() {
    let (log, container) = (Log::new(), Container::new());
    log.append(&["a"]);
    let options = Options { follow: true, ..Options::default() };
    let mut chunks = start(log.path.clone(), options, Some(container.following())).await.unwrap();
    assert_eq!(next(&mut chunks).await, "a\n");
    drop(chunks);
    drop(tokio::time::timeout(WAIT_MAX, container.places.acquire()).await.unwrap().unwrap());
}
