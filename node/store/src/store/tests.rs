//! The store on a volatile medium: preconditions, reads, watches, limits, restarts.

use super::*;
use crate::backend::volatile::Volatile;
use crate::entry::Value;
use crate::envelope::EnvelopeKey;
use crate::watch::{WATCH_QUEUE_MAX, WatchError};
use bytes::Bytes;

const SHORT: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(60);

async fn open(medium: &Volatile, options: Options) -> Store {
    Store::open(Box::new(medium.clone()), options).await.expect("opens")
}

async fn fresh() -> Store {
    open(&Volatile::new(), Options::default()).await
}

fn value(text: &str) -> Value {
    Value { bytes: Bytes::copy_from_slice(text.as_bytes()), splice: 0 }
}

fn create(key: &str, text: &str) -> Op {
    Op::Create { key: key.into(), value: value(text), extra: None }
}

fn update(key: &str, text: &str, expect_mod_revision: u64) -> Op {
    Op::Update { key: key.into(), value: value(text), extra: None, expect_mod_revision }
}

fn delete(key: &str) -> Op {
    Op::Delete { key: key.into(), expect_mod_revision: None, last: None }
}

fn text(entry: &Entry) -> &str {
    std::str::from_utf8(&entry.value.bytes).unwrap()
}

fn keys(page: &Page) -> Vec<&str> {
    page.entries.iter().map(|entry| entry.key.as_str()).collect()
}

#[tokio::test]
async fn the_first_write_gets_revision_two_and_each_write_the_next() {
    let store = fresh().await;
    assert_eq!(store.revision(), 1);
    let made = store.commit(vec![create("/a", "1")]).await.unwrap();
    assert_eq!((made.revision, made.entries[0].create_revision, made.entries[0].mod_revision), (2, 2, 2));
    let changed = store.commit(vec![update("/a", "2", 2)]).await.unwrap();
    assert_eq!((changed.entries[0].create_revision, changed.entries[0].mod_revision), (2, 3));
    let gone = store.commit(vec![delete("/a")]).await.unwrap();
    assert_eq!((gone.entries[0].mod_revision, text(&gone.entries[0])), (4, "2"));
    assert!(store.get("/a").is_none());
    let again = store.commit(vec![create("/a", "3")]).await.unwrap();
    assert_eq!(again.entries[0].create_revision, 5);
}

#[tokio::test]
async fn a_failed_precondition_changes_nothing_and_shows_the_present_state() {
    let store = fresh().await;
    store.commit(vec![create("/a", "1")]).await.unwrap();
    let current_of = |error| match error {
        CommitError::Conflict { current, .. } => current.map(|entry| entry.mod_revision),
        CommitError::AlreadyExists { current, .. } => Some(current.mod_revision),
        other => panic!("{other}"),
    };
    assert_eq!(current_of(store.commit(vec![create("/a", "x")]).await.unwrap_err()), Some(2));
    assert_eq!(current_of(store.commit(vec![update("/a", "x", 1)]).await.unwrap_err()), Some(2));
    let stale = Op::Delete { key: "/a".into(), expect_mod_revision: Some(7), last: None };
    assert_eq!(current_of(store.commit(vec![create("/b", "x"), stale]).await.unwrap_err()), Some(2));
    for op in [update("/b", "x", 2), delete("/b")] {
        assert!(matches!(store.commit(vec![op]).await, Err(CommitError::NotFound { key }) if &*key == "/b"));
    }
    assert_eq!((store.revision(), text(&store.get("/a").unwrap())), (2, "1"));
}

#[tokio::test]
async fn operations_that_make_no_sense_are_refused() {
    let store = fresh().await;
    let long = "k".repeat(op::KEY_BYTES_MAX + 1);
    let beyond = Op::Create { key: "/a".into(), value: Value { bytes: Bytes::new(), splice: 1 }, extra: None };
    for ops in [
        vec![create("/a", ""), delete("/a")],
        vec![create("", "")],
        vec![create(&long, "")],
        vec![create("/a", &"v".repeat(op::VALUE_BYTES_MAX + 1))],
        vec![beyond],
        (0..=op::OPS_MAX).map(|i| create(&format!("/{i}"), "")).collect(),
    ] {
        assert!(matches!(store.commit(ops).await, Err(CommitError::Invalid(_))));
    }
    assert_eq!(store.commit(Vec::new()).await.unwrap().revision, 1);
}

