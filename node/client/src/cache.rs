//! `Cache`: the last seen state of every object of one resource, with indexes, and who wants to hear of changes.
//!
//! It knows no kind: [`Store`](crate::Store) gives the objects their types back. Compiled for every kind anew, this and
//! the informer were a sixth of what `node` runs until it is Ready, and an emulator translates every copy by itself.

use crate::resource::{Meta, Object, ObjectKey};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::watch;

/// An object whose kind only its readers know.
pub(crate) trait Cached: Any + Send + Sync {
    fn meta(&self) -> &ObjectMeta;
}

impl<T: Object> Cached for T {
    fn meta(&self) -> &ObjectMeta {
        self.metadata()
    }
}

impl Meta for dyn Cached {
    fn meta(&self) -> &ObjectMeta {
        Cached::meta(self)
    }
}

/// One object.
pub(crate) type Item = Arc<dyn Cached>;

/// One change: both sides for an update, one for an appearance or a disappearance.
pub(crate) struct Turn {
    pub old: Option<Item>,
    pub new: Option<Item>,
}

/// The values under which an index finds an object.
pub(crate) type Values = Box<dyn Fn(&dyn Cached) -> Vec<String> + Send + Sync>;

type Handler = Box<dyn Fn(&Turn) + Send + Sync>;
type Keys = BTreeSet<ObjectKey>;

struct Index {
    name: &'static str,
    values: Values,
    keys: HashMap<String, Keys>,
}

struct State {
    objects: BTreeMap<ObjectKey, Item>,
    indexes: Vec<Index>,
}

/// How far the cache is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Whether the cache has been filled once.
    pub synced: bool,
    /// Everything up to this revision is in the cache.
    pub revision: u64,
}

/// The index by the uid of every owner, which every cache has.
pub(crate) const OWNER: &str = "owner";

fn owners(object: &dyn Cached) -> Vec<String> {
    let owners = object.meta().owner_references.as_deref().unwrap_or_default();
    owners.iter().map(|owner| owner.uid.clone()).collect()
}

pub(crate) struct Cache {
    state: RwLock<State>,
    /// Held while a change is applied and told, so that a new listener misses none and hears none twice.
    handlers: Mutex<Vec<Handler>>,
    progress: watch::Sender<Progress>,
}

