//! `Store`: an informer's cache of one resource: the last seen state of every object, with indexes, and who wants to
//! hear of changes.
//!
//! It must not know how objects get here.

use crate::resource::{Meta, Object, ObjectKey};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::watch;

/// One change: both sides for an update, one for an appearance or a disappearance.
pub struct Change<T> {
    /// The state before.
    pub old: Option<Arc<T>>,
    /// The state now.
    pub new: Option<Arc<T>>,
}

impl<T> Change<T> {
    /// The newest state there is.
    #[must_use]
    pub fn latest(&self) -> &Arc<T> {
        self.new.as_ref().or(self.old.as_ref()).expect("a change has at least one side")
    }

    /// Both sides, the older first.
    pub fn sides(&self) -> impl Iterator<Item = &Arc<T>> {
        self.old.iter().chain(self.new.iter())
    }
}

type Handler<T> = Box<dyn Fn(&Change<T>) + Send + Sync>;
type Keys = BTreeSet<ObjectKey>;

/// The values under which an index finds an object.
pub type IndexFn<T> = fn(&T) -> Vec<String>;

struct Index<T> {
    name: &'static str,
    values: IndexFn<T>,
    keys: HashMap<String, Keys>,
}

struct State<T> {
    objects: BTreeMap<ObjectKey, Arc<T>>,
    indexes: Vec<Index<T>>,
}

/// How far the cache is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Whether the cache has been filled once.
    pub synced: bool,
    /// Everything up to this revision is in the cache.
    pub revision: u64,
}

/// The cache of one resource. Reading never waits for the server.
pub struct Store<T> {
    state: RwLock<State<T>>,
    /// Held while a change is applied and told, so that a new listener misses none and hears none twice.
    handlers: Mutex<Vec<Handler<T>>>,
    progress: watch::Sender<Progress>,
}

/// The index by the uid of every owner, which every store has.
const OWNER: &str = "owner";

fn owners<T: Object>(object: &T) -> Vec<String> {
    let owners = object.meta().owner_references.as_deref().unwrap_or_default();
    owners.iter().map(|owner| owner.uid.clone()).collect()
}

impl<T: Object> Default for Store<T> {
    fn default() -> Store<T> {
        Store::new()
    }
}

impl<T: Object> Store<T> {
    /// An empty cache that is not yet in sync.
    #[must_use]
    pub fn new() -> Store<T> {
        let owner = Index { name: OWNER, values: owners::<T>, keys: HashMap::new() };
        Store {
            state: RwLock::new(State { objects: BTreeMap::new(), indexes: vec![owner] }),
            handlers: Mutex::new(Vec::new()),
            progress: watch::Sender::new(Progress::default()),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State<T>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State<T>> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// One object.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<T>> {
        self.read().objects.get(key).cloned()
    }

    /// One object by its parts.
    #[must_use]
    pub fn find(&self, namespace: &str, name: &str) -> Option<Arc<T>> {
        self.get(&ObjectKey::new(namespace, name))
    }

    /// All objects, by namespace and name.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<T>> {
        self.read().objects.values().cloned().collect()
    }

    /// The objects of one namespace, by name.
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<T>> {
        let state = self.read();
        let from = state.objects.range(ObjectKey::new(namespace, "")..);
        from.take_while(|(key, _)| key.namespace == namespace).map(|(_, object)| object.clone()).collect()
    }

    /// The objects that name this uid as an owner.
    #[must_use]
    pub fn owned_by(&self, uid: &str) -> Vec<Arc<T>> {
        self.by(OWNER, uid)
    }

