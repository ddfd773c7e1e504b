//! How deletions are decided.

use super::*;
use api::tree;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn thirty(_: &Tree, requested: Option<i64>) -> i64 {
    requested.unwrap_or(30)
}

fn wish(grace_seconds: Option<i64>) -> DeleteOptions {
    DeleteOptions { grace_seconds, ..DeleteOptions::default() }
}

#[test]
fn a_grace_period_marks_the_object_and_may_only_be_shortened() {
    let mut pod = tree!({"metadata": {"name": "a", "generation": 1}});
    assert_eq!(shorten(&mut pod, &wish(None), thirty, at(0)), Graceful::Yes);
    assert_eq!(pod.str_at(&["metadata", "deletionTimestamp"]), Some("1970-01-01T00:00:30Z"));
    assert_eq!(meta::generation(&pod), 2);
    assert_eq!(shorten(&mut pod, &wish(Some(60)), thirty, at(5)), Graceful::Pending);
    assert_eq!(shorten(&mut pod, &wish(Some(10)), thirty, at(5)), Graceful::Yes);
    assert_eq!(pod.str_at(&["metadata", "deletionTimestamp"]), Some("1970-01-01T00:00:10Z"));
    assert_eq!(shorten(&mut pod, &wish(Some(2)), thirty, at(20)), Graceful::Yes);
    assert_eq!(pod.int_at(&["metadata", "deletionGracePeriodSeconds"]), Some(1));
    assert_eq!(shorten(&mut pod, &wish(Some(0)), thirty, at(21)), Graceful::No);
}

#[test]
fn the_policy_decides_the_finalizers() {
    let object = tree!({"metadata": {"finalizers": ["a/b"]}});
    let with = |policy: Option<&str>, orphan: Option<bool>| DeleteOptions {
        policy: policy.map(str::to_owned),
        orphan,
        ..DeleteOptions::default()
    };
    assert_eq!(with(Some("Foreground"), None).finalizers(&object, false), Some(vec!["a/b".into(), FOREGROUND.into()]));
    assert_eq!(with(None, Some(true)).finalizers(&object, false), Some(vec!["a/b".into(), ORPHAN.into()]));
    assert_eq!(with(None, None).finalizers(&object, false), None);
    assert_eq!(with(None, None).finalizers(&object, true), Some(vec!["a/b".into(), ORPHAN.into()]));
    let orphaning = tree!({"metadata": {"finalizers": ["orphan"]}});
    assert_eq!(with(Some("Background"), None).finalizers(&orphaning, false), Some(vec![]));
}
