//! The loop that keeps a [`Store`] in step with the server: initial events and then changes, or LIST and WATCH where
//! the server does not stream lists; after 410 from the start again.
//!
//! It must not know what the objects are for.

use crate::Boxed;
use crate::backoff::Backoff;
use crate::cache::{Cache, Item};
use crate::decode::lenient;
use crate::options::Selection;
use crate::resource::{Meta, Object, ObjectKey};
use crate::store::Store;
use crate::verbs::Api;
use crate::watch::{Decode, Event, Mark, WatchOptions, WatchStream};
use api::Status;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Waits between failed starts: client-go's reflector begins at 800 ms and ends at 30 s; in process a shorter first
/// wait costs nothing.
pub const RESTART: Backoff = Backoff { first: Duration::from_millis(50), cap: Duration::from_secs(30) };

/// Keeps the store in step until told to stop.
#[must_use]
pub fn follow<T: Object>(
    api: Api<T>,
    namespace: String,
    selection: Selection,
    store: &Store<T>,
    stop: CancellationToken,
) -> Boxed<'static, ()> {
    let follower = Follower::new(api.undecoded(), decode::<T>, namespace, selection, store.cache());
    Box::pin(follower.follow(stop))
}

/// Managed fields are half of an object's size and nobody reads them from a cache.
pub(crate) fn decode<T: Object>(text: &[u8]) -> Result<Item, serde_json::Error> {
    let mut object: T = lenient(text)?;
    object.metadata_mut().managed_fields = None;
    Ok(Arc::new(object))
}

async fn pause(failures: u32, stop: &CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => (),
        () = tokio::time::sleep(RESTART.after(failures)) => (),
    }
}

/// It knows no kind, for the reason that [`crate::cache`] gives.
pub(crate) struct Follower {
    api: Api<Box<RawValue>>,
    decode: Decode<Item>,
    namespace: String,
    selection: Selection,
    cache: Arc<Cache>,
    /// Where to continue; empty to begin from the start.
    revision: String,
    streams_lists: bool,
}

impl Follower {
    pub fn new(
        api: Api<Box<RawValue>>,
        decode: Decode<Item>,
        namespace: String,
        selection: Selection,
        cache: Arc<Cache>,
    ) -> Follower {
        Follower { api, decode, namespace, selection, cache, revision: String::new(), streams_lists: true }
    }

    pub async fn follow(mut self, stop: CancellationToken) {
        let mut failures = 0;
        loop {
            let before = self.cache.progress();
            let ended = tokio::select! {
                () = stop.cancelled() => return,
                ended = self.round() => ended,
            };
            if self.cache.progress() != before {
                failures = 0;
            }
            let Err(status) = ended else {
                // The server ended the watch in good order; a server that does nothing else must not spin us.
                failures += u32::from(self.cache.progress() == before);
                if failures > 1 {
                    pause(failures, &stop).await;
                }
                continue;
            };
            self.note(&status);
            if status.code == 410 || self.is_refusal(&status) {
                continue;
            }
            failures += 1;
            let resource = self.api.resource().to_string();
            tracing::warn!(%resource, %status, failures, "an informer lost its watch");
            pause(failures, &stop).await;
        }
    }

    /// One watch from its start to its end.
    async fn round(&mut self) -> Result<(), Status> {
        if self.revision.is_empty() && !self.streams_lists {
            let (objects, revision) = self.api.list(&self.namespace, &self.selection).await?;
            let objects = objects.iter().filter_map(|text| self.listed(text)).collect();
            self.cache.replace(objects, revision.parse().unwrap_or(0));
            self.revision = revision;
        }
        let options = WatchOptions {
            selection: self.selection.clone(),
            resource_version: self.revision.clone(),
            initial_events: self.revision.is_empty(),
            timeout_seconds: 0,
        };
        let mut watch = self.api.watch_as(&self.namespace, &options, self.decode).await?;
        if options.initial_events {
            self.fill(&mut watch).await?;
        }
        while let Some(event) = watch.next().await {
            self.take(event?);
        }
        Ok(())
    }

    /// One object of a list, unless it cannot be read.
    fn listed(&self, text: &RawValue) -> Option<(ObjectKey, Item)> {
        match (self.decode)(text.get().as_bytes()) {
            Ok(object) => Some((object.key(), object)),
            Err(why) => {
                let key = Mark::of(text.get().as_bytes()).map(|mark| mark.key()).unwrap_or_default();
                self.passed_over(&key, &why.to_string());
                None
            }
        }
    }

    /// Reads initial events up to the bookmark that closes them. A watch that ends before leaves the store alone.
    async fn fill(&mut self, watch: &mut WatchStream<Item>) -> Result<(), Status> {
        let mut objects = BTreeMap::new();
        while let Some(event) = watch.next().await {
            match event? {
                Event::Added(object) | Event::Modified(object) => {
                    objects.insert(object.key(), object);
                }
                Event::Deleted(object) => {
                    objects.remove(&object.key());
                }
                Event::Bookmark { resource_version, initial_events_end: true } => {
                    self.cache.replace(objects, resource_version.parse().unwrap_or(0));
                    self.revision = resource_version;
                    return Ok(());
                }
                Event::Unreadable { object, why, .. } => self.passed_over(&object, &why),
                Event::Bookmark { .. } => (),
            }
        }
        Err(Status::unavailable("a watch ended before its initial events were complete"))
    }

    fn take(&mut self, event: Event<Item>) {
        match event {
            Event::Added(object) | Event::Modified(object) => {
                object.resource_version().clone_into(&mut self.revision);
                self.cache.apply(object);
            }
            Event::Deleted(object) => {
                object.resource_version().clone_into(&mut self.revision);
                self.cache.remove(object);
            }
            Event::Bookmark { resource_version, .. } => {
                self.cache.advance(resource_version.parse().unwrap_or(0));
                self.revision = resource_version;
            }
            Event::Unreadable { object, deleted, resource_version, why } => {
                self.passed_over(&object, &why);
                if let Some(known) = self.cache.get(&object).filter(|_| deleted) {
                    self.cache.remove(known);
                }
                self.cache.advance(resource_version.parse().unwrap_or(0));
                self.revision = resource_version;
            }
        }
    }

    fn passed_over(&self, object: &ObjectKey, why: &str) {
        let resource = self.api.resource().to_string();
        tracing::error!(%resource, namespace = %object.namespace, name = %object.name, %why, "a change was passed over: its object cannot be read");
    }

    /// Whether the server does not know initial events (older servers answer 400 or 422).
    fn is_refusal(&self, status: &Status) -> bool {
        self.revision.is_empty() && matches!(status.code, 400 | 422)
    }

    fn note(&mut self, status: &Status) {
        if status.code == 410 {
            self.revision.clear();
        } else if self.is_refusal(status) && self.streams_lists {
            self.streams_lists = false;
        }
    }
}

#[cfg(test)]
mod tests;