#[tokio::test]
async fn pages_follow_each_other_at_one_revision() {
    let store = fresh().await;
    for name in ["/p/a", "/p/b", "/p/c", "/p0", "/q/a"] {
        store.commit(vec![create(name, "")]).await.unwrap();
    }
    let first = store.range("/p/", None, 2);
    assert_eq!((keys(&first), first.remaining, first.revision), (vec!["/p/a", "/p/b"], 1, 6));
    store.commit(vec![delete("/p/c")]).await.unwrap();
    store.commit(vec![create("/p/d", "")]).await.unwrap();
    let rest = store.snapshot_at(first.revision).unwrap().range("/p/", Some("/p/b"), 2);
    assert_eq!((keys(&rest), rest.remaining, rest.revision), (vec!["/p/c"], 0, 6));
    assert_eq!(keys(&store.range("/p/", None, 0)), ["/p/a", "/p/b", "/p/d"]);
    assert_eq!(store.snapshot().count("/p"), 4);
    assert_eq!(store.snapshot_at(99).unwrap_err(), RevisionError::Future { current: 8 });
}

#[tokio::test]
async fn a_watch_sees_each_change_once_with_the_state_before_and_after() {
    let store = fresh().await;
    store.commit(vec![create("/p/a", "1"), create("/q/a", "1")]).await.unwrap();
    let mut watch = store.watch("/p/", 1).unwrap();
    let (snapshot, mut later) = store.snapshot_and_watch("/p/");
    assert_eq!((snapshot.revision, snapshot.count("/p/")), (2, 1));
    store.commit(vec![update("/p/a", "2", 2)]).await.unwrap();
    let last = Some(value("final"));
    store.commit(vec![Op::Delete { key: "/p/a".into(), expect_mod_revision: Some(3), last }]).await.unwrap();

    let created = watch.next().await.unwrap();
    assert!(created.previous.is_none() && created.revision == 2);
    for watch in [&mut watch, &mut later] {
        let changed = watch.next().await.unwrap();
        assert_eq!((text(changed.previous.as_ref().unwrap()), text(changed.shown())), ("1", "2"));
        let gone = watch.next().await.unwrap();
        assert!(gone.entry.is_none());
        assert_eq!((text(gone.previous.as_ref().unwrap()), text(gone.shown())), ("2", "final"));
        assert_eq!((gone.shown().mod_revision, gone.revision), (4, 4));
        assert!(watch.try_next().unwrap().is_none());
    }
}

#[tokio::test]
async fn a_bookmark_never_runs_ahead_of_what_was_delivered() {
    let store = fresh().await;
    let mut watch = store.watch("/p/", 1).unwrap();
    store.commit(vec![create("/q", "")]).await.unwrap();
    assert_eq!(watch.synced_revision(), 2);
    store.commit(vec![create("/p/a", ""), create("/p/b", "")]).await.unwrap();
    assert_eq!(watch.synced_revision(), 2);
    watch.next().await.unwrap();
    assert_eq!(watch.synced_revision(), 2);
    watch.next().await.unwrap();
    assert_eq!(watch.synced_revision(), 3);
}

#[tokio::test]
async fn a_slow_watch_is_cut_off_and_says_so() {
    let store = fresh().await;
    let mut slow = store.watch("/", 1).unwrap();
    let mut other = store.watch("/elsewhere", 1).unwrap();
    store.commit(vec![create("/a", "")]).await.unwrap();
    for _ in 0..WATCH_QUEUE_MAX + 5 {
        store.commit(vec![update("/a", "", store.revision())]).await.unwrap();
    }
    let mut expected = 2;
    let error = loop {
        match slow.next().await {
            Ok(event) => assert_eq!(event.revision, expected),
            Err(error) => break error,
        }
        expected += 1;
    };
    assert_eq!(expected, 2 + WATCH_QUEUE_MAX as u64);
    assert_eq!(error, WatchError::Lagged { synced: expected - 2 });
    assert_eq!(slow.synced_revision(), expected - 2);
    assert_eq!(slow.next().await.unwrap_err(), error);
    assert!(other.try_next().unwrap().is_none());
}

#[tokio::test]
async fn closing_ends_watches_and_refuses_writes_but_reads_go_on() {
    let store = fresh().await;
    store.commit(vec![create("/a", "1")]).await.unwrap();
    let mut watch = store.watch("/", 2).unwrap();
    store.close().await;
    assert_eq!(watch.next().await.unwrap_err(), WatchError::Closed);
    assert_eq!(store.watch("/", 2).unwrap().next().await.unwrap_err(), WatchError::Closed);
    assert!(matches!(store.commit(vec![create("/b", "")]).await, Err(CommitError::Closed)));
    assert_eq!(text(&store.get("/a").unwrap()), "1");
    store.close().await;
}

