//! The work queue: keys that want to be looked at. A key is there once however often it is added, is worked on by one
//! worker at a time, may be added for later, and is put off longer with each failure.
//!
//! It must not know what a key stands for.

use crate::backoff::Backoff;
use api::Status;
use metrics::{Metric, Values};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet, VecDeque};
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Waits after failures of one key. Upstream's controllers begin at 5 ms too; their cap of 1000 s suits a fleet, not
/// one machine whose user is watching.
pub const RETRY: Backoff = Backoff { first: Duration::from_millis(5), cap: Duration::from_secs(60) };

/// Upstream's bounds for the times of work queues, seconds.
const BOUNDS: &[f64] = &[1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0];

static ADDS: Metric = Metric::counter("workqueue_adds_total", &["name"], "Keys that were put into the queue.");
static DEPTH: Metric = Metric::gauge("workqueue_depth", &["name"], "Keys that wait in the queue.");
static RETRIES: Metric =
    Metric::counter("workqueue_retries_total", &["name"], "Keys that were put off after a failure.");
static QUEUED: Metric = Metric::histogram(
    "workqueue_queue_duration_seconds",
    &["name"],
    BOUNDS,
    "How long keys waited in the queue until a worker took them.",
);
static WORKED: Metric =
    Metric::histogram("workqueue_work_duration_seconds", &["name"], BOUNDS, "How long the look at a key took.");

/// What work queues tell of themselves.
pub static METRICS: metrics::Table = &[&ADDS, &DEPTH, &RETRIES, &QUEUED, &WORKED];

/// Where a queue counts, and its name there.
struct Counted {
    name: &'static str,
    values: Arc<Values>,
}

struct Inner<K> {
    ready: VecDeque<K>,
    /// Keys in `ready`, or to go there when their worker is done.
    dirty: HashSet<K>,
    working: HashSet<K>,
    /// When delayed keys come in; stale entries of the heap are skipped.
    due: BTreeMap<K, Instant>,
    heap: BinaryHeap<Reverse<(Instant, K)>>,
    failures: HashMap<K, u32>,
    /// Since when keys wait that are in `dirty`.
    since: HashMap<K, Instant>,
}

/// A queue of keys.
pub struct Queue<K> {
    inner: Mutex<Inner<K>>,
    wake: Notify,
    retry: Backoff,
    counted: OnceLock<Counted>,
}

/// What a worker says after a look at a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Nothing until something changes.
    Done,
    /// Look again then.
    In(Duration),
}

impl<K: Clone + Eq + Hash + Ord> Default for Queue<K> {
    fn default() -> Queue<K> {
        Queue::new(RETRY)
    }
}

impl<K: Clone + Eq + Hash + Ord> Queue<K> {
    /// An empty queue that puts failed keys off as given.
    #[must_use]
    pub fn new(retry: Backoff) -> Queue<K> {
        let inner = Inner {
            ready: VecDeque::new(),
            dirty: HashSet::new(),
            working: HashSet::new(),
            due: BTreeMap::new(),
            heap: BinaryHeap::new(),
            failures: HashMap::new(),
            since: HashMap::new(),
        };
        Queue { inner: Mutex::new(inner), wake: Notify::new(), retry, counted: OnceLock::new() }
    }

    /// Counts from now on under a name. What was added before counts as added now.
    pub fn count(&self, name: &'static str, values: &Arc<Values>) {
        let counted = self.counted.get_or_init(|| Counted { name, values: values.clone() });
        let inner = self.lock();
        counted.depth(&inner);
        counted.added(inner.ready.len());
    }

