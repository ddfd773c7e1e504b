//! Transfers against a small server on the loopback address that misbehaves as told.

use super::*;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const CONTENT: &[u8] = b"a package";

fn sha256() -> String {
    hexadecimal(digest(&SHA256, CONTENT).as_ref())
}

/// Answers each request in turn with the next of `answers`, the last one for ever. Counts the requests.
fn serve(answers: Vec<Vec<u8>>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let at = counted.fetch_add(1, Ordering::SeqCst);
            let _ = stream.write_all(&answers[at.min(answers.len() - 1)]);
        }
    });
    (address, count)
}

fn answer(status: &str, length: usize, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn whole() -> Vec<u8> {
    answer("200 OK", CONTENT.len(), CONTENT)
}

fn fetch(answers: Vec<Vec<u8>>) -> (Result<PathBuf, Fault>, usize, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let (base, count) = serve(answers);
    let fetcher = Fetcher::new(Some(base), folder.path(), Interrupt::never());
    let got = fetcher.pinned("pool/x.deb", &sha256(), CONTENT.len() as u64, &|_| ());
    (got, count.load(Ordering::SeqCst), folder)
}

#[test]
fn a_fetched_file_lies_in_the_cache_under_its_hash() {
    let (got, count, folder) = fetch(vec![whole()]);
    assert_eq!(got.unwrap(), folder.path().join(sha256()));
    assert_eq!(std::fs::read(folder.path().join(sha256())).unwrap(), CONTENT);
    assert_eq!(count, 1);
}

#[test]
fn a_cached_file_is_not_fetched_again() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(sha256()), CONTENT).unwrap();
    let fetcher = Fetcher::new(None, folder.path(), Interrupt::never());
    assert!(fetcher.pinned("pool/x.deb", &sha256(), CONTENT.len() as u64, &|_| ()).is_ok());
}

#[test]
fn a_transfer_that_breaks_off_is_tried_again() {
    let (got, count, _folder) = fetch(vec![answer("200 OK", CONTENT.len(), &CONTENT[..4]), whole()]);
    assert!(got.is_ok(), "{got:?}");
    assert_eq!(count, 2);
}

#[test]
fn a_mirror_that_is_down_for_a_moment_is_tried_again() {
    let (got, count, _folder) = fetch(vec![answer("503 Busy", 0, b""), whole()]);
    assert!(got.is_ok(), "{got:?}");
    assert_eq!(count, 2);
}

#[test]
fn a_wrong_hash_is_refused_and_nothing_is_kept() {
    let (got, count, folder) = fetch(vec![answer("200 OK", CONTENT.len(), b"a pacKage")]);
    let Err(Fault::Other { cause, .. }) = got else { panic!("{got:?}") };
    assert_eq!(Failure::of(cause).code, Code::Refused);
    assert_eq!(count, TRIES as usize);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_file_that_is_gone_is_told_apart_at_once() {
    let (got, count, _folder) = fetch(vec![answer("404 Not Found", 0, b"")]);
    assert!(matches!(got, Err(Fault::Gone(_))), "{got:?}");
    assert_eq!(count, 1);
}

#[test]
fn a_spoiled_file_of_the_cache_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("x");
    std::fs::write(&place, b"something else").unwrap();
    assert!(check_cached(&place, &sha256()).is_err());
    assert!(!place.exists());
}
