//! `Store`: an informer's cache of one resource, read as the kind that it holds.
//!
//! It must not know how objects get here.

use crate::cache::{Cache, Cached, Item, OWNER, Progress, Turn};
use crate::resource::{Object, ObjectKey};
use std::any::Any;
use std::marker::PhantomData;
use std::sync::Arc;

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

/// The values under which an index finds an object.
pub type IndexFn<T> = fn(&T) -> Vec<String>;

/// The cache of one resource. Reading never waits for the server.
pub struct Store<T> {
    cache: Arc<Cache>,
    holds: PhantomData<fn() -> T>,
}

const ONE_KIND: &str = "what feeds a store decodes its objects as its own type";

fn typed<T: Object>(item: Item) -> Arc<T> {
    let any: Arc<dyn Any + Send + Sync> = item;
    any.downcast().expect(ONE_KIND)
}

fn all_typed<T: Object>(items: Vec<Item>) -> Vec<Arc<T>> {
    items.into_iter().map(typed).collect()
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
        Store::over(Arc::new(Cache::new()))
    }

    /// A cache that is fed with objects of this type alone.
    pub(crate) fn over(cache: Arc<Cache>) -> Store<T> {
        Store { cache, holds: PhantomData }
    }

    /// What an informer feeds; with objects of this type alone.
    pub(crate) fn cache(&self) -> Arc<Cache> {
        self.cache.clone()
    }

    /// One object.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<T>> {
        self.cache.get(key).map(typed)
    }

    /// One object by its parts.
    #[must_use]
    pub fn find(&self, namespace: &str, name: &str) -> Option<Arc<T>> {
        self.get(&ObjectKey::new(namespace, name))
    }

    /// All objects, by namespace and name.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<T>> {
        all_typed(self.cache.all())
    }

    /// The objects of one namespace, by name.
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<T>> {
        all_typed(self.cache.in_namespace(namespace))
    }

    /// The objects that name this uid as an owner.
    #[must_use]
    pub fn owned_by(&self, uid: &str) -> Vec<Arc<T>> {
        self.by(OWNER, uid)
    }

    /// Adds an index, unless one of this name is there.
    pub fn index(&self, name: &'static str, values: IndexFn<T>) {
        let of = move |object: &dyn Cached| values((object as &dyn Any).downcast_ref().expect(ONE_KIND));
        self.cache.index(name, Box::new(of));
    }

    /// What an index holds under a value; nothing when there is no such index.
    #[must_use]
    pub fn by(&self, index: &str, value: &str) -> Vec<Arc<T>> {
        all_typed(self.cache.by(index, value))
    }

    /// Calls `handler` for every object there is, then for every change, in order. It must be quick and must not
    /// register handlers itself.
    pub fn on_change(&self, handler: impl Fn(&Change<T>) + Send + Sync + 'static) {
        self.cache.on_change(Box::new(move |turn: &Turn| {
            handler(&Change { old: turn.old.clone().map(typed), new: turn.new.clone().map(typed) });
        }));
    }

    /// How far the cache is now.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.cache.progress()
    }

    /// Waits until the cache has been filled once.
    pub fn synced(&self) -> impl Future<Output = ()> + Send + '_ {
        self.cache.synced()
    }

    /// Waits until everything up to a revision (of a write that was just answered) is in the cache.
    pub fn reached(&self, revision: u64) -> impl Future<Output = ()> + Send + '_ {
        self.cache.reached(revision)
    }

    /// Waits until an object that was just deleted is gone or marked as going.
    pub fn going<'a>(&'a self, key: &'a ObjectKey, uid: &'a str) -> impl Future<Output = ()> + Send + 'a {
        self.cache.going(key, uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::Meta;
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;
    use std::sync::Mutex;

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

    fn replace(store: &Store<Pod>, pods: Vec<Pod>, revision: u64) {
        store.cache().replace(pods.into_iter().map(|pod| (pod.key(), Arc::new(pod) as Item)).collect(), revision);
    }

    #[test]
    fn an_index_follows_changes_and_disappearances() {
        let store = Store::new();
        replace(&store, vec![pod("x", "n1", 1), pod("y", "n1", 1)], 1);
        store.index("node", node);
        assert_eq!(names(store.by("node", "n1")), ["x", "y"]);
        store.cache().apply(Arc::new(pod("x", "n2", 2)));
        store.cache().remove(Arc::new(pod("y", "n1", 3)));
        assert!(store.by("node", "n1").is_empty());
        assert_eq!(names(store.by("node", "n2")), ["x"]);
        assert_eq!(store.progress(), Progress { synced: true, revision: 3 });
    }

    #[test]
    fn a_replacement_tells_only_what_differs() {
        let store = Store::new();
        let told = Arc::new(Mutex::new(Vec::new()));
        let sink = told.clone();
        replace(&store, vec![pod("x", "", 1), pod("y", "", 1)], 1);
        store.on_change(move |change| {
            let what = format!("{}{}{}", change.latest().name(), change.old.is_some(), change.new.is_some());
            sink.lock().unwrap().push(what);
        });
        replace(&store, vec![pod("x", "", 1), pod("z", "", 4)], 4);
        assert_eq!(*told.lock().unwrap(), ["xfalsetrue", "yfalsetrue", "ytruefalse", "zfalsetrue"]);
    }

    #[tokio::test]
    async fn a_writer_can_wait_until_its_write_is_seen() {
        let store = Arc::new(Store::<Pod>::new());
        let waiting = tokio::spawn({
            let store = store.clone();
            async move { store.reached(5).await }
        });
        store.cache().apply(Arc::new(pod("x", "", 5)));
        waiting.await.unwrap();
        store.cache().remove(Arc::new(pod("x", "", 6)));
        store.going(&ObjectKey::new("a", "x"), "x").await;
    }
}
