//! The loop that keeps a [`Store`] in step with the server: initial events and then changes, or LIST and WATCH where
//! the server does not stream lists; after 410 from the start again.
//!
//! It must not know what the objects are for.

use crate::backoff::Backoff;
use crate::options::Selection;
use crate::resource::{Meta, Object, ObjectKey};
use crate::store::Store;
use crate::verbs::Api;
use crate::watch::{Event, WatchOptions, WatchStream};
use api::Status;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Waits between failed starts: client-go's reflector begins at 800 ms and ends at 30 s; in process a shorter first
/// wait costs nothing.
pub const RESTART: Backoff = Backoff { first: Duration::from_millis(50), cap: Duration::from_secs(30) };

/// Keeps the store in step until told to stop.
pub async fn follow<T: Object>(
    api: Api<T>,
    namespace: String,
    selection: Selection,
    store: Arc<Store<T>>,
    stop: CancellationToken,
) {
    let mut follower =
        Follower { api, namespace, selection, store: store.clone(), revision: String::new(), streams_lists: true };
    let mut failures = 0;
    loop {
        let before = store.progress();
        let ended = tokio::select! {
            () = stop.cancelled() => return,
            ended = follower.round() => ended,
        };
        if store.progress() != before {
            failures = 0;
        }
        let Err(status) = ended else {
            // The server ended the watch in good order; a server that does nothing else must not spin us.
            failures += u32::from(store.progress() == before);
            if failures > 1 {
                pause(failures, &stop).await;
            }
            continue;
        };
        follower.note(&status);
        if status.code == 410 || follower.is_refusal(&status) {
            continue;
        }
        failures += 1;
        let resource = follower.api.resource().to_string();
        tracing::warn!(%resource, %status, failures, "an informer lost its watch");
        pause(failures, &stop).await;
    }
}

async fn pause(failures: u32, stop: &CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => (),
        () = tokio::time::sleep(RESTART.after(failures)) => (),
    }
}

struct Follower<T> {
    api: Api<T>,
    namespace: String,
    selection: Selection,
    store: Arc<Store<T>>,
    /// Where to continue; empty to begin from the start.
    revision: String,
    streams_lists: bool,
}

impl<T: Object> Follower<T> {
    /// One watch from its start to its end.
    async fn round(&mut self) -> Result<(), Status> {
        if self.revision.is_empty() && !self.streams_lists {
            let (objects, revision) = self.api.list(&self.namespace, &self.selection).await?;
            let objects = objects.into_iter().map(slim).collect();
            self.store.replace(objects, revision.parse().unwrap_or(0));
            self.revision = revision;
        }
        let options = WatchOptions {
            selection: self.selection.clone(),
            resource_version: self.revision.clone(),
            initial_events: self.revision.is_empty(),
            timeout_seconds: 0,
        };
        let mut watch = self.api.watch(&self.namespace, &options).await?;
        if options.initial_events {
            self.fill(&mut watch).await?;
        }
        while let Some(event) = watch.next().await {
            self.take(event?);
        }
        Ok(())
    }

    /// Reads initial events up to the bookmark that closes them. A watch that ends before leaves the store alone.
    async fn fill(&mut self, watch: &mut WatchStream<T>) -> Result<(), Status> {
        let mut objects = std::collections::BTreeMap::new();
        while let Some(event) = watch.next().await {
            match event? {
                Event::Added(object) | Event::Modified(object) => {
                    objects.insert(object.key(), slim(object));
                }
                Event::Deleted(object) => {
                    objects.remove(&object.key());
                }
                Event::Bookmark { resource_version, initial_events_end: true } => {
                    self.store.replace(objects.into_values().collect(), resource_version.parse().unwrap_or(0));
                    self.revision = resource_version;
                    return Ok(());
                }
                Event::Unreadable { object, why, .. } => self.passed_over(&object, &why),
                Event::Bookmark { .. } => (),
            }
        }
        Err(Status::unavailable("a watch ended before its initial events were complete"))
    }

    fn take(&mut self, event: Event<T>) {
        match event {
            Event::Added(object) | Event::Modified(object) => {
                object.resource_version().clone_into(&mut self.revision);
                self.store.apply(slim(object));
            }
            Event::Deleted(object) => {
                object.resource_version().clone_into(&mut self.revision);
                self.store.remove(slim(object));
            }
            Event::Bookmark { resource_version, .. } => {
                self.store.advance(resource_version.parse().unwrap_or(0));
                self.revision = resource_version;
            }
            Event::Unreadable { object, deleted, resource_version, why } => {
                self.passed_over(&object, &why);
                if let Some(known) = self.store.get(&object).filter(|_| deleted) {
                    self.store.remove(T::clone(&known));
                }
                self.store.advance(resource_version.parse().unwrap_or(0));
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

/// Managed fields are half of an object's size and nobody reads them from a cache.
fn slim<T: Object>(mut object: T) -> T {
    object.metadata_mut().managed_fields = None;
    object
}

#[cfg(test)]
mod tests;
