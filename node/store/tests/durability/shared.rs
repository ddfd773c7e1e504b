//! Two stores on one medium that others write to as well, as with an etcd cluster: both see one order of changes.

use crate::ops::{create, text, update};
use bytes::Bytes;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::backend::ledger::Ledger;
use store::backend::{Backend, BackendError, Batch, Change, Loaded, Pending, Verdict};
use store::{CommitError, Key, Options, Store, Watch};
use tokio::sync::mpsc;

const LONG: Duration = Duration::from_secs(60);
/// More than any test here writes.
const STREAM_MAX: usize = 10_000;

#[derive(Default)]
struct Cluster {
    ledger: Ledger,
    streams: Vec<mpsc::Sender<Vec<Change>>>,
}

/// A medium that tells everyone what anyone does. Its answers and its stream are independent, as over a network.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Cluster>>);

impl Shared {
    fn commit_all(&self, group: &[Batch]) -> Vec<Verdict> {
        let mut cluster = self.0.lock().unwrap();
        let commit = |batch| {
            let verdict = cluster.ledger.commit(batch);
            if let Verdict::Committed(revision) = verdict {
                let changes: Vec<_> = cluster.ledger.changes_after(revision - 1).cloned().collect();
                cluster.streams.retain(|stream| stream.try_send(changes.clone()).is_ok());
            }
            verdict
        };
        group.iter().map(commit).collect()
    }
}

impl Backend for Shared {
    fn load(&mut self) -> Pending<'_, Result<Loaded, BackendError>> {
        Box::pin(async { Ok(self.0.lock().unwrap().ledger.load()) })
    }

    fn commit(&mut self, group: Vec<Batch>) -> Pending<'_, Result<Vec<Verdict>, BackendError>> {
        Box::pin(async move { Ok(self.commit_all(&group)) })
    }

    fn compact(&mut self, revision: u64) -> Pending<'_, Result<(), BackendError>> {
        Box::pin(async move {
            self.0.lock().unwrap().ledger.compact(revision);
            Ok(())
        })
    }

    fn watch(&mut self, revision: u64) -> Pending<'_, Result<Option<mpsc::Receiver<Vec<Change>>>, BackendError>> {
        Box::pin(async move {
            let (sender, stream) = mpsc::channel(STREAM_MAX);
            let mut cluster = self.0.lock().unwrap();
            assert_eq!(cluster.ledger.revision(), revision, "nobody writes while a test opens its stores");
            cluster.streams.push(sender);
            Ok(Some(stream))
        })
    }

    fn close(&mut self) -> Pending<'_, ()> {
        Box::pin(async {})
    }
}

async fn pair() -> (Shared, Store, Store) {
    let medium = Shared::default();
    let one = Store::open(Box::new(medium.clone()), Options::default()).await.unwrap();
    let two = Store::open(Box::new(medium.clone()), Options::default()).await.unwrap();
    (medium, one, two)
}

async fn seen(watch: &mut Watch, upto: u64) -> Vec<(u64, String, String)> {
    let mut seen: Vec<(u64, String, String)> = Vec::new();
    while seen.last().is_none_or(|(revision, ..)| *revision < upto) {
        let event = watch.next().await.unwrap();
        seen.push((event.revision, event.key.to_string(), text(event.shown())));
    }
    seen
}

#[tokio::test]
async fn both_stores_see_the_changes_of_both_in_one_order() {
    let (_medium, one, two) = pair().await;
    let (mut first, mut second) = (one.watch("/", 1).unwrap(), two.watch("/", 1).unwrap());
    let writers = [&one, &two].into_iter().cloned().enumerate().map(|(n, store)| {
        tokio::spawn(async move {
            for round in 0..100 {
                let done = store.commit(vec![create(&format!("/{n}/{round}"), &round.to_string())]).await.unwrap();
                assert_eq!(store.get(&format!("/{n}/{round}")).unwrap().mod_revision, done.revision);
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let order = seen(&mut first, 201).await;
    assert_eq!(order, seen(&mut second, 201).await);
    assert_eq!(order.iter().map(|(revision, ..)| *revision).collect::<Vec<_>>(), (2..=201).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_conflict_with_another_store_shows_its_state() {
    let (_medium, one, two) = pair().await;
    one.commit(vec![create("/a", "1")]).await.unwrap();
    // Whether or not the second store has heard of the key by now, it must not make it again.
    match two.commit(vec![create("/a", "2")]).await {
        Err(CommitError::AlreadyExists { current, .. }) => assert_eq!(text(&current), "1"),
        other => panic!("{other:?}"),
    }
    two.commit(vec![update("/a", "2", 2)]).await.unwrap();
    match one.commit(vec![update("/a", "3", 2)]).await {
        Err(CommitError::Conflict { current, .. }) => assert_eq!(text(&current.unwrap()), "2"),
        other => panic!("{other:?}"),
    }
    assert_eq!((one.revision(), two.revision()), (3, 3));
}

#[tokio::test]
async fn a_foreign_value_that_cannot_be_read_is_reported_and_leaves_the_map() {
    let (medium, one, _two) = pair().await;
    one.commit(vec![create("/a", "1")]).await.unwrap();
    let write =
        |sealed| store::backend::Write { key: Key::from("/a"), expect: 2, action: store::backend::Action::Put(sealed) };
    medium.commit_all(&[vec![write(Bytes::from_static(b"not an envelope"))]]);
    one.wait_for(3, LONG).await.unwrap();
    assert!(one.get("/a").is_none() && one.corrupt().contains_key("/a"));
}

#[tokio::test]
async fn a_store_that_loses_the_stream_of_changes_stops_writing_and_keeps_reading() {
    let (medium, one, _two) = pair().await;
    one.commit(vec![create("/a", "1")]).await.unwrap();
    medium.0.lock().unwrap().streams.clear();
    let refused = one.commit(vec![create("/b", "1")]).await;
    assert!(matches!(refused, Err(CommitError::Backend(_))), "{refused:?}");
    assert_eq!(text(&one.get("/a").unwrap()), "1");
}
