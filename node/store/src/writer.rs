//! The only task that changes a store: it drains the queue, commits groups to the backend and publishes them.

mod events;
mod load;

use crate::backend::{Action, Backend, BackendError, Batch, Change, Verdict, Write};
use crate::entry::Key;
use crate::envelope::Envelope;
use crate::group::{self, GROUP_MAX};
use crate::op::{self, CommitError, Committed, Op};
use crate::options::Options;
use crate::store::Shared;
use crate::watch::Event;
pub(crate) use load::load;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Revisions between two reports of forgotten history to the backend: each costs a little, so not at every write.
const COMPACT_STRIDE: u64 = 64;

type Reply<T> = oneshot::Sender<Result<T, CommitError>>;

/// Everything that makes the writer act.
pub(crate) enum Message {
    Commit { ops: Vec<Op>, reply: Reply<Committed> },
    Discard { key: Key, reply: Reply<u64> },
    Compact { revision: u64, reply: Reply<()> },
    Close { reply: oneshot::Sender<()> },
}

/// A request that passed its checks, with what the backend is to do.
struct Ready {
    batch: Batch,
    work: Work,
}

enum Work {
    Commit { ops: Vec<Op>, reply: Reply<Committed> },
    Discard { key: Key, reply: Reply<u64> },
}

/// A caller that has gone away needs no answer, so a failed send is not an error.
fn tell<T>(reply: oneshot::Sender<T>, answer: T) {
    let _gone = reply.send(answer);
}

impl Work {
    fn fail(self, error: CommitError) {
        match self {
            Work::Commit { reply, .. } => tell(reply, Err(error)),
            Work::Discard { reply, .. } => tell(reply, Err(error)),
        }
    }

    fn keys(&self) -> Vec<Key> {
        match self {
            Work::Commit { ops, .. } => ops.iter().map(|op| op.key().clone()).collect(),
            Work::Discard { key, .. } => vec![key.clone()],
        }
    }
}

pub(crate) struct Writer {
    backend: Box<dyn Backend>,
    shared: Arc<Shared>,
    requests: mpsc::Receiver<Message>,
    /// Changes by every writer of a shared backend; then everything is published from here, in its order.
    others: Option<mpsc::Receiver<Vec<Change>>>,
    envelope: Envelope,
    options: Options,
    waiting: VecDeque<Work>,
    /// Why nothing can be written any more.
    broken: Option<String>,
    /// Up to where the backend was told to forget history.
    forgotten: u64,
}

enum Next {
    Messages(Vec<Message>),
    Others(Option<Vec<Change>>),
}

impl Writer {
    pub fn new(
        backend: Box<dyn Backend>,
        shared: Arc<Shared>,
        requests: mpsc::Receiver<Message>,
        others: Option<mpsc::Receiver<Vec<Change>>>,
        envelope: Envelope,
        options: Options,
    ) -> Writer {
        let forgotten = shared.read(|state| state.oldest());
        let waiting = VecDeque::new();
        Writer { backend, shared, requests, others, envelope, options, waiting, broken: None, forgotten }
    }

    /// Runs until every handle is gone or one asks to close.
    pub async fn run(mut self) {
        let mut closing = Vec::new();
        while closing.is_empty() {
            match self.next().await {
                Next::Messages(messages) if messages.is_empty() && self.waiting.is_empty() => break,
                Next::Messages(messages) => closing = self.sort(messages).await,
                Next::Others(Some(changes)) => {
                    self.publish_others(&changes, &mut HashMap::new());
                }
                Next::Others(None) => self.lost(),
            }
            self.commit_group().await;
        }
        while !self.waiting.is_empty() {
            self.commit_group().await;
        }
        self.backend.close().await;
        self.shared.close();
        for reply in closing {
            tell(reply, ());
        }
    }

    /// Waits for something to do; takes what is there without waiting while requests of an earlier turn are left.
    async fn next(&mut self) -> Next {
        let mut messages = Vec::new();
        if !self.waiting.is_empty() {
            while let (true, Ok(message)) = (messages.len() < GROUP_MAX, self.requests.try_recv()) {
                messages.push(message);
            }
            return Next::Messages(messages);
        }
        let Some(others) = &mut self.others else {
            self.requests.recv_many(&mut messages, GROUP_MAX).await;
            return Next::Messages(messages);
        };
        tokio::select! {
            changes = others.recv() => Next::Others(changes),
            _ = self.requests.recv_many(&mut messages, GROUP_MAX) => Next::Messages(messages),
        }
    }

