//! Watches: the state or the changes from a revision on, as a stream of JSON lines, until the client goes or the time
//! is up. Event types are computed by whether the object before and after a change is selected, as upstream does.

use crate::call::Call;
use crate::catalog::Resource;
use crate::clock::Clock;
use crate::list::not_older;
use crate::negotiate::{Encoding, Form, STREAM_TYPES, no_such_form};
use crate::objects::{Place, Selection, put_json};
use crate::options::ListOptions;
use crate::reply::{self, Body};
use crate::server::Server;
use crate::table::{self, Include};
use api::{Status, Tree, tree};
use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use store::{Entry, Event, RevisionError, Watch, WatchError};
use tokio::time::Instant;

/// How often an idle watch tells its revision; upstream's bookmarks come as often.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// A watch without `timeoutSeconds` ends between this and twice this, so that clients spread; upstream's
/// `--min-request-timeout`.
const TIMEOUT_MIN: Duration = Duration::from_secs(1800);
/// Bytes gathered into one chunk before it is handed to the connection.
const CHUNK_BYTES: usize = 64 * 1024;

/// One watch in progress.
struct Stream {
    resource: Arc<Resource>,
    selection: Selection,
    form: Form,
    encoding: Encoding,
    /// What the rows of Tables carry of their objects.
    include: Include,
    clock: Arc<dyn Clock>,
    watch: Watch,
    /// The state still to be shown, for watches that begin with it.
    initial: VecDeque<Arc<Entry>>,
    /// Whether a bookmark ends the initial state, and at which revision.
    initial_end: Option<u64>,
    bookmarks: bool,
    next_bookmark: Instant,
    deadline: Instant,
    /// Whether a Table's columns were told already.
    told_columns: bool,
    over: bool,
    stopping: tokio_util::sync::CancellationToken,
}

/// Answers a watch.
///
/// # Errors
/// 400 and 422 for bad options. A revision that is gone is told inside the stream, as upstream does.
pub async fn watch(server: &Server, call: &Call) -> Result<http::Response<Body>, Status> {
    let accepted = call.accepted(false)?;
    if accepted.encoding == Encoding::Yaml {
        return Err(no_such_form(STREAM_TYPES));
    }
    let include = if accepted.form == Form::Table { Include::of(call)? } else { Include::Metadata };
    let mut options = ListOptions::read(call, true)?;
    narrow_to_name(call, &mut options);
    let prefix = call.resource.prefix(&call.info.namespace);
    let from_state = options.initial_events.unwrap_or(matches!(options.revision, None | Some(0)));
    if let Some(revision) = options.revision.filter(|_| from_state) {
        not_older(server, revision).await?;
    }
    let (watch, initial, revision) = match options.revision {
        Some(revision) if !from_state && revision > 0 => match server.store.watch(&prefix, revision) {
            Ok(watch) => (watch, VecDeque::new(), revision),
            Err(error) => return Ok(refused(&error, revision, accepted.encoding)),
        },
        _ => {
            let (snapshot, watch) = server.store.snapshot_and_watch(&prefix);
            let wanted = |entry: &&Arc<Entry>| from_state && options.selection.wants(entry);
            let initial = snapshot.iter(&prefix, None).filter(wanted).cloned().collect();
            (watch, initial, snapshot.revision)
        }
    };
    let now = Instant::now();
    let spread = server.spread(TIMEOUT_MIN);
    let stream = Stream {
        resource: call.resource.clone(),
        selection: options.selection,
        form: accepted.form,
        encoding: accepted.encoding,
        include,
        clock: server.world.clock.clone(),
        watch,
        initial,
        initial_end: (options.initial_events == Some(true) && options.bookmarks).then_some(revision),
        bookmarks: options.bookmarks,
        next_bookmark: now + BOOKMARK_EVERY,
        deadline: now + options.timeout.unwrap_or(TIMEOUT_MIN + spread),
        told_columns: false,
        over: false,
        stopping: server.stopping.clone(),
    };
    Ok(reply::with_type(200, media_type(accepted.encoding), body(stream)))
}