#[tokio::test]
async fn waiting_for_a_revision_ends_when_it_comes_or_time_is_up() {
    let store = fresh().await;
    assert_eq!(store.wait_for(1, SHORT).await, Ok(()));
    assert_eq!(store.wait_for(2, SHORT).await, Err(WaitError { wanted: 2, current: 1 }));
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.wait_for(2, LONG).await }
    });
    store.commit(vec![create("/a", "")]).await.unwrap();
    assert_eq!(waiting.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn compaction_ends_old_reads_and_not_the_newest_state() {
    let store = fresh().await;
    store.commit(vec![create("/a", "1")]).await.unwrap();
    store.commit(vec![update("/a", "2", 2)]).await.unwrap();
    store.compact(3).await.unwrap();
    assert_eq!(store.oldest_revision(), 3);
    assert_eq!(store.snapshot_at(2).unwrap_err(), RevisionError::Compacted { oldest: 3 });
    assert!(matches!(store.watch("/", 2), Err(RevisionError::Compacted { oldest: 3 })));
    assert_eq!(text(store.snapshot_at(3).unwrap().get("/a").unwrap()), "2");
}

#[tokio::test]
async fn a_restart_keeps_state_revision_and_history() {
    let medium = Volatile::new();
    let store = open(&medium, Options::default()).await;
    store.commit(vec![create("/a", "1"), create("/b", "1")]).await.unwrap();
    store.commit(vec![update("/a", "2", 2)]).await.unwrap();
    store.commit(vec![delete("/b")]).await.unwrap();
    store.close().await;
    let store = open(&medium, Options::default()).await;
    assert_eq!((store.revision(), store.oldest_revision()), (4, 1));
    assert_eq!(text(store.snapshot_at(2).unwrap().get("/a").unwrap()), "1");
    let mut watch = store.watch("/", 2).unwrap();
    let changed = watch.next().await.unwrap();
    assert_eq!((changed.revision, text(changed.previous.as_ref().unwrap()), text(changed.shown())), (3, "1", "2"));
    assert!(Arc::ptr_eq(changed.shown(), &store.get("/a").unwrap()), "one entry serves history and state");
    assert!(watch.next().await.unwrap().entry.is_none());
    assert_eq!(store.commit(vec![create("/c", "")]).await.unwrap().revision, 5);
}

#[tokio::test]
async fn a_full_store_refuses_growth_and_still_deletes() {
    let store = open(&Volatile::new(), Options { bytes_max: 2000, ..Options::default() }).await;
    store.commit(vec![create("/a", &"x".repeat(1000))]).await.unwrap();
    assert!(matches!(store.commit(vec![create("/b", &"x".repeat(1000))]).await, Err(CommitError::Full(_))));
    store.commit(vec![update("/a", "smaller", 2)]).await.unwrap();
    store.commit(vec![create("/b", &"x".repeat(1000))]).await.unwrap();
    store.commit(vec![delete("/b")]).await.unwrap();
}

#[tokio::test]
async fn a_store_without_its_key_does_not_open() {
    let medium = Volatile::new();
    let keys = vec![EnvelopeKey { id: 4, secret: [9; 32] }];
    let store = open(&medium, Options { keys: keys.clone(), ..Options::default() }).await;
    store.commit(vec![create("/secret", "1")]).await.unwrap();
    store.close().await;
    let refused = Store::open(Box::new(medium.clone()), Options::default()).await;
    assert!(matches!(refused.err(), Some(OpenError::KeyMissing { id: 4, .. })));
    let store = open(&medium, Options { keys, ..Options::default() }).await;
    assert_eq!(text(&store.get("/secret").unwrap()), "1");
}

#[tokio::test]
async fn many_writers_of_one_key_lose_no_update() {
    let store = fresh().await;
    store.commit(vec![create("/n", "0")]).await.unwrap();
    let writers = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut done = 0;
            while done < 25 {
                let entry = store.get("/n").unwrap();
                let next = text(&entry).parse::<u32>().unwrap() + 1;
                done +=
                    u32::from(store.commit(vec![update("/n", &next.to_string(), entry.mod_revision)]).await.is_ok());
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!((text(&store.get("/n").unwrap()), store.revision()), ("200", 202));
}