    /// Queues the writes, does the rest at once, and returns who wants the store closed.
    async fn sort(&mut self, messages: Vec<Message>) -> Vec<oneshot::Sender<()>> {
        let mut closing = Vec::new();
        for message in messages {
            match message {
                Message::Commit { ops, reply } => self.waiting.push_back(Work::Commit { ops, reply }),
                Message::Discard { key, reply } => self.waiting.push_back(Work::Discard { key, reply }),
                Message::Compact { revision, reply } => {
                    self.shared.change(|state| state.compact(revision));
                    let done = self.forget(0).await.map_err(|error| CommitError::Backend(error.to_string()));
                    tell(reply, done);
                }
                Message::Close { reply } => closing.push(reply),
            }
        }
        closing
    }

    /// Tells the backend when history has lost more than `stride` revisions since it was told last.
    async fn forget(&mut self, stride: u64) -> Result<(), BackendError> {
        let oldest = self.shared.read(|state| state.oldest());
        if oldest > self.forgotten + stride {
            self.backend.compact(oldest).await?;
            self.forgotten = oldest;
        }
        Ok(())
    }

    async fn commit_group(&mut self) {
        let mut ready = Vec::new();
        let mut grown = 0;
        for work in group::take(&mut self.waiting, Work::keys) {
            match self.check(&work, &mut grown) {
                Ok(batch) => ready.push(Ready { batch, work }),
                Err(error) => work.fail(error),
            }
        }
        if ready.is_empty() {
            return;
        }
        if let Err(error) = self.forget(COMPACT_STRIDE).await {
            tracing::warn!(%error, "compacting the history failed");
        }
        let (batches, work): (Vec<_>, Vec<_>) = ready.into_iter().map(|ready| (ready.batch, ready.work)).unzip();
        match self.backend.commit(batches).await {
            Ok(verdicts) => {
                assert_eq!(verdicts.len(), work.len(), "a backend gives a verdict for every batch");
                self.committed(std::iter::zip(work, verdicts).collect()).await;
            }
            Err(error) => self.failed(work, &error),
        }
    }

    /// Checks a request against the newest state, on which nothing is pending for its keys.
    fn check(&self, work: &Work, grown: &mut u64) -> Result<Batch, CommitError> {
        if let Some(why) = &self.broken {
            return Err(CommitError::Backend(why.clone()));
        }
        let corrupt = self.shared.corrupt();
        match work {
            Work::Discard { key, .. } => {
                let found = corrupt.get(key).ok_or_else(|| CommitError::NotFound { key: key.clone() })?;
                let action = Action::Delete { last: None };
                Ok(vec![Write { key: key.clone(), expect: found.mod_revision, action }])
            }
            Work::Commit { ops, .. } => {
                let damaged = ops.iter().find_map(|op| corrupt.get_key_value(op.key()));
                if let Some((key, found)) = damaged {
                    return Err(CommitError::Corrupt { key: key.clone(), reason: found.reason });
                }
                let (map, bytes) = self.shared.read(|state| (state.newest().map.clone(), state.bytes()));
                let batch = op::prepare(ops, &map, &self.envelope)?;
                let growth = op::growth(ops, &map);
                let limit = self.options.bytes_max;
                if growth > 0 && bytes + *grown + growth > limit {
                    return Err(CommitError::Full(format!("it holds {bytes} of {limit} bytes")));
                }
                *grown += growth;
                Ok(batch)
            }
        }
    }

    /// Publishes what the backend has committed, then answers.
    async fn committed(&mut self, done: Vec<(Work, Verdict)>) {
        let reached = done.iter().map(|(_, verdict)| match verdict {
            Verdict::Committed(revision) | Verdict::Conflict { revision } => *revision,
        });
        let reached = reached.max().unwrap_or(0);
        for (work, verdict) in &done {
            if let (Work::Discard { key, .. }, Verdict::Committed(_)) = (work, verdict) {
                self.shared.corrupt().remove(key);
            }
        }
        let mut answers = if self.others.is_some() {
            let own = done.iter().filter_map(|(work, verdict)| match (work, verdict) {
                (Work::Commit { ops, .. }, Verdict::Committed(revision)) => Some((*revision, ops.as_slice())),
                _ => None,
            });
            let mut own: HashMap<u64, &[Op]> = own.collect();
            self.catch_up(reached, &mut own).await
        } else {
            self.publish_own(&done)
        };
        for (work, verdict) in done {
            self.answer(work, verdict, &mut answers);
        }
    }