    /// How many keys wait, and how many more come in later.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.ready.len(), inner.due.len())
    }

    fn lock(&self) -> MutexGuard<'_, Inner<K>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wants a key looked at.
    pub fn add(&self, key: K) {
        let mut inner = self.lock();
        let there = inner.dirty.len();
        let wake = inner.add(key);
        if let Some(counted) = self.counted.get() {
            counted.added(inner.dirty.len() - there);
            counted.depth(&inner);
        }
        drop(inner);
        if wake {
            self.wake.notify_one();
        }
    }

    /// Wants a key looked at after a while; of several such wishes the earliest counts.
    pub fn add_after(&self, key: K, wait: Duration) {
        if wait.is_zero() {
            return self.add(key);
        }
        let mut inner = self.lock();
        let at = Instant::now() + wait;
        if inner.due.get(&key).is_some_and(|earlier| *earlier <= at) {
            return;
        }
        inner.due.insert(key.clone(), at);
        inner.heap.push(Reverse((at, key)));
        drop(inner);
        self.wake.notify_one();
    }

    /// Wants a key looked at again after a failure, later with each one.
    pub fn retry(&self, key: K) {
        let mut inner = self.lock();
        let failures = inner.failures.entry(key.clone()).or_insert(0);
        *failures += 1;
        let wait = self.retry.after(*failures);
        drop(inner);
        if let Some(counted) = self.counted.get() {
            counted.values.count(&RETRIES, &[counted.name]);
        }
        self.add_after(key, wait);
    }

    /// Forgets a key's failures.
    pub fn forget(&self, key: &K) {
        self.lock().failures.remove(key);
    }

    /// Failures of a key in a row.
    #[must_use]
    pub fn failures(&self, key: &K) -> u32 {
        self.lock().failures.get(key).copied().unwrap_or(0)
    }

    /// The next key; waits for one. [`Queue::done`] must follow.
    pub async fn take(&self) -> K {
        loop {
            let next_due = {
                let mut inner = self.lock();
                let (now, there) = (Instant::now(), inner.dirty.len());
                inner.mature(now);
                let matured = inner.dirty.len() - there;
                if let Some(key) = inner.ready.pop_front() {
                    inner.dirty.remove(&key);
                    let since = inner.since.remove(&key);
                    if let Some(counted) = self.counted.get() {
                        counted.added(matured);
                        counted.depth(&inner);
                        let waited = now.duration_since(since.unwrap_or(now));
                        counted.values.observe(&QUEUED, &[counted.name], waited.as_secs_f64());
                    }
                    inner.working.insert(key.clone());
                    if !inner.ready.is_empty() {
                        self.wake.notify_one();
                    }
                    return key;
                }
                inner.heap.peek().map(|Reverse((at, _))| *at)
            };
            match next_due {
                None => self.wake.notified().await,
                Some(at) => tokio::select! {
                    () = self.wake.notified() => (),
                    () = tokio::time::sleep_until(at) => (),
                },
            }
        }
    }

    /// A worker is done with a key; if it was added meanwhile it comes again.
    pub fn done(&self, key: &K) {
        let mut inner = self.lock();
        inner.working.remove(key);
        if inner.dirty.contains(key) {
            inner.ready.push_back(key.clone());
            drop(inner);
            self.wake.notify_one();
        }
    }
}

impl<K: Clone + Eq + Hash + Ord> Inner<K> {
    fn add(&mut self, key: K) -> bool {
        if !self.dirty.insert(key.clone()) {
            return false;
        }
        self.since.insert(key.clone(), Instant::now());
        if self.working.contains(&key) {
            return false;
        }
        self.ready.push_back(key);
        true
    }

    /// Moves the delayed keys whose time has come.
    fn mature(&mut self, now: Instant) {
        while let Some(Reverse((at, _))) = self.heap.peek() {
            if *at > now {
                return;
            }
            if let Some(Reverse((at, key))) = self.heap.pop()
                && self.due.get(&key) == Some(&at)
            {
                self.due.remove(&key);
                self.add(key);
            }
        }
    }
}

impl Counted {
    #[allow(clippy::cast_precision_loss, reason = "metrics are floating point")]
    fn added(&self, count: usize) {
        self.values.add(&ADDS, &[self.name], count as f64);
    }

    #[allow(clippy::cast_precision_loss, reason = "metrics are floating point")]
    fn depth<K>(&self, inner: &Inner<K>) {
        self.values.set(&DEPTH, &[self.name], inner.ready.len() as f64);
    }
}

