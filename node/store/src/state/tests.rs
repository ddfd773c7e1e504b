//! The state against a model that keeps every old state whole.

use super::*;
use crate::entry::{Extract, Value};
use bytes::Bytes;
use std::collections::BTreeMap;

fn limits() -> Limits {
    Limits { age: Duration::from_secs(300), events_min: 2, events_max: 1000, bytes_max: 1 << 20 }
}

fn extract() -> Extract {
    Arc::new(|_, _| Arc::new(()))
}

fn entry(key: &str, created: u64, revision: u64) -> Arc<Entry> {
    let value = Value { bytes: Bytes::from(format!("{key}@{revision}")), splice: 0 };
    Entry::new(key.into(), value, (created, revision), None, &extract())
}

/// Writes or deletes `key` at the next revision.
fn step(state: &mut State, now: Duration, key: &str, delete: bool) {
    let revision = state.newest().revision + 1;
    let previous = state.newest().get(key).cloned();
    let created = previous.as_ref().map_or(revision, |entry| entry.create_revision);
    let event = match (previous, delete) {
        (Some(previous), true) => Event::delete(previous, entry(key, created, revision)),
        (previous, _) => Event::put(previous, entry(key, created, revision)),
    };
    state.apply(now, revision, &[event]);
}

fn flat(snapshot: &Snapshot) -> BTreeMap<String, u64> {
    snapshot.iter("", None).map(|entry| (entry.key.to_string(), entry.mod_revision)).collect()
}

fn at(state: &mut State, revision: u64) -> Result<Snapshot, RevisionError> {
    let snapshot = state.rewind_to(revision)?.run();
    state.keep(snapshot.clone());
    Ok(snapshot)
}

#[test]
fn every_kept_revision_can_be_read_as_it_was() {
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut state = State::new(1, 1, [], limits());
        let mut model = BTreeMap::from([(1, BTreeMap::new())]);
        for _ in 0..300 {
            let key = format!("/k/{}", random.u32(0..20));
            step(&mut state, Duration::ZERO, &key, random.u8(0..3) == 0);
            model.insert(state.newest().revision, flat(state.newest()));
            if random.u8(0..20) == 0 {
                state.compact(random.u64(1..=state.newest().revision));
            }
            let asked = random.u64(0..state.newest().revision + 2);
            match at(&mut state, asked) {
                Ok(snapshot) => assert_eq!(flat(&snapshot), model[&asked], "seed {seed}, revision {asked}"),
                Err(RevisionError::Compacted { oldest }) => assert!(asked < oldest && oldest == state.oldest()),
                Err(RevisionError::Future { current }) => assert!(asked > current),
            }
        }
    }
}

#[test]
fn history_goes_by_age_but_the_last_events_stay() {
    let mut state = State::new(1, 1, [], limits());
    for second in 0..10 {
        step(&mut state, Duration::from_secs(second * 100), "/a", false);
    }
    // The last event is of second 900, so those before 600 are more than five minutes old.
    assert_eq!(state.oldest(), 7);
    assert_eq!(state.events_after("", 7).unwrap().len(), 4);
    state.trim(Duration::from_secs(100_000));
    assert_eq!(state.events_after("", state.oldest()).unwrap().len(), limits().events_min);
}

#[test]
fn history_is_bounded_in_events_and_bytes() {
    let few = Limits { events_max: 5, ..limits() };
    let mut state = State::new(1, 1, [], few);
    (0..50).for_each(|_| step(&mut state, Duration::ZERO, "/a", false));
    assert_eq!(state.events_after("", state.oldest()).unwrap().len(), 5);

    let small = Limits { bytes_max: 4096, ..limits() };
    let mut state = State::new(1, 1, [], small);
    (0..500).for_each(|_| step(&mut state, Duration::ZERO, "/a", false));
    assert!(state.history_bytes <= 4096, "{}", state.history_bytes);
    assert_eq!(state.newest().count(""), 1);
}

#[test]
fn sizes_return_to_zero_when_everything_is_gone() {
    let mut state = State::new(1, 1, [], limits());
    for key in ["/a", "/b", "/a"] {
        step(&mut state, Duration::ZERO, key, false);
    }
    assert!(state.bytes() > 0);
    for key in ["/a", "/b"] {
        step(&mut state, Duration::ZERO, key, true);
    }
    state.compact(u64::MAX);
    assert_eq!((state.bytes(), state.history_bytes), (0, 0));
    assert_eq!(state.oldest(), state.newest().revision);
}

#[test]
fn a_compaction_takes_whole_revisions() {
    let mut state = State::new(1, 1, [], limits());
    let two = [Event::put(None, entry("/a", 2, 2)), Event::put(None, entry("/b", 2, 2))];
    state.apply(Duration::ZERO, 2, &two);
    step(&mut state, Duration::ZERO, "/c", false);
    state.compact(2);
    assert_eq!(state.events_after("", 1).unwrap_err(), RevisionError::Compacted { oldest: 2 });
    assert_eq!(state.events_after("", 2).unwrap().len(), 1);
}
