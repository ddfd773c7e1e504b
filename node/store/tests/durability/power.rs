//! Seeded lives of a store on a disk that fails at a random operation: what was acknowledged is there afterwards, in
//! order, once, and revisions never go back.

use crate::disk::{Disk, Fault};
use crate::ops::{create, delete, text, update};
use std::collections::BTreeMap;
use store::{CommitError, Embedded, Op, OpenError, Options, RevisionError, Store, Watch};

const SEEDS: u64 = 24;
const LIVES: usize = 5;
const ROUNDS: usize = 30;
const WRITERS: usize = 6;
const KEYS: u32 = 12;
/// Operations before the fault, at most; some lives end in the opening, some without a fault.
const FAULT_MAX: u64 = 600;

/// Revision, key, and the text after the change.
type Seen = (u64, String, Option<String>);

async fn open(disk: &Disk) -> Result<Store, OpenError> {
    Store::open(Box::new(Embedded::on(disk.clone()).expect("a thread")), Options::default()).await
}

fn contents(store: &Store) -> BTreeMap<String, String> {
    store.snapshot().iter("", None).map(|entry| (entry.key.to_string(), text(entry))).collect()
}

fn drain(watch: &mut Watch) -> Vec<Seen> {
    let mut seen = Vec::new();
    while let Ok(Some(event)) = watch.try_next() {
        let after = event.entry.as_ref().map(|entry| text(entry));
        let before = event.previous.as_ref().map(|entry| entry.mod_revision);
        assert!(before.is_none_or(|before| before < event.revision));
        seen.push((event.revision, event.key.to_string(), after));
    }
    seen
}

/// What the world may believe: every acknowledged change, and those of which it heard only an error.
#[derive(Default)]
struct Model {
    log: Vec<Seen>,
    doubtful: Vec<(String, Option<String>)>,
    writes: u64,
}

impl Model {
    fn newest(&self) -> u64 {
        self.log.last().map_or(1, |(revision, ..)| *revision)
    }

    fn state(&self) -> BTreeMap<String, String> {
        let mut state = BTreeMap::new();
        for (_, key, after) in &self.log {
            match after {
                Some(after) => state.insert(key.clone(), after.clone()),
                None => state.remove(key),
            };
        }
        state
    }

    fn op(&mut self, store: &Store, random: &mut fastrand::Rng) -> (Op, String, Option<String>) {
        let key = format!("/k/{}", random.u32(0..KEYS));
        self.writes += 1;
        // Some values fill several pages.
        let fill = "x".repeat(random.usize(0..3) * random.usize(0..6000));
        let new = format!("{}-{fill}", self.writes);
        match (store.get(&key), random.u8(0..4)) {
            (None, _) => (create(&key, &new), key, Some(new)),
            (Some(_), 0) => (delete(&key), key, None),
            (Some(entry), _) => (update(&key, &new, entry.mod_revision), key, Some(new)),
        }
    }

    /// Several writers at once; `false` when the store cannot write any more.
    async fn round(&mut self, store: &Store, random: &mut fastrand::Rng) -> bool {
        let ops: Vec<_> = (0..WRITERS).map(|_| self.op(store, random)).collect();
        let tasks = ops.into_iter().map(|(op, key, after)| {
            let store = store.clone();
            tokio::spawn(async move { (store.commit(vec![op]).await, key, after) })
        });
        let tasks = tasks.collect::<Vec<_>>();
        let mut done = Vec::new();
        let mut alive = true;
        for task in tasks {
            let (outcome, key, after) = task.await.expect("a writer");
            match outcome {
                Ok(committed) => done.push((committed.revision, key, after)),
                Err(CommitError::Backend(_)) => {
                    alive = false;
                    self.doubtful.push((key, after));
                }
                Err(
                    CommitError::Conflict { .. }
                    | CommitError::AlreadyExists { .. }
                    | CommitError::NotFound { .. }
                    | CommitError::Full(_),
                ) => {}
                Err(other) => panic!("{other}"),
            }
        }
        done.sort();
        for (revision, key, after) in done {
            assert!(revision > self.newest(), "revision {revision} after {}", self.newest());
            self.log.push((revision, key, after));
        }
        alive
    }

    /// After a restart: all that was acknowledged is there, and nothing that nobody wrote.
    fn adopt(&mut self, store: &Store) {
        let known = self.newest();
        assert!(store.revision() >= known, "revision {} after {known}", store.revision());
        let mut late = match store.watch("", known) {
            Ok(mut watch) => drain(&mut watch),
            Err(error) => panic!("history after {known} is gone: {error}"),
        };
        for (revision, key, after) in &late {
            assert!(*revision > known);
            let wanted = self.doubtful.iter().any(|(k, a)| (k, a) == (key, after));
            assert!(wanted, "{key} at {revision} was never asked for");
        }
        self.log.append(&mut late);
        self.doubtful.clear();
        assert_eq!(contents(store), self.state());
    }

