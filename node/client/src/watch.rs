//! A watch as a stream of changes: JSON documents one after the other in a body that does not end.
//!
//! It must not know caches or kinds.

use crate::options::{Selection, push};
use crate::resource::ObjectKey;
use crate::transport::Body;
use api::{Status, Tree};
use bytes::{Buf, BytesMut};
use http_body_util::BodyExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Bytes of one event. An object may have 3 MB on the wire; the rest is room for its managed fields.
pub const EVENT_BYTES_MAX: usize = 16 << 20;

/// How a watch begins.
#[derive(Clone, Debug, Default)]
pub struct WatchOptions {
    /// Which objects.
    pub selection: Selection,
    /// Continue after this revision; empty for "any" (or, with initial events, the newest).
    pub resource_version: String,
    /// Whether the present objects come first, closed by a bookmark (WatchList).
    pub initial_events: bool,
    /// Ends the watch after so many seconds; 0 leaves that to the server.
    pub timeout_seconds: u32,
}

impl WatchOptions {
    pub(crate) fn query(&self) -> String {
        let mut query = "watch=true&allowWatchBookmarks=true".to_owned();
        if self.initial_events {
            query.push_str("&sendInitialEvents=true&resourceVersionMatch=NotOlderThan");
        }
        push(&mut query, "resourceVersion", &self.resource_version);
        if self.timeout_seconds > 0 {
            push(&mut query, "timeoutSeconds", &self.timeout_seconds.to_string());
        }
        self.selection.write(&mut query);
        query
    }
}

/// One change.
#[derive(Debug)]
pub enum Event<T> {
    /// The object appeared.
    Added(T),
    /// The object changed.
    Modified(T),
    /// The object went; this is its last state.
    Deleted(T),
    /// Nothing changed up to this revision.
    Bookmark {
        /// The revision.
        resource_version: String,
        /// Whether it closes the initial events.
        initial_events_end: bool,
    },
    /// An object changed into what its type cannot hold. One object's state must not end the watch of all the others.
    Unreadable {
        /// Which one.
        object: ObjectKey,
        /// Whether it went.
        deleted: bool,
        /// The revision.
        resource_version: String,
        /// What does not fit, and where.
        why: String,
    },
}

#[derive(Deserialize)]
struct Frame<'a> {
    r#type: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// What is read of an object that is not decoded.
#[derive(Deserialize)]
pub(crate) struct Mark {
    metadata: ObjectMeta,
}

impl Mark {
    pub(crate) fn of(text: &[u8]) -> Result<Mark, serde_json::Error> {
        serde_json::from_slice(text)
    }

    pub(crate) fn key(&self) -> ObjectKey {
        ObjectKey::new(
            self.metadata.namespace.as_deref().unwrap_or_default(),
            self.metadata.name.as_deref().unwrap_or_default(),
        )
    }
}

/// Reads an object.
pub(crate) type Decode<T> = fn(&[u8]) -> Result<T, serde_json::Error>;

/// The changes as they come. It ends when the server ends it.
pub struct WatchStream<T> {
    body: Body,
    pending: BytesMut,
    searched: usize,
    decode: Decode<T>,
}

impl<T> WatchStream<T> {
    pub(crate) fn new(body: Body, decode: Decode<T>) -> WatchStream<T> {
        WatchStream { body, pending: BytesMut::new(), searched: 0, decode }
    }

    /// The next change; `None` at the end.
    ///
    /// # Errors
    /// The server's `Status` of an ERROR event (410 when the history is gone), 503 when the stream broke.
    pub async fn next(&mut self) -> Option<Result<Event<T>, Status>> {
        loop {
            if let Some(line) = self.line() {
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                return Some(event(&line, self.decode));
            }
            if self.pending.len() > EVENT_BYTES_MAX {
                return Some(Err(Status::too_large(format!("a watch event has more than {EVENT_BYTES_MAX} bytes"))));
            }
            match self.body.frame().await {
                None if self.pending.iter().all(u8::is_ascii_whitespace) => return None,
                None => {
                    self.pending.clear();
                    return Some(Err(Status::unavailable("the watch ended within an event")));
                }
                Some(Err(why)) => return Some(Err(Status::unavailable(format!("reading a watch: {why}")))),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.pending.extend_from_slice(&data);
                    }
                }
            }
        }
    }

    fn line(&mut self) -> Option<BytesMut> {
        let found = self.pending[self.searched..].iter().position(|b| *b == b'\n');
        let Some(at) = found else {
            self.searched = self.pending.len();
            return None;
        };
        let line = self.pending.split_to(self.searched + at);
        self.pending.advance(1);
        self.searched = 0;
        Some(line)
    }
}