    /// Publishes the group of a backend without other writers and returns the events by revision.
    fn publish_own(&self, done: &[(Work, Verdict)]) -> HashMap<u64, Vec<Arc<Event>>> {
        let map = self.shared.read(|state| state.newest().map.clone());
        let mut groups = Vec::new();
        for (work, verdict) in done {
            // The requests of a group have no key in common, so all of them find their old entries in this map.
            match (work, verdict) {
                (Work::Commit { ops, .. }, Verdict::Committed(revision)) => {
                    groups.push((*revision, events::of_ops(ops, *revision, &map, &self.options.extract)));
                }
                (Work::Discard { .. }, Verdict::Committed(revision)) => groups.push((*revision, Vec::new())),
                (_, Verdict::Conflict { .. }) => {}
            }
        }
        self.shared.publish((self.options.clock)(), &groups);
        groups.into_iter().collect()
    }

    /// Publishes what all writers of a shared backend did up to `revision`, and returns the events by revision.
    async fn catch_up(&mut self, revision: u64, own: &mut HashMap<u64, &[Op]>) -> HashMap<u64, Vec<Arc<Event>>> {
        let mut published = HashMap::new();
        while self.shared.read(|state| state.newest().revision) < revision {
            let Some(others) = &mut self.others else { break };
            let Some(changes) = others.recv().await else {
                self.lost();
                break;
            };
            published.extend(self.publish_others(&changes, own));
        }
        published
    }

    /// Publishes the changes of one revision from the stream; `own` are our operations by the revision they got.
    fn publish_others(&self, changes: &[Change], own: &mut HashMap<u64, &[Op]>) -> Option<(u64, Vec<Arc<Event>>)> {
        let revision = changes.first()?.revision;
        let (map, extract) = (self.shared.read(|state| state.newest().map.clone()), &self.options.extract);
        let events = match own.remove(&revision) {
            Some(ops) => events::of_ops(ops, revision, &map, extract),
            None => events::of_changes(changes, &map, &self.envelope, extract, &mut self.shared.corrupt()),
        };
        let group = (revision, events);
        self.shared.publish((self.options.clock)(), std::slice::from_ref(&group));
        Some(group)
    }

    fn answer(&self, work: Work, verdict: Verdict, published: &mut HashMap<u64, Vec<Arc<Event>>>) {
        match (work, verdict) {
            (Work::Commit { reply, .. }, Verdict::Committed(revision)) => {
                let answer = match published.remove(&revision) {
                    Some(events) => {
                        let entries = events.iter().map(|event| event.shown().clone()).collect();
                        Ok(Committed { revision, entries })
                    }
                    None => Err(CommitError::Backend("the commit was not seen in the stream of changes".to_owned())),
                };
                tell(reply, answer);
            }
            (Work::Discard { reply, .. }, Verdict::Committed(revision)) => tell(reply, Ok(revision)),
            (Work::Commit { ops, reply }, Verdict::Conflict { .. }) => {
                let map = self.shared.read(|state| state.newest().map.clone());
                let error = op::prepare(&ops, &map, &self.envelope).err().unwrap_or_else(|| {
                    let key = ops[0].key().clone();
                    let current = map.get(&key).cloned();
                    CommitError::Conflict { key, current }
                });
                tell(reply, Err(error));
            }
            (Work::Discard { key, reply }, Verdict::Conflict { .. }) => {
                tell(reply, Err(CommitError::Conflict { key, current: None }));
            }
        }
    }

    fn failed(&mut self, work: Vec<Work>, error: &BackendError) {
        let answer = match error {
            BackendError::Full(why) => CommitError::Full(why.clone()),
            BackendError::Broken(_) | BackendError::Newer { .. } => {
                tracing::error!(%error, "the store cannot write any more; reads go on");
                self.broken = Some(error.to_string());
                CommitError::Backend(error.to_string())
            }
        };
        for work in work {
            work.fail(answer.clone());
        }
    }

    fn lost(&mut self) {
        tracing::error!("the stream of changes has ended; the store cannot write any more, reads go on");
        self.others = None;
        self.broken = Some("the stream of changes has ended".to_owned());
    }
}

impl Drop for Writer {
    /// However the writer ends, watches must not wait for what can never come.
    fn drop(&mut self) {
        self.shared.close();
    }
}