impl Cache {
    /// An empty one that is not yet in sync.
    pub fn new() -> Cache {
        let owner = Index { name: OWNER, values: Box::new(owners), keys: HashMap::new() };
        Cache {
            state: RwLock::new(State { objects: BTreeMap::new(), indexes: vec![owner] }),
            handlers: Mutex::new(Vec::new()),
            progress: watch::Sender::new(Progress::default()),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn get(&self, key: &ObjectKey) -> Option<Item> {
        self.read().objects.get(key).cloned()
    }

    /// All objects, by namespace and name.
    pub fn all(&self) -> Vec<Item> {
        self.read().objects.values().cloned().collect()
    }

    /// The objects of one namespace, by name.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Item> {
        let state = self.read();
        let from = state.objects.range(ObjectKey::new(namespace, "")..);
        from.take_while(|(key, _)| key.namespace == namespace).map(|(_, object)| object.clone()).collect()
    }

    /// Adds an index, unless one of this name is there.
    pub fn index(&self, name: &'static str, values: Values) {
        let mut state = self.write();
        if state.indexes.iter().any(|index| index.name == name) {
            return;
        }
        let mut index = Index { name, values, keys: HashMap::new() };
        for (key, object) in &state.objects {
            index.insert(key, object);
        }
        state.indexes.push(index);
    }

    /// What an index holds under a value; nothing when there is no such index.
    pub fn by(&self, index: &str, value: &str) -> Vec<Item> {
        let state = self.read();
        let Some(index) = state.indexes.iter().find(|i| i.name == index) else { return Vec::new() };
        let keys = index.keys.get(value).into_iter().flatten();
        keys.filter_map(|key| state.objects.get(key).cloned()).collect()
    }

    /// Calls `handler` for every object there is, then for every change, in order.
    pub fn on_change(&self, handler: Handler) {
        let mut handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        for object in self.all() {
            handler(&Turn { old: None, new: Some(object) });
        }
        handlers.push(handler);
    }

    pub fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// Waits until the cache has been filled once.
    pub async fn synced(&self) {
        let mut progress = self.progress.subscribe();
        // The sender lives in self, so the channel cannot close meanwhile.
        let _ = progress.wait_for(|p| p.synced).await;
    }

    /// Waits until everything up to a revision is in the cache.
    pub async fn reached(&self, revision: u64) {
        let mut progress = self.progress.subscribe();
        let _ = progress.wait_for(|p| p.revision >= revision).await;
    }

    /// Waits until an object that was just deleted is gone or marked as going.
    pub async fn going(&self, key: &ObjectKey, uid: &str) {
        let mut progress = self.progress.subscribe();
        let gone = |_: &Progress| self.get(key).is_none_or(|object| object.uid() != uid || object.is_deleting());
        let _ = progress.wait_for(gone).await;
    }

    /// Takes in one new state.
    pub fn apply(&self, new: Item) {
        let revision = new.revision();
        let handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.write().put(new.key(), Some(new.clone()));
        let turn = Turn { old, new: Some(new) };
        handlers.iter().for_each(|handler| handler(&turn));
        self.advance(revision);
    }

    /// Takes in a disappearance; the last state comes with the event.
    pub fn remove(&self, last: Item) {
        let revision = last.revision();
        let handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        self.write().put(last.key(), None);
        let turn = Turn { old: Some(last), new: None };
        handlers.iter().for_each(|handler| handler(&turn));
        self.advance(revision);
    }

    /// Takes in a whole collection: what is not in it is gone.
    pub fn replace(&self, fresh: BTreeMap<ObjectKey, Item>, revision: u64) {
        let handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<ObjectKey> =
            self.read().objects.keys().filter(|key| !fresh.contains_key(*key)).cloned().collect();
        let mut turns = Vec::new();
        {
            let mut state = self.write();
            for key in gone {
                turns.push(Turn { old: state.put(key, None), new: None });
            }
            for (key, object) in fresh {
                let old = state.put(key, Some(object.clone()));
                if old.as_ref().is_none_or(|o| o.resource_version() != object.resource_version()) {
                    turns.push(Turn { old, new: Some(object) });
                }
            }
        }
        for turn in &turns {
            handlers.iter().for_each(|handler| handler(turn));
        }
        self.progress.send_modify(|p| {
            p.synced = true;
            p.revision = p.revision.max(revision);
        });
    }

    /// Notes that nothing happened up to a revision.
    pub fn advance(&self, revision: u64) {
        self.progress.send_modify(|p| p.revision = p.revision.max(revision));
    }
}

impl State {
    /// Puts or removes an object and keeps the indexes right; tells what was there.
    fn put(&mut self, key: ObjectKey, object: Option<Item>) -> Option<Item> {
        let old = match &object {
            Some(new) => self.objects.insert(key.clone(), new.clone()),
            None => self.objects.remove(&key),
        };
        for index in &mut self.indexes {
            if let Some(old) = &old {
                index.remove(&key, old);
            }
            if let Some(new) = &object {
                index.insert(&key, new);
            }
        }
        old
    }
}

impl Index {
    fn insert(&mut self, key: &ObjectKey, object: &Item) {
        for value in (self.values)(object.as_ref()) {
            self.keys.entry(value).or_default().insert(key.clone());
        }
    }

    fn remove(&mut self, key: &ObjectKey, object: &Item) {
        for value in (self.values)(object.as_ref()) {
            if let Some(keys) = self.keys.get_mut(&value) {
                keys.remove(key);
                if keys.is_empty() {
                    self.keys.remove(&value);
                }
            }
        }
    }
}
