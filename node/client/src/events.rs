//! `Recorder`: tells users what a component did, as Event objects; repeats are counted in one object, a flood about
//! one object is dropped. Behaviour as client-go's `tools/record` (core v1) and `tools/events` (events.k8s.io).
//!
//! Pure core: the correlation. It must not know what the reasons mean.

use crate::client::Client;
use crate::options::Patch;
use crate::resource::{Meta, Object};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Events waiting to be written; more are dropped, as client-go does with its queue of 1000.
pub const WAITING_MAX: usize = 1000;
/// Kinds of event remembered for counting, as client-go's cache of 4096.
pub const REMEMBERED_MAX: usize = 4096;
/// How long a repeat still counts as one, as client-go's 600 s.
pub const REPEAT_WINDOW: SignedDuration = SignedDuration::from_secs(600);
/// Events about one object that may come at once, as client-go's burst.
pub const BURST: u32 = 25;
/// One more event about an object is allowed after each such time, as client-go's 1/300 per second.
pub const REFILL: SignedDuration = SignedDuration::from_secs(300);
/// Bytes of an event's message, as the API allows.
pub const MESSAGE_BYTES_MAX: usize = 1024;

/// Which of the two faces of an Event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// Core v1, counted by `count`.
    Core,
    /// events.k8s.io/v1, counted by `series`.
    Series,
}

/// The object an event is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct About {
    /// Of the object.
    pub api_version: String,
    /// Of the object.
    pub kind: String,
    /// Of the object; empty for cluster-scoped ones.
    pub namespace: String,
    /// Of the object.
    pub name: String,
    /// Of the object.
    pub uid: String,
    /// Of the object.
    pub resource_version: String,
}

impl About {
    /// A reference to a typed object.
    pub fn of<T: Object>(object: &T) -> About {
        About {
            api_version: T::API_VERSION.to_owned(),
            kind: T::KIND.to_owned(),
            namespace: object.namespace().to_owned(),
            name: object.name().to_owned(),
            uid: object.uid().to_owned(),
            resource_version: object.resource_version().to_owned(),
        }
    }