/// A watch of one object by its path is a watch narrowed to its name.
fn narrow_to_name(call: &Call, options: &mut ListOptions) {
    if !call.info.name.is_empty() && options.selection.fields.exact("metadata.name").is_none() {
        options.selection.fields = api::selector::FieldSelector::equal("metadata.name", &call.info.name);
    }
}

fn media_type(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
        Encoding::Json | Encoding::Yaml => "application/json",
    }
}

/// A stream that only says that its revision cannot be served.
fn refused(error: &RevisionError, revision: u64, encoding: Encoding) -> http::Response<Body> {
    let status = match error {
        RevisionError::Compacted { oldest } => {
            Status::expired(format!("too old resource version: {revision} ({})", oldest.saturating_sub(1)))
        }
        RevisionError::Future { current } => Status::resource_version_too_large(revision, *current),
    };
    let mut out = Vec::new();
    put_frame(&mut out, "ERROR", &status.to_tree(), encoding, &resources::schema_named(reply::STATUS));
    reply::with_type(200, media_type(encoding), reply::full(out))
}

/// Appends one event: a line of JSON, or a frame of protobuf.
fn put_frame(out: &mut Vec<u8>, kind: &str, object: &Tree, encoding: Encoding, schema: &schema::Schema) {
    if encoding == Encoding::Protobuf {
        out.extend_from_slice(&schema::watch_frame(kind, &schema::encode_protobuf(schema, object)));
        return;
    }
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"object\":");
    out.extend_from_slice(&object.to_json());
    out.extend_from_slice(b"}\n");
}

fn body(stream: Stream) -> Body {
    let chunks = futures_util::stream::unfold(stream, |mut stream| async move {
        let chunk = stream.chunk().await?;
        Some((Ok::<_, reply::BoxError>(Frame::data(chunk)), stream))
    });
    StreamBody::new(chunks).boxed_unsync()
}

impl Stream {
    /// The next bytes to send; `None` at the end.
    async fn chunk(&mut self) -> Option<Bytes> {
        let mut out = Vec::new();
        while out.is_empty() {
            if self.over {
                return None;
            }
            if let Err(status) = self.fill(&mut out).await {
                let schema = resources::schema_named(reply::STATUS);
                put_frame(&mut out, "ERROR", &status.to_tree(), self.encoding, &schema);
                self.over = true;
            }
        }
        Some(out.into())
    }

