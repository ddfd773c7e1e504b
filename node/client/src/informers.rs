//! One informer for each resource and selection, shared by all who ask.
//!
//! It must not know what the objects are for.

use crate::client::Client;
use crate::informer::follow;
use crate::options::Selection;
use crate::resource::{Object, Partial, ResourceRef};
use crate::store::Store;
use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

type Key = (ResourceRef, Selection, bool);

/// The shared informers of one user. Each starts when it is first asked for and runs until `stop` is cancelled.
pub struct Informers {
    client: Client,
    stop: CancellationToken,
    running: Mutex<HashMap<Key, Running>>,
}

struct Running {
    store: Arc<dyn Any + Send + Sync>,
    stop: CancellationToken,
}

impl Informers {
    /// Informers that read as this client's user.
    #[must_use]
    pub fn new(client: Client, stop: CancellationToken) -> Informers {
        Informers { client, stop, running: Mutex::default() }
    }

    /// The cache of a built-in kind.
    pub fn of<T: Object>(&self) -> Arc<Store<T>> {
        self.selected(Selection::default())
    }

    /// The cache of a part of a built-in kind.
    pub fn selected<T: Object>(&self, selection: Selection) -> Arc<Store<T>> {
        self.open(ResourceRef::of::<T>(), selection, false)
    }

    /// The cache of the metadata of any resource.
    pub fn metadata(&self, resource: &ResourceRef) -> Arc<Store<Partial>> {
        self.open(resource.clone(), Selection::default(), true)
    }

    /// Ends the metadata informer of a resource that is no longer served.
    pub fn close_metadata(&self, resource: &ResourceRef) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gone) = running.remove(&(resource.clone(), Selection::default(), true)) {
            gone.stop.cancel();
        }
    }

    fn open<T: Object>(&self, resource: ResourceRef, selection: Selection, metadata: bool) -> Arc<Store<T>> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (resource.clone(), selection.clone(), metadata);
        if let Some(there) = running.get(&key).and_then(|r| r.store.clone().downcast::<Store<T>>().ok()) {
            return there;
        }
        let store = Arc::new(Store::<T>::new());
        let stop = self.stop.child_token();
        let mut api = self.client.on::<T>(resource);
        if metadata {
            api = api.metadata_only();
        }
        let (fed, until) = (store.clone(), stop.clone());
        tokio::spawn(follow(api, String::new(), selection, fed, until));
        running.insert(key, Running { store: store.clone(), stop });
        store
    }
}