    /// History as a watch and as old states, from a random revision.
    fn check_history(&self, store: &Store, random: &mut fastrand::Rng) {
        let from = random.u64(1..=store.revision());
        match store.watch("", from) {
            Ok(mut watch) => {
                let expected: Vec<_> = self.log.iter().filter(|(revision, ..)| *revision > from).cloned().collect();
                assert_eq!(drain(&mut watch), expected);
            }
            Err(RevisionError::Compacted { oldest }) => assert!(from < oldest),
            Err(error) => panic!("{error}"),
        }
        if let Ok(old) = store.snapshot_at(from) {
            let upto = Model {
                log: self.log.iter().filter(|(revision, ..)| *revision <= from).cloned().collect(),
                ..Model::default()
            };
            let found: BTreeMap<_, _> = old.iter("", None).map(|e| (e.key.to_string(), text(e))).collect();
            assert_eq!(found, upto.state());
        }
    }
}

async fn reopen(disk: &Disk, random: &mut fastrand::Rng) -> Store {
    match open(disk).await {
        Ok(store) => store,
        Err(_) => {
            assert!(disk.has_failed(), "opening failed without a fault");
            disk.power_on(random);
            open(disk).await.unwrap_or_else(|error| panic!("opening after a power cut: {error}"))
        }
    }
}

async fn live(disk: &Disk, model: &mut Model, random: &mut fastrand::Rng) {
    let store = reopen(disk, random).await;
    model.adopt(&store);
    model.check_history(&store, random);
    let start = model.newest();
    let mut watch = store.watch("", start).expect("the newest revision");
    for _ in 0..ROUNDS {
        let alive = model.round(&store, random).await;
        assert_eq!(contents(&store), model.state(), "reads show what was acknowledged");
        if !alive {
            assert!(matches!(store.commit(vec![create("/late", "")]).await, Err(CommitError::Backend(_))));
            break;
        }
        if random.u8(0..10) == 0 {
            let upto = random.u64(1..=store.revision());
            store.compact(upto).await.expect("compaction rides on the next commit");
        }
    }
    let seen = drain(&mut watch);
    let expected: Vec<_> = model.log.iter().filter(|(revision, ..)| *revision > start).cloned().collect();
    assert_eq!(seen, expected, "a watch sees every acknowledged change once, in order");
    store.close().await;
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_fault_at_any_operation() {
    let mut faults = 0;
    for seed in 0..SEEDS {
        let mut random = fastrand::Rng::with_seed(seed);
        let (disk, mut model) = (Disk::default(), Model::default());
        for _ in 0..LIVES {
            let fault = if random.bool() { Fault::Power } else { Fault::Io };
            disk.fail_at(random.u64(1..FAULT_MAX), fault);
            live(&disk, &mut model, &mut random).await;
            faults += u32::from(disk.has_failed());
            disk.power_on(&mut random);
        }
        model.adopt(&reopen(&disk, &mut random).await);
    }
    assert!(faults > 50, "only {faults} faults happened");
}

#[tokio::test]
async fn a_full_disk_refuses_writes_loses_nothing_and_recovers() {
    let mut refused = 0;
    for seed in 0..SEEDS {
        let mut random = fastrand::Rng::with_seed(1000 + seed);
        let (disk, mut model) = (Disk::default(), Model::default());
        let store = open(&disk).await.expect("opens");
        for _ in 0..4 {
            model.round(&store, &mut random).await;
            disk.fail_at(random.u64(1..60), Fault::Full);
            for _ in 0..10 {
                assert!(model.round(&store, &mut random).await, "seed {seed}: a full disk must not break the store");
                assert_eq!(contents(&store), model.state());
            }
            let outcome = store.commit(vec![create(&format!("/full/{}", model.writes), "")]).await;
            match outcome {
                Err(CommitError::Full(_)) => refused += 1,
                Ok(done) => model.log.push((done.revision, done.entries[0].key.to_string(), Some(String::new()))),
                Err(other) => panic!("{other}"),
            }
            disk.heal();
            let before = model.log.len();
            model.round(&store, &mut random).await;
            assert!(model.log.len() > before, "seed {seed}: writes go on when there is room again");
        }
        store.close().await;
        disk.power_on(&mut random);
        let store = open(&disk).await.expect("opens");
        model.adopt(&store);
    }
    assert!(refused > 30, "only {refused} writes were refused");
}