fn event<T>(line: &[u8], decode: Decode<T>) -> Result<Event<T>, Status> {
    let broken = |why: serde_json::Error| Status::internal(format!("decoding a watch event: {why}"));
    let frame: Frame<'_> = serde_json::from_slice(line).map_err(broken)?;
    let text = frame.object.get().as_bytes();
    let changed = |event: fn(T) -> Event<T>| match decode(text) {
        Ok(object) => Ok(event(object)),
        Err(why) => unreadable(text, frame.r#type == "DELETED", &why).ok_or_else(|| broken(why)),
    };
    match frame.r#type {
        "ADDED" => changed(Event::Added),
        "MODIFIED" => changed(Event::Modified),
        "DELETED" => changed(Event::Deleted),
        "BOOKMARK" => {
            let meta = Mark::of(text).map_err(broken)?.metadata;
            let end =
                meta.annotations.unwrap_or_default().get("k8s.io/initial-events-end").is_some_and(|v| v == "true");
            let resource_version = meta.resource_version.unwrap_or_default();
            Ok(Event::Bookmark { resource_version, initial_events_end: end })
        }
        "ERROR" => match Tree::from_json(text) {
            Ok(decoded) => Err(Status::from_tree(&decoded.tree)),
            Err(why) => Err(Status::internal(format!("decoding the error of a watch: {why}"))),
        },
        other => Err(Status::internal(format!("a watch event of the unknown type {other:?}"))),
    }
}

fn unreadable<T>(text: &[u8], deleted: bool, why: &serde_json::Error) -> Option<Event<T>> {
    let mark = Mark::of(text).ok()?;
    let object = Some(mark.key()).filter(|key| !key.name.is_empty())?;
    Some(Event::Unreadable { object, deleted, resource_version: mark.metadata.resource_version?, why: why.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body_util::StreamBody;
    use k8s_openapi::api::core::v1::ConfigMap;

    fn stream(parts: &[&str]) -> WatchStream<ConfigMap> {
        let frames: Vec<Result<_, crate::BoxError>> =
            parts.iter().map(|part| Ok(hyper::body::Frame::data(Bytes::from((*part).to_owned())))).collect();
        WatchStream::new(StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync(), crate::decode::lenient)
    }

    #[tokio::test]
    async fn events_cut_anywhere_are_put_together() {
        let mut watch = stream(&["{\"type\":\"ADD", "ED\",\"object\":{\"metadata\":{\"name\":\"a\"}}}", "\n\n"]);
        let Some(Ok(Event::Added(map))) = watch.next().await else { panic!("no event") };
        assert_eq!(map.metadata.name.as_deref(), Some("a"));
        assert!(watch.next().await.is_none());
    }

    #[tokio::test]
    async fn an_error_event_is_the_status_inside() {
        let mut watch = stream(&[r#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}"#, "\n"]);
        let Some(Err(status)) = watch.next().await else { panic!("no error") };
        assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
    }

    #[tokio::test]
    async fn a_stream_that_breaks_inside_an_event_is_an_error() {
        let mut watch = stream(&["{\"type\":"]);
        assert!(matches!(watch.next().await, Some(Err(status)) if status.code == 503));
    }

    #[tokio::test]
    async fn an_object_that_does_not_fit_its_type_does_not_end_the_watch() {
        let odd = r#"{"type":"MODIFIED","object":{"metadata":{"name":"a","resourceVersion":"7"},"data":[1]}}"#;
        let mut watch = stream(&[odd, "\n", r#"{"type":"ADDED","object":{"metadata":{"name":"b"}}}"#, "\n"]);
        let Some(Ok(Event::Unreadable { object, deleted, resource_version, why })) = watch.next().await else {
            panic!("not told of the odd one")
        };
        assert_eq!((object.name.as_str(), deleted, resource_version.as_str()), ("a", false, "7"));
        assert!(why.contains("expected a map"), "{why}");
        assert!(matches!(watch.next().await, Some(Ok(Event::Added(_)))));
    }

    #[tokio::test]
    async fn a_bookmark_tells_when_the_initial_events_are_over() {
        let line = r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"7","annotations":{"k8s.io/initial-events-end":"true"}}}}"#;
        let mut watch = stream(&[line, "\n"]);
        let Some(Ok(Event::Bookmark { resource_version, initial_events_end })) = watch.next().await else {
            panic!("no bookmark")
        };
        assert_eq!((resource_version.as_str(), initial_events_end), ("7", true));
    }
}
