//! The database file: its format, its encryption, damage in it, and what is trimmed from it.

use crate::disk::Disk;
use crate::ops::{create, delete, text, update};
use store::{BackendError, CommitError, Embedded, EnvelopeKey, OpenError, Options, Store};

async fn open(disk: &Disk, options: Options) -> Result<Store, OpenError> {
    Store::open(Box::new(Embedded::on(disk.clone()).expect("a thread")), options).await
}

#[tokio::test]
async fn a_newer_format_is_refused_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let database = redb::Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(redb::TableDefinition::<&str, u64>::new("meta")).unwrap().insert("format", 2).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let before = std::fs::read(&path).unwrap();
    for _ in 0..2 {
        let refused = Store::open(Box::new(Embedded::new(&path).unwrap()), Options::default()).await;
        let Some(OpenError::Backend(error)) = refused.err() else { panic!("it opened") };
        assert!(matches!(error, BackendError::Newer { found: 2, known: 1 }), "{error}");
    }
    assert_eq!(before.len(), std::fs::read(&path).unwrap().len());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    std::fs::write(&path, "x".repeat(10_000)).unwrap();
    let refused = Store::open(Box::new(Embedded::new(&path).unwrap()), Options::default()).await;
    assert!(matches!(refused.err(), Some(OpenError::Backend(BackendError::Broken(_)))));
    assert_eq!(std::fs::read(&path).unwrap().len(), 10_000);
}

#[tokio::test]
async fn a_second_opening_of_the_same_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let first = Store::open(Box::new(Embedded::new(&path).unwrap()), Options::default()).await.unwrap();
    let second = Store::open(Box::new(Embedded::new(&path).unwrap()), Options::default()).await;
    assert!(matches!(second.err(), Some(OpenError::Backend(_))));
    first.close().await;
    Store::open(Box::new(Embedded::new(&path).unwrap()), Options::default()).await.unwrap();
}

#[tokio::test]
async fn a_damaged_value_is_reported_kept_and_can_be_discarded() {
    let disk = Disk::default();
    let store = open(&disk, Options::default()).await.unwrap();
    store.commit(vec![create("/good", "fine")]).await.unwrap();
    store.commit(vec![create("/bad", "NEEDLE-in-a-haystack")]).await.unwrap();
    store.close().await;
    assert!(disk.damage(b"NEEDLE", b'n') > 0);
    for _ in 0..2 {
        let store = open(&disk, Options::default()).await.unwrap();
        let corrupt = store.corrupt();
        let keys: Vec<_> = corrupt.keys().map(|key| key.as_str()).collect();
        assert_eq!(keys, ["/bad"]);
        assert!(store.get("/bad").is_none());
        assert_eq!(text(&store.get("/good").unwrap()), "fine");
        let refused = store.commit(vec![create("/bad", "again")]).await;
        assert!(matches!(refused, Err(CommitError::Corrupt { key, .. }) if &*key == "/bad"));
        store.close().await;
    }
    let store = open(&disk, Options::default()).await.unwrap();
    assert!(matches!(store.discard_corrupt(&"/good".into()).await, Err(CommitError::NotFound { .. })));
    let before = store.revision();
    assert_eq!(store.discard_corrupt(&"/bad".into()).await.unwrap(), before + 1);
    store.commit(vec![create("/bad", "again")]).await.unwrap();
    store.close().await;
    let store = open(&disk, Options::default()).await.unwrap();
    assert!(store.corrupt().is_empty());
    assert_eq!(text(&store.get("/bad").unwrap()), "again");
}

#[tokio::test]
async fn encrypted_values_do_not_stand_in_the_file() {
    for (keys, visible) in [(vec![], true), (vec![EnvelopeKey { id: 1, secret: [3; 32] }], false)] {
        let disk = Disk::default();
        let store = open(&disk, Options { keys, ..Options::default() }).await.unwrap();
        store.commit(vec![create("/secret", "NEEDLE")]).await.unwrap();
        store.commit(vec![update("/secret", "other", 2)]).await.unwrap();
        store.commit(vec![delete("/secret")]).await.unwrap();
        store.close().await;
        assert_eq!(disk.damage(b"NEEDLE", b'N') > 0, visible);
    }
}

#[tokio::test]
async fn history_is_trimmed_from_the_file_and_the_rest_survives() {
    let disk = Disk::default();
    let small = Options { history_events_min: 10, history_events_max: 100, ..Options::default() };
    let store = open(&disk, small).await.unwrap();
    store.commit(vec![create("/a", "0")]).await.unwrap();
    for round in 0..3_000 {
        store.commit(vec![update("/a", &round.to_string(), store.revision())]).await.unwrap();
    }
    let newest = store.revision();
    store.close().await;
    let store = open(&disk, Options::default()).await.unwrap();
    let oldest = store.oldest_revision();
    assert_eq!(store.revision(), newest);
    assert!(oldest <= newest - 100 && oldest > newest - 300, "history on disk begins at {oldest} of {newest}");
    assert_eq!(text(store.snapshot_at(newest - 100).unwrap().get("/a").unwrap()), "2899");
}
