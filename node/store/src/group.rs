//! Which waiting requests share a transaction: pure, by their keys.
//!
//! A request that touches a key of an earlier request of the group waits for the next one, so every precondition is
//! checked against a published state, and a revision that is known only after the commit is never needed before.

use crate::entry::Key;
use std::collections::{HashSet, VecDeque};

/// Requests in one transaction. One fsync for so many is cheap enough; more would make the first wait for the last.
pub(crate) const GROUP_MAX: usize = 256;

/// Takes from `waiting`, in order, the requests that can go together and leaves the rest in order. A request that has
/// to wait holds back later ones with the same keys.
pub(crate) fn take<R>(waiting: &mut VecDeque<R>, keys: impl Fn(&R) -> Vec<Key>) -> Vec<R> {
    let mut busy: HashSet<Key> = HashSet::new();
    let mut group = Vec::new();
    let mut later = VecDeque::new();
    for request in waiting.drain(..) {
        let wanted = keys(&request);
        let free = group.len() < GROUP_MAX && wanted.iter().all(|key| !busy.contains(key));
        busy.extend(wanted);
        if free {
            group.push(request);
        } else {
            later.push_back(request);
        }
    }
    *waiting = later;
    group
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(request: &&str) -> Vec<Key> {
        request.split('+').map(Key::from).collect()
    }

    #[test]
    fn requests_for_one_key_go_one_after_the_other() {
        let mut waiting = VecDeque::from(["a", "b", "a+c", "c", "d", "a"]);
        assert_eq!(take(&mut waiting, keys), ["a", "b", "d"]);
        assert_eq!(take(&mut waiting, keys), ["a+c"]);
        assert_eq!(take(&mut waiting, keys), ["c", "a"]);
        assert!(waiting.is_empty());
    }

    #[test]
    fn a_group_is_bounded() {
        let names: Vec<String> = (0..GROUP_MAX + 3).map(|i| format!("k{i}")).collect();
        let mut waiting: VecDeque<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(take(&mut waiting, keys).len(), GROUP_MAX);
        assert_eq!(waiting.len(), 3);
    }
}