    /// Adds an index, unless one of this name is there.
    pub fn index(&self, name: &'static str, values: IndexFn<T>) {
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
    #[must_use]
    pub fn by(&self, index: &str, value: &str) -> Vec<Arc<T>> {
        let state = self.read();
        let Some(index) = state.indexes.iter().find(|i| i.name == index) else { return Vec::new() };
        let keys = index.keys.get(value).into_iter().flatten();
        keys.filter_map(|key| state.objects.get(key).cloned()).collect()
    }

    /// Calls `handler` for every object there is, then for every change, in order. It must be quick and must not
    /// register handlers itself.
    pub fn on_change(&self, handler: impl Fn(&Change<T>) + Send + Sync + 'static) {
        let mut handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        for object in self.all() {
            handler(&Change { old: None, new: Some(object) });
        }
        handlers.push(Box::new(handler));
    }

    /// How far the cache is now.
    #[must_use]
    pub fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// Waits until the cache has been filled once.
    pub async fn synced(&self) {
        let mut progress = self.progress.subscribe();
        // The sender lives in self, so the channel cannot close meanwhile.
        let _ = progress.wait_for(|p| p.synced).await;
    }

    /// Waits until everything up to a revision (of a write that was just answered) is in the cache.
    pub async fn reached(&self, revision: u64) {
        let mut progress = self.progress.subscribe();
        let _ = progress.wait_for(|p| p.revision >= revision).await;
    }

    /// Waits until an object that was just deleted is gone or marked as going.
    pub async fn going(&self, key: &ObjectKey, uid: &str) {
        let mut progress = self.progress.subscribe();
        let _ =
            progress.wait_for(|_| self.get(key).is_none_or(|object| object.uid() != uid || object.is_deleting())).await;
    }

    /// Takes in one new state.
    pub(crate) fn apply(&self, object: T) {
        let revision = object.revision();
        let handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        let new = Arc::new(object);
        let old = self.write().put(new.key(), Some(new.clone()));
        let change = Change { old, new: Some(new) };
        handlers.iter().for_each(|handler| handler(&change));
        self.advance(revision);
    }

    /// Takes in a disappearance; the last state comes with the event.
    pub(crate) fn remove(&self, last: T) {
        let revision = last.revision();
        let handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        self.write().put(last.key(), None);
        let change = Change { old: Some(Arc::new(last)), new: None };
        handlers.iter().for_each(|handler| handler(&change));
        self.advance(revision);
    }

    /// Takes in a whole collection: what is not in it is gone.
    pub(crate) fn replace(&self, objects: Vec<T>, revision: u64) {
        let handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh: BTreeMap<ObjectKey, Arc<T>> = objects.into_iter().map(|o| (o.key(), Arc::new(o))).collect();
        let gone: Vec<ObjectKey> =
            self.read().objects.keys().filter(|key| !fresh.contains_key(*key)).cloned().collect();
        let mut changes = Vec::new();
        {
            let mut state = self.write();
            for key in gone {
                changes.push(Change { old: state.put(key, None), new: None });
            }
            for (key, object) in fresh {
                let old = state.put(key, Some(object.clone()));
                if old.as_ref().is_none_or(|o| o.resource_version() != object.resource_version()) {
                    changes.push(Change { old, new: Some(object) });
                }
            }
        }
        for change in &changes {
            handlers.iter().for_each(|handler| handler(change));
        }
        self.progress.send_modify(|p| {
            p.synced = true;
            p.revision = p.revision.max(revision);
        });
    }

    /// Notes that nothing happened up to a revision.
    pub(crate) fn advance(&self, revision: u64) {
        self.progress.send_modify(|p| p.revision = p.revision.max(revision));
    }
}

impl<T> State<T> {
    /// Puts or removes an object and keeps the indexes right; tells what was there.
    fn put(&mut self, key: ObjectKey, object: Option<Arc<T>>) -> Option<Arc<T>> {
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

impl<T> Index<T> {
    fn insert(&mut self, key: &ObjectKey, object: &T) {
        for value in (self.values)(object) {
            self.keys.entry(value).or_default().insert(key.clone());
        }
    }

    fn remove(&mut self, key: &ObjectKey, object: &T) {
        for value in (self.values)(object) {
            if let Some(keys) = self.keys.get_mut(&value) {
                keys.remove(key);
                if keys.is_empty() {
                    self.keys.remove(&value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    fn pod(name: &str, node: &str, revision: u64) -> Pod {
        let tree = json!({"metadata": {"name": name, "namespace": "a", "uid": name,
            "resourceVersion": revision.to_string()}, "spec": {"nodeName": node, "containers": []}});
        serde_json::from_value(tree).unwrap()
    }

    fn node(pod: &Pod) -> Vec<String> {
        pod.spec.iter().filter_map(|s| s.node_name.clone()).collect()
    }

    fn names(pods: Vec<Arc<Pod>>) -> Vec<String> {
        pods.iter().map(|p| p.name().to_owned()).collect()
    }

    #[test]
    fn an_index_follows_changes_and_disappearances() {
        let store = Store::new();
        store.replace(vec![pod("x", "n1", 1), pod("y", "n1", 1)], 1);
        store.index("node", node);
        assert_eq!(names(store.by("node", "n1")), ["x", "y"]);
        store.apply(pod("x", "n2", 2));
        store.remove(pod("y", "n1", 3));
        assert!(store.by("node", "n1").is_empty());
        assert_eq!(names(store.by("node", "n2")), ["x"]);
        assert_eq!(store.progress(), Progress { synced: true, revision: 3 });
    }

    #[test]
    fn a_replacement_tells_only_what_differs() {
        let store = Store::new();
        let told = Arc::new(Mutex::new(Vec::new()));
        let sink = told.clone();
        store.replace(vec![pod("x", "", 1), pod("y", "", 1)], 1);
        store.on_change(move |change| {
            let what = format!("{}{}{}", change.latest().name(), change.old.is_some(), change.new.is_some());
            sink.lock().unwrap().push(what);
        });
        store.replace(vec![pod("x", "", 1), pod("z", "", 4)], 4);
        assert_eq!(*told.lock().unwrap(), ["xfalsetrue", "yfalsetrue", "ytruefalse", "zfalsetrue"]);
    }

    #[tokio::test]
    async fn a_writer_can_wait_until_its_write_is_seen() {
        let store = Arc::new(Store::new());
        let waiting = tokio::spawn({
            let store = store.clone();
            async move { store.reached(5).await }
        });
        store.apply(pod("x", "", 5));
        waiting.await.unwrap();
        store.remove(pod("x", "", 6));
        store.going(&ObjectKey::new("a", "x"), "x").await;
    }
}
