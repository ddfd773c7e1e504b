//! What has become ready so far, by name: phases and services put names in, whoever needs one waits for it.

use std::collections::BTreeSet;
use tokio::sync::watch;

/// A set of names that others can wait for. Cheap to clone.
#[derive(Clone)]
pub struct Readiness {
    names: watch::Sender<BTreeSet<&'static str>>,
}

impl Default for Readiness {
    fn default() -> Self {
        Readiness { names: watch::Sender::new(BTreeSet::new()) }
    }
}

impl Readiness {
    /// `name` is ready from now on.
    pub fn set(&self, name: &'static str) {
        self.names.send_if_modified(|names| names.insert(name));
    }

    /// `name` is ready no longer.
    pub fn clear(&self, name: &'static str) {
        self.names.send_if_modified(|names| names.remove(name));
    }

    /// Whether `name` is ready now.
    pub fn has(&self, name: &str) -> bool {
        self.names.borrow().contains(name)
    }

    /// Returns once all of `needed` are ready at the same time.
    pub async fn wait_for(&self, needed: &[&str]) {
        let mut names = self.names.subscribe();
        let all = |names: &BTreeSet<&'static str>| needed.iter().all(|name| names.contains(name));
        names.wait_for(all).await.expect("we hold the sender");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn a_wait_ends_when_everything_needed_is_there() {
        let readiness = Readiness::default();
        let waits = readiness.wait_for(&["disk", "network"]);
        let mut waits = std::pin::pin!(waits);
        readiness.set("disk");
        assert!(waits.as_mut().now_or_never().is_none());
        readiness.set("network");
        assert!(waits.as_mut().now_or_never().is_some());
        readiness.clear("disk");
        assert!(!readiness.has("disk"));
    }
}