/// Gives every key to `look`, a few at a time, until told to stop. Failures are told and tried again later.
pub async fn work<K, F, Fut>(name: &'static str, queue: Arc<Queue<K>>, workers: usize, stop: CancellationToken, look: F)
where
    K: Clone + Eq + Hash + Ord + std::fmt::Display,
    F: Fn(K) -> Fut,
    Fut: Future<Output = Result<After, Status>>,
{
    let worker = || async {
        loop {
            let key = queue.take().await;
            let began = Instant::now();
            let result = look(key.clone()).await;
            if let Some(counted) = queue.counted.get() {
                counted.values.observe(&WORKED, &[counted.name], began.elapsed().as_secs_f64());
            }
            match result {
                Ok(after) => {
                    queue.forget(&key);
                    if let After::In(wait) = after {
                        queue.add_after(key.clone(), wait);
                    }
                }
                Err(status) => {
                    queue.retry(key.clone());
                    let failures = queue.failures(&key);
                    if status.is_conflict() || status.is_not_found() || status.is_already_exists() {
                        tracing::debug!(controller = name, %key, %status, failures, "looked at stale state");
                    } else {
                        tracing::warn!(controller = name, %key, %status, failures, "a step failed, trying again later");
                    }
                }
            }
            queue.done(&key);
        }
    };
    let all = futures_util::future::join_all((0..workers).map(|_| worker()));
    tokio::select! {
        () = stop.cancelled() => (),
        _ = all => (),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn next(queue: &Queue<&'static str>) -> &'static str {
        let key = queue.take().await;
        queue.done(&key);
        key
    }

    fn idle(queue: &Queue<&'static str>) -> bool {
        let mut inner = queue.lock();
        inner.mature(Instant::now());
        inner.ready.is_empty()
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_added_twice_is_there_once() {
        let queue = Queue::default();
        queue.add("a");
        queue.add("b");
        queue.add("a");
        assert_eq!([next(&queue).await, next(&queue).await], ["a", "b"]);
        assert!(idle(&queue));
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_added_while_worked_on_comes_again_after() {
        let queue = Queue::default();
        queue.add("a");
        let key = queue.take().await;
        queue.add("a");
        assert!(idle(&queue));
        queue.done(&key);
        assert_eq!(queue.take().await, "a");
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_counts_what_goes_through_it() {
        let (queue, values) = (Queue::default(), Arc::new(Values::new(&[METRICS])));
        queue.add("before");
        queue.count("q", &values);
        queue.add("a");
        queue.add("a");
        queue.retry("late");
        next(&queue).await;
        next(&queue).await;
        next(&queue).await;
        let mut text = metrics::Text::default();
        metrics::Source::write(&*values, &mut text);
        let text = text.into_string();
        for line in [
            "workqueue_adds_total{name=\"q\"} 3",
            "workqueue_depth{name=\"q\"} 0",
            "workqueue_retries_total{name=\"q\"} 1",
            "workqueue_queue_duration_seconds_count{name=\"q\"} 3",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing in {text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_delays_the_earlier_counts() {
        let queue = Queue::default();
        let start = Instant::now();
        queue.add_after("a", Duration::from_secs(20));
        queue.add_after("a", Duration::from_secs(5));
        queue.add_after("b", Duration::from_secs(30));
        assert_eq!(next(&queue).await, "a");
        assert_eq!(start.elapsed().as_secs(), 5);
        assert_eq!(next(&queue).await, "b");
        assert_eq!(start.elapsed().as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_put_a_key_off_longer_until_it_succeeds() {
        let queue = Queue::new(Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(3) });
        let start = Instant::now();
        for _ in 0..3 {
            queue.retry("a");
            next(&queue).await;
        }
        assert_eq!(start.elapsed().as_secs(), 1 + 2 + 3);
        queue.forget(&"a");
        queue.retry("a");
        next(&queue).await;
        assert_eq!(start.elapsed().as_secs(), 7);
    }
}
