//! When a quota is counted again. Admission counts what is made before it is there; to count again after each of its
//! writes would undo it, for the caches do not have yet what was just admitted. So, as upstream's monitors do, a quota
//! is counted when it appears or its limits change, and when something goes or uses another amount.
//!
//! It must not count by itself.

use super::usage::Usage;
use crate::context::Keys;
use client::{Meta, Object, ObjectKey, Store};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ResourceQuota;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Up to which revision of the store each quota's last count speaks. A cache that lagged then shows by an object that is
/// older than the count and appears after it.
#[derive(Clone, Default)]
pub struct Counts {
    revisions: Arc<Mutex<BTreeMap<ObjectKey, u64>>>,
}

impl Counts {
    /// A count begins: whatever appears until it is written may be missing in it.
    pub fn begin(&self, quota: ObjectKey) {
        self.set(quota, u64::MAX);
    }

    /// The count was written with this revision, or was right already at it.
    pub fn end(&self, quota: ObjectKey, revision: u64) {
        self.set(quota, revision);
    }

    /// The quota is gone.
    pub fn forget(&self, quota: &ObjectKey) {
        self.revisions.lock().unwrap_or_else(PoisonError::into_inner).remove(quota);
    }

    fn set(&self, quota: ObjectKey, revision: u64) {
        self.revisions.lock().unwrap_or_else(PoisonError::into_inner).insert(quota, revision);
    }

    fn may_lack(&self, quota: &ObjectKey, revision: u64) -> bool {
        let revisions = self.revisions.lock().unwrap_or_else(PoisonError::into_inner);
        revisions.get(quota).is_some_and(|counted| revision < *counted)
    }
}

/// Wants a quota looked at when it appears, when its limits change and when it is gone.
pub fn feed_limits(quotas: &Store<ResourceQuota>, queue: &Keys) {
    let queue = queue.clone();
    quotas.on_change(move |change| {
        let hard = |side: &Option<Arc<ResourceQuota>>| side.as_ref().and_then(|q| q.spec.as_ref()?.hard.clone());
        let uid = |side: &Option<Arc<ResourceQuota>>| side.as_ref().map(|q| q.uid().to_owned());
        if uid(&change.old) != uid(&change.new) || hard(&change.old) != hard(&change.new) {
            queue.add(change.latest().key());
        }
    });
}

/// Wants the quotas of a namespace looked at when something in it went, uses another amount, or is missing in the count.
pub fn feed_quotas<T: Object>(
    store: &Store<T>,
    quotas: &Arc<Store<ResourceQuota>>,
    (counts, queue): (&Counts, &Keys),
    add: impl Fn(&mut Usage, &T) + Send + Sync + 'static,
) {
    let (quotas, counts, queue) = (quotas.clone(), counts.clone(), queue.clone());
    store.on_change(move |change| {
        for quota in quotas.in_namespace(change.latest().namespace()) {
            let used = |object: &T| {
                let mut usage = Usage::new(&quota, Timestamp::UNIX_EPOCH);
                add(&mut usage, object);
                usage
            };
            let counts_anew = match (&change.old, &change.new) {
                (Some(old), Some(new)) => used(old) != used(new),
                (None, Some(new)) => counts.may_lack(&quota.key(), new.revision()),
                (_, None) => true,
            };
            if counts_anew {
                queue.add(quota.key());
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_lacks_what_is_older_and_appears_later() {
        let (counts, quota) = (Counts::default(), ObjectKey::new("a", "q"));
        assert!(!counts.may_lack(&quota, 5), "nothing was counted yet");
        counts.begin(quota.clone());
        assert!(counts.may_lack(&quota, 5));
        counts.end(quota.clone(), 7);
        assert!(counts.may_lack(&quota, 6) && !counts.may_lack(&quota, 8));
        counts.forget(&quota);
        assert!(!counts.may_lack(&quota, 6));
    }
}
