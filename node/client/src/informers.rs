//! One informer for each resource and selection, shared by all who ask.
//!
//! It must not know what the objects are for.

use crate::cache::{Cache, Item};
use crate::client::Client;
use crate::informer::{Follower, decode};
use crate::options::Selection;
use crate::resource::{Object, Partial, ResourceRef};
use crate::store::Store;
use crate::watch::Decode;
use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

#[derive(PartialEq, Eq, Hash)]
struct Key {
    resource: ResourceRef,
    selection: Selection,
    metadata: bool,
    /// The type of the objects in the cache.
    holds: TypeId,
}

/// The shared informers of one user. Each starts when it is first asked for and runs until `stop` is cancelled.
pub struct Informers {
    client: Client,
    stop: CancellationToken,
    running: Mutex<HashMap<Key, Running>>,
}

struct Running {
    cache: Arc<Cache>,
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
        let holds = TypeId::of::<Partial>();
        let key = Key { resource: resource.clone(), selection: Selection::default(), metadata: true, holds };
        if let Some(gone) = running.remove(&key) {
            gone.stop.cancel();
        }
    }

    fn open<T: Object>(&self, resource: ResourceRef, selection: Selection, metadata: bool) -> Arc<Store<T>> {
        let key = Key { resource, selection, metadata, holds: TypeId::of::<T>() };
        Arc::new(Store::over(self.shared(key, decode::<T>)))
    }

    /// The cache that is fed from now on, or was already.
    fn shared(&self, key: Key, decode: Decode<Item>) -> Arc<Cache> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = running.get(&key) {
            return there.cache.clone();
        }
        let (cache, stop) = (Arc::new(Cache::new()), self.stop.child_token());
        let mut api = self.client.on(key.resource.clone());
        if key.metadata {
            api = api.metadata_only();
        }
        let follower = Follower::new(api, decode, String::new(), key.selection.clone(), cache.clone());
        tokio::spawn(follower.follow(stop.clone()));
        running.insert(key, Running { cache: cache.clone(), stop });
        cache
    }
}