    /// Appends what is there, waiting for the first of it.
    async fn fill(&mut self, out: &mut Vec<u8>) -> Result<(), Status> {
        while let Some(entry) = self.initial.pop_front() {
            self.put(out, "ADDED", &entry)?;
            if out.len() >= CHUNK_BYTES {
                return Ok(());
            }
        }
        if let Some(revision) = self.initial_end.take() {
            self.put_bookmark(out, revision, true);
            return Ok(());
        }
        if !out.is_empty() {
            return Ok(());
        }
        let wake = if self.bookmarks { self.next_bookmark.min(self.deadline) } else { self.deadline };
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => self.over = true,
            event = self.watch.next() => self.put_events(out, event)?,
            () = tokio::time::sleep_until(wake) => self.on_time(out),
        }
        Ok(())
    }

    /// The event that woke us and those that wait behind it.
    fn put_events(&mut self, out: &mut Vec<u8>, event: Result<Arc<Event>, WatchError>) -> Result<(), Status> {
        let mut next = event.map(Some);
        loop {
            match next {
                Ok(Some(event)) => self.put_event(out, &event)?,
                Ok(None) => return Ok(()),
                Err(WatchError::Closed) => {
                    self.over = true;
                    return Ok(());
                }
                // The client is too slow: like upstream, end the stream; it resumes at the last revision it saw.
                Err(WatchError::Lagged { .. }) => {
                    self.over = true;
                    return Ok(());
                }
            }
            if out.len() >= CHUNK_BYTES {
                return Ok(());
            }
            next = self.watch.try_next();
        }
    }

    fn put_event(&mut self, out: &mut Vec<u8>, event: &Event) -> Result<(), Status> {
        let before = event.previous.as_ref().is_some_and(|entry| self.selection.wants(entry));
        let after = event.entry.as_ref().is_some_and(|entry| self.selection.wants(entry));
        match (before, after) {
            (false, false) => Ok(()),
            (false, true) => self.put(out, "ADDED", event.shown()),
            (true, true) => self.put(out, "MODIFIED", event.shown()),
            (true, false) => match (&event.entry, &event.previous) {
                // Left the selection: the client is shown the last state it knew, at the revision of the change.
                (Some(entry), Some(previous)) => self.put_as(out, "DELETED", previous, entry.mod_revision),
                _ => self.put(out, "DELETED", event.shown()),
            },
        }
    }

    fn put(&mut self, out: &mut Vec<u8>, kind: &str, entry: &Entry) -> Result<(), Status> {
        self.put_as(out, kind, entry, entry.mod_revision)
    }

    fn put_as(&mut self, out: &mut Vec<u8>, kind: &str, entry: &Entry, revision: u64) -> Result<(), Status> {
        let plain = self.form == Form::Object && self.encoding == Encoding::Json;
        if plain && revision == entry.mod_revision {
            out.extend_from_slice(b"{\"type\":\"");
            out.extend_from_slice(kind.as_bytes());
            out.extend_from_slice(b"\",\"object\":");
            put_json(out, &self.resource, entry, Place::Alone)?;
            out.extend_from_slice(b"}\n");
            return Ok(());
        }
        let mut object = crate::objects::tree(&self.resource, entry)?;
        object.set_at(&["metadata", "resourceVersion"], revision.to_string());
        let shown = match self.form {
            Form::Object => object,
            Form::Partial => table::partial(&object),
            Form::Table => {
                let columns = !std::mem::replace(&mut self.told_columns, true);
                table::of_event(&self.resource, &object, self.clock.now().as_second(), self.include, columns)
            }
        };
        put_frame(out, kind, &shown, self.encoding, &self.schema());
        Ok(())
    }

    /// The schema of what the events carry; a Table has no use for it.
    fn schema(&self) -> schema::Schema {
        match self.form {
            Form::Partial => resources::schema_named(table::PARTIAL),
            Form::Object | Form::Table => self.resource.schema.clone(),
        }
    }

    fn put_bookmark(&mut self, out: &mut Vec<u8>, revision: u64, initial_end: bool) {
        let mut object = tree!({
            "kind": (self.resource.kind.as_str()),
            "apiVersion": (self.resource.api_version()),
            "metadata": {"resourceVersion": (revision.to_string())}
        });
        if self.form == Form::Partial {
            object.set("kind", "PartialObjectMetadata");
            object.set("apiVersion", "meta.k8s.io/v1");
        }
        if initial_end {
            object.set_at(&["metadata", "annotations", "k8s.io/initial-events-end"], "true");
        }
        if self.form == Form::Table {
            let columns = !std::mem::replace(&mut self.told_columns, true);
            let now = self.clock.now().as_second();
            object = table::of_bookmark(&self.resource, &object, now, self.include, columns);
        }
        put_frame(out, "BOOKMARK", &object, self.encoding, &self.schema());
    }

    fn on_time(&mut self, out: &mut Vec<u8>) {
        let now = Instant::now();
        if now >= self.deadline {
            self.over = true;
        } else if self.bookmarks && now >= self.next_bookmark {
            self.next_bookmark = now + BOOKMARK_EVERY;
            self.put_bookmark(out, self.watch.synced_revision(), false);
        }
    }
}