    fn to_json(&self) -> Value {
        let mut value = json!({"apiVersion": self.api_version, "kind": self.kind, "name": self.name, "uid": self.uid});
        if !self.namespace.is_empty() {
            value["namespace"] = json!(self.namespace);
        }
        if !self.resource_version.is_empty() {
            value["resourceVersion"] = json!(self.resource_version);
        }
        value
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Happening {
    /// `Warning` rather than `Normal`.
    pub warning: bool,
    /// CamelCase, for machines.
    pub reason: String,
    /// What the component was doing; used by [`Face::Series`] only.
    pub action: String,
    /// For people.
    pub message: String,
}

struct Telling {
    about: About,
    happening: Happening,
    at: Timestamp,
}

/// Where a component leaves its events. Cheap to clone; never waits.
#[derive(Clone)]
pub struct Recorder {
    waiting: mpsc::Sender<Telling>,
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Recorder {
    /// A recorder that writes as this client's user in the name of `component`, until the last clone is dropped.
    #[must_use]
    pub fn new(
        client: Client,
        component: &str,
        instance: &str,
        face: Face,
        clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    ) -> Recorder {
        let (waiting, mut told) = mpsc::channel::<Telling>(WAITING_MAX);
        let source = Source { component: component.to_owned(), instance: instance.to_owned(), face };
        tokio::spawn(async move {
            let mut correlator = Correlator::default();
            while let Some(telling) = told.recv().await {
                write(&client, &source, &mut correlator, telling).await;
            }
        });
        Recorder { waiting, clock }
    }

    /// Tells of something normal.
    pub fn normal<T: Object>(&self, about: &T, reason: &str, message: impl Into<String>) {
        self.tell(About::of(about), false, reason, reason, message.into());
    }

    /// Tells of something that went wrong.
    pub fn warning<T: Object>(&self, about: &T, reason: &str, message: impl Into<String>) {
        self.tell(About::of(about), true, reason, reason, message.into());
    }

    /// Tells of anything about any object.
    pub fn tell(&self, about: About, warning: bool, reason: &str, action: &str, message: String) {
        let message = cut(message);
        let happening = Happening { warning, reason: reason.to_owned(), action: action.to_owned(), message };
        let telling = Telling { about, happening, at: (self.clock)() };
        if self.waiting.try_send(telling).is_err() {
            tracing::warn!(reason, "an event was dropped: too many are waiting");
        }
    }
}

fn cut(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES_MAX {
        let mut end = MESSAGE_BYTES_MAX - 3;
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        message.push_str("...");
    }
    message
}

struct Source {
    component: String,
    instance: String,
    face: Face,
}

/// What to do about one happening.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Drop,
    Create,
    Count { name: String, count: u32 },
}

struct Seen {
    name: String,
    count: u32,
    last: Timestamp,
}

type Repeat = (About, Happening);

#[derive(Default)]
struct Correlator {
    seen: HashMap<Repeat, Seen>,
    order: VecDeque<Repeat>,
    spent: HashMap<String, (u32, Timestamp)>,
}

fn repeat(about: &About, happening: &Happening) -> Repeat {
    let mut about = about.clone();
    about.resource_version.clear();
    (about, happening.clone())
}

impl Correlator {
    fn judge(&mut self, about: &About, happening: &Happening, at: Timestamp) -> Verdict {
        if !self.may_spend(&about.uid, at) {
            return Verdict::Drop;
        }
        match self.seen.get_mut(&repeat(about, happening)) {
            Some(seen) if at.duration_since(seen.last) <= REPEAT_WINDOW => {
                seen.count += 1;
                seen.last = at;
                Verdict::Count { name: seen.name.clone(), count: seen.count }
            }
            _ => Verdict::Create,
        }
    }

    fn remember(&mut self, about: &About, happening: &Happening, name: String, at: Timestamp) {
        let key = repeat(about, happening);
        if self.seen.insert(key.clone(), Seen { name, count: 1, last: at }).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
    }

    /// A bucket of [`BURST`] that refills by one each [`REFILL`].
    fn may_spend(&mut self, uid: &str, at: Timestamp) -> bool {
        if self.spent.len() >= REMEMBERED_MAX {
            self.spent.retain(|_, (_, since)| at.duration_since(*since) < REFILL);
        }
        let (spent, since) = self.spent.entry(uid.to_owned()).or_insert((0, at));
        let refilled = u32::try_from(at.duration_since(*since).as_secs() / REFILL.as_secs()).unwrap_or(0);
        if refilled > 0 {
            *spent = spent.saturating_sub(refilled);
            *since = at;
        }
        let allowed = *spent < BURST;
        *spent += u32::from(allowed);
        allowed
    }
}

async fn write(client: &Client, source: &Source, correlator: &mut Correlator, telling: Telling) {
    let Telling { about, happening, at } = telling;
    let namespace = if about.namespace.is_empty() { "default" } else { &about.namespace };
    let verdict = correlator.judge(&about, &happening, at);
    if verdict == Verdict::Drop {
        return;
    }
    let core = client.of::<k8s_openapi::api::core::v1::Event>();
    let series = client.of::<k8s_openapi::api::events::v1::Event>();
    if let Verdict::Count { name, count } = &verdict {
        let patched = match source.face {
            Face::Core => {
                let change = json!({"count": count, "lastTimestamp": seconds(at)});
                core.patch(namespace, name, "", &Patch::Merge(change)).await.map(drop)
            }
            Face::Series => {
                let change = json!({"series": {"count": count, "lastObservedTime": micros(at)}});
                series.patch(namespace, name, "", &Patch::Merge(change)).await.map(drop)
            }
        };
        match patched {
            Ok(()) => return,
            Err(status) if !status.is_not_found() => return tracing::warn!(%status, "an event could not be counted"),
            Err(_) => (),
        }
    }
    let name = format!("{}.{:x}", about.name, at.as_nanosecond());
    let created = match source.face {
        Face::Core => {
            let event = core_event(source, &about, &happening, &name, namespace, at);
            core.create(namespace, &event).await.map(drop)
        }
        Face::Series => {
            let event = series_event(source, &about, &happening, &name, namespace, at);
            series.create(namespace, &event).await.map(drop)
        }
    };
    match created {
        Ok(()) => correlator.remember(&about, &happening, name, at),
        // A namespace that is going takes no new objects; its events are of no use to anyone.
        Err(status) if status.code == 403 || status.is_not_found() => {
            tracing::debug!(%status, reason = happening.reason, "an event was refused");
        }
        Err(status) => tracing::warn!(%status, reason = happening.reason, "an event could not be written"),
    }
}

fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn micros(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

fn kind(happening: &Happening) -> &'static str {
    if happening.warning { "Warning" } else { "Normal" }
}

fn core_event(source: &Source, about: &About, what: &Happening, name: &str, namespace: &str, at: Timestamp) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": namespace},
        "involvedObject": about.to_json(), "reason": what.reason, "message": what.message, "type": kind(what),
        "source": {"component": source.component}, "reportingComponent": source.component, "reportingInstance": "",
        "firstTimestamp": seconds(at), "lastTimestamp": seconds(at), "count": 1,
    })
}

fn series_event(source: &Source, about: &About, what: &Happening, name: &str, namespace: &str, at: Timestamp) -> Value {
    json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": name, "namespace": namespace},
        "regarding": about.to_json(), "reason": what.reason, "action": what.action, "note": what.message,
        "type": kind(what), "eventTime": micros(at), "reportingController": source.component,
        "reportingInstance": source.instance,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about() -> About {
        let text = |t: &str| t.to_owned();
        About {
            api_version: text("v1"),
            kind: text("Pod"),
            namespace: text("a"),
            name: text("p"),
            uid: text("u"),
            resource_version: text("3"),
        }
    }

    fn happening() -> Happening {
        Happening { warning: true, reason: "R".to_owned(), action: "A".to_owned(), message: "m".to_owned() }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_repeat_is_counted_and_an_old_one_is_new_again() {
        let mut correlator = Correlator::default();
        assert_eq!(correlator.judge(&about(), &happening(), at(0)), Verdict::Create);
        correlator.remember(&about(), &happening(), "p.1".to_owned(), at(0));
        let newer = About { resource_version: "4".to_owned(), ..about() };
        let counted = Verdict::Count { name: "p.1".to_owned(), count: 2 };
        assert_eq!(correlator.judge(&newer, &happening(), at(10)), counted);
        assert_eq!(correlator.judge(&newer, &happening(), at(1000)), Verdict::Create);
    }

    #[test]
    fn a_flood_about_one_object_is_dropped_until_time_has_passed() {
        let mut correlator = Correlator::default();
        let verdicts: Vec<Verdict> = (0..=BURST).map(|_| correlator.judge(&about(), &happening(), at(0))).collect();
        assert_eq!(verdicts.iter().filter(|v| **v == Verdict::Drop).count(), 1);
        assert_eq!(correlator.judge(&about(), &happening(), at(REFILL.as_secs())), Verdict::Create);
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let text = cut("ä".repeat(1000));
        assert!(text.len() <= MESSAGE_BYTES_MAX && text.ends_with("..."));
    }
}
