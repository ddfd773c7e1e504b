//! What every controller gets: its own client, the shared caches, where to leave events, the clock, the settings.
//!
//! It must not know any single controller.

use crate::gate::Gate;
use api::Tree;
use client::queue::work;
use client::{After, Client, Informers, Meta, Object, ObjectKey, Queue, Recorder, Store};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, Time};
use serde::Serialize;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Reads the time of day.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The queue of most controllers.
pub type Keys = Arc<Queue<ObjectKey>>;

/// A controller's whole life.
pub type Life = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Keys that one controller works on at a time, upstream's `--concurrent-*-syncs` default.
pub const WORKERS: usize = 5;

/// What the controllers are told from outside.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The authorities of the API server, PEM, for `kube-root-ca.crt`.
    pub root_ca_pem: String,
    /// Where the built-in provisioner makes volumes on the node.
    pub volumes_path: String,
    /// How long a node's lease may be old before the node counts as silent; upstream's 50 s.
    pub node_grace: Duration,
    /// Terminated pods that may stay before the oldest are removed; upstream's 12500.
    pub terminated_pods_max: usize,
    /// Where the controllers count.
    pub metrics: Arc<metrics::Values>,
    /// Open when the machine is up.
    pub up: Gate,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            root_ca_pem: String::new(),
            volumes_path: "/var/lib/skerry/volumes".to_owned(),
            node_grace: Duration::from_secs(50),
            terminated_pods_max: 12_500,
            metrics: Arc::new(crate::metrics::values()),
            up: Gate::default(),
        }
    }
}

/// One controller's surroundings.
#[derive(Clone)]
pub struct Context {
    /// Writes as the controller's own user.
    pub client: Client,
    /// Caches shared by all controllers.
    pub informers: Arc<Informers>,
    /// Events in the controller's name.
    pub events: Recorder,
    /// The time of day.
    pub clock: Clock,
    /// What was told from outside.
    pub settings: Arc<Settings>,
    /// Cancelled when the controller is to end.
    pub stop: CancellationToken,
}

impl Context {
    /// The time of day.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Gives every key of a queue to `look` until told to stop.
    pub async fn work<F, Fut>(&self, name: &'static str, queue: &Keys, look: F)
    where
        F: Fn(ObjectKey) -> Fut,
        Fut: Future<Output = Result<After, api::Status>>,
    {
        queue.count(name, &self.settings.metrics);
        work(name, queue.clone(), WORKERS, self.stop.clone(), look).await;
    }
}

/// Wants every object of a store looked at when it changes.
pub fn feed<T: Object>(store: &Store<T>, queue: &Keys) {
    let queue = queue.clone();
    store.on_change(move |change| queue.add(change.latest().key()));
}

/// Wants the controlling owner of every child looked at when the child changes.
pub fn feed_owners<C: Object>(children: &Store<C>, queue: &Keys, owner_kind: &'static str) {
    let queue = queue.clone();
    children.on_change(move |change| {
        for child in change.sides() {
            if let Some(owner) = child.controller().filter(|owner| owner.kind == owner_kind) {
                queue.add(ObjectKey::new(child.namespace(), &owner.name));
            }
        }
    });
}

/// Wants owners looked at that may adopt a child that nobody controls.
pub fn feed_orphans<C: Object, O: Object>(
    children: &Store<C>,
    owners: &Arc<Store<O>>,
    queue: &Keys,
    wants: impl Fn(&O, &C) -> bool + Send + Sync + 'static,
) {
    let (queue, owners) = (queue.clone(), owners.clone());
    children.on_change(move |change| {
        let Some(child) = change.new.as_ref().filter(|child| child.controller().is_none()) else { return };
        for owner in owners.in_namespace(child.namespace()) {
            if wants(&owner, child) {
                queue.add(owner.key());
            }
        }
    });
}

/// Labels as typed objects keep them.
pub type Labels = BTreeMap<String, String>;

/// Whether a typed label selector takes these labels. An absent selector takes nothing, an empty one everything.
#[must_use]
pub fn selects(selector: Option<&LabelSelector>, labels: Option<&Labels>) -> bool {
    let Some(selector) = selector else { return false };
    let value = |key: &str| labels.and_then(|l| l.get(key)).map(String::as_str);
    let by_map = selector.match_labels.iter().flatten().all(|(key, want)| value(key) == Some(want));
    by_map
        && selector.match_expressions.iter().flatten().all(|term| {
            let listed = |v: &str| term.values.iter().flatten().any(|want| want == v);
            match term.operator.as_str() {
                "In" => value(&term.key).is_some_and(listed),
                "NotIn" => !value(&term.key).is_some_and(listed),
                "Exists" => value(&term.key).is_some(),
                "DoesNotExist" => value(&term.key).is_none(),
                _ => false,
            }
        })
}

/// Whether a plain map of labels, which must not be empty, is part of these labels.
#[must_use]
pub fn selects_map(selector: Option<&Labels>, labels: Option<&Labels>) -> bool {
    let Some(selector) = selector.filter(|s| !s.is_empty()) else { return false };
    selector.iter().all(|(key, want)| labels.and_then(|l| l.get(key)) == Some(want))
}

/// A typed value as a tree, for the pure crates that read trees.
#[must_use]
pub fn tree(value: &impl Serialize) -> Tree {
    let json = serde_json::to_vec(value).unwrap_or_default();
    Tree::from_json(&json).map(|decoded| decoded.tree).unwrap_or_default()
}

/// A moment as the API writes it: whole seconds.
#[must_use]
pub fn seconds(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

/// How long until a moment; zero when it has passed.
#[must_use]
pub fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO)
}

/// Seconds as a signed span.
#[must_use]
pub fn span(seconds: i64) -> jiff::SignedDuration {
    jiff::SignedDuration::from_secs(seconds)
}
