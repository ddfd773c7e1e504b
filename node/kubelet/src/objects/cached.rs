//! [`Objects`] over the API: one watch for each ConfigMap and Secret that a pod of this node holds, one for the
//! Services, GETs for the rest.
//!
//! It must not know what the objects are used for.

use super::{Answer, Names, Objects, names_of};
use api::Status;
use client::informer::follow;
use client::{Client, Meta, Object, ObjectKey, Selection, Store};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec, TokenRequestStatus};
use k8s_openapi::api::core::v1::{
    ConfigMap, PersistentVolume, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount,
};
use serde_json::json;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long a read waits for the first answer of its watch. In process that is instant; a node that has lost its
/// server must tell so and try again rather than hang a pod's worker.
pub const SYNC_WAIT: Duration = Duration::from_secs(10);

/// Told the uid of every pod that holds an object that has just changed. Must be quick.
pub type Wake = Arc<dyn Fn(&str) + Send + Sync>;

/// What pods refer to, cached by watches.
pub struct Cached {
    client: Client,
    stop: CancellationToken,
    wake: Wake,
    config_maps: Kind<ConfigMap>,
    secrets: Kind<Secret>,
    services: OnceLock<Arc<Store<Service>>>,
}

struct Kind<T>(Mutex<HashMap<ObjectKey, Followed<T>>>);

struct Followed<T> {
    store: Arc<Store<T>>,
    /// Uids of the pods that name the object.
    holders: Arc<Mutex<BTreeSet<String>>>,
    stop: CancellationToken,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One object by its name, as node authorizers want a watch to be narrowed.
fn only(name: &str) -> Selection {
    Selection { labels: String::new(), fields: format!("metadata.name={name}") }
}

impl<T: Object> Kind<T> {
    fn hold(&self, to: &Cached, key: ObjectKey, uid: &str) {
        let mut all = lock(&self.0);
        let followed = all.entry(key.clone()).or_insert_with(|| {
            let (store, stop) = (Arc::new(Store::new()), to.stop.child_token());
            let holders: Arc<Mutex<BTreeSet<String>>> = Arc::default();
            let (told, wake) = (holders.clone(), to.wake.clone());
            store.on_change(move |_| {
                let holders = lock(&told).clone();
                holders.iter().for_each(|uid| wake(uid));
            });
            let api = to.client.of::<T>();
            tokio::spawn(follow(api, key.namespace.clone(), only(&key.name), &store, stop.clone()));
            Followed { store, holders, stop }
        });
        lock(&followed.holders).insert(uid.to_owned());
    }

    /// Takes a pod off everything but what is to be kept.
    fn release(&self, uid: &str, namespace: &str, keep: &BTreeSet<String>) {
        lock(&self.0).retain(|key, followed| {
            if key.namespace == namespace && keep.contains(&key.name) {
                return true;
            }
            let mut holders = lock(&followed.holders);
            holders.remove(uid);
            if holders.is_empty() {
                followed.stop.cancel();
            }
            !holders.is_empty()
        });
    }

    /// From the watch if there is one, by a GET otherwise.
    async fn get(&self, client: &Client, namespace: &str, name: &str) -> Result<Option<Arc<T>>, Status> {
        let store = lock(&self.0).get(&ObjectKey::new(namespace, name)).map(|f| f.store.clone());
        let Some(store) = store else {
            return Ok(client.of::<T>().find(namespace, name).await?.map(Arc::new));
        };
        synced(&store).await?;
        Ok(store.find(namespace, name))
    }
}

async fn synced<T: Object>(store: &Store<T>) -> Result<(), Status> {
    let waited = tokio::time::timeout(SYNC_WAIT, store.synced()).await;
    let kind = T::KIND.to_lowercase();
    waited.map_err(|_| Status::unavailable(format!("failed to sync {kind} cache: timed out waiting for the condition")))
}

impl Cached {
    /// Reads as the client's user until `stop`; `wake` hears of every change that concerns a pod.
    #[must_use]
    pub fn new(client: Client, stop: CancellationToken, wake: Wake) -> Cached {
        let (config_maps, secrets) = (Kind(Mutex::default()), Kind(Mutex::default()));
        Cached { client, stop, wake, config_maps, secrets, services: OnceLock::new() }
    }

    fn all_services(&self) -> &Arc<Store<Service>> {
        self.services.get_or_init(|| {
            let store = Arc::new(Store::new());
            let api = self.client.of::<Service>();
            tokio::spawn(follow(api, String::new(), Selection::default(), &store, self.stop.clone()));
            store
        })
    }
}

impl Objects for Cached {
    fn hold(&self, pod: &Pod) {
        let Names { config_maps, secrets } = names_of(pod);
        for name in &config_maps {
            self.config_maps.hold(self, ObjectKey::new(pod.namespace(), name), pod.uid());
        }
        for name in &secrets {
            self.secrets.hold(self, ObjectKey::new(pod.namespace(), name), pod.uid());
        }
        self.config_maps.release(pod.uid(), pod.namespace(), &config_maps);
        self.secrets.release(pod.uid(), pod.namespace(), &secrets);
    }

    fn release(&self, uid: &str) {
        self.config_maps.release(uid, "", &BTreeSet::new());
        self.secrets.release(uid, "", &BTreeSet::new());
    }

    fn config_map<'a>(&'a self, namespace: &'a str, name: &'a str) -> Answer<'a, Option<Arc<ConfigMap>>> {
        Box::pin(self.config_maps.get(&self.client, namespace, name))
    }

    fn secret<'a>(&'a self, namespace: &'a str, name: &'a str) -> Answer<'a, Option<Arc<Secret>>> {
        Box::pin(self.secrets.get(&self.client, namespace, name))
    }

    fn claim<'a>(&'a self, namespace: &'a str, name: &'a str) -> Answer<'a, Option<Arc<PersistentVolumeClaim>>> {
        Box::pin(async move {
            let found = self.client.of::<PersistentVolumeClaim>().find(namespace, name).await?;
            Ok(found.map(Arc::new))
        })
    }

    fn volume<'a>(&'a self, name: &'a str) -> Answer<'a, Option<Arc<PersistentVolume>>> {
        Box::pin(async move { Ok(self.client.of::<PersistentVolume>().find("", name).await?.map(Arc::new)) })
    }

    fn services<'a>(&'a self, namespace: &'a str) -> Answer<'a, Vec<Arc<Service>>> {
        Box::pin(async move {
            let store = self.all_services();
            synced(store).await?;
            Ok(store.in_namespace(namespace))
        })
    }

    fn token<'a>(
        &'a self,
        namespace: &'a str,
        account: &'a str,
        spec: TokenRequestSpec,
    ) -> Answer<'a, TokenRequestStatus> {
        Box::pin(async move {
            let api = self.client.of::<ServiceAccount>();
            let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
            let made: TokenRequest = api.create_sub(namespace, account, "token", &body).await?;
            made.status.ok_or_else(|| Status::internal(format!("a token of {namespace}/{account} came without status")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use client::fake::Fake;

    fn pod(uid: &str, map: &str) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": uid, "namespace": "a", "uid": uid}, "spec": {
            "containers": [], "volumes": [{"name": "v", "configMap": {"name": map}}]}}))
        .unwrap()
    }

    fn map(value: &str) -> ConfigMap {
        serde_json::from_value(json!({"metadata": {"name": "m", "namespace": "a"}, "data": {"k": value}})).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_held_object_wakes_its_pods_when_it_appears_and_changes() {
        let server = Fake::new();
        let (sender, mut woken) = tokio::sync::mpsc::unbounded_channel();
        let wake: Wake = Arc::new(move |uid| sender.send(uid.to_owned()).unwrap());
        let objects = Cached::new(server.client(), CancellationToken::new(), wake);
        objects.hold(&pod("u", "m"));
        assert!(objects.config_map("a", "m").await.unwrap().is_none());
        server.put(&map("1"));
        assert_eq!(woken.recv().await.as_deref(), Some("u"));
        server.put(&map("2"));
        assert_eq!(woken.recv().await.as_deref(), Some("u"));
        let found = objects.config_map("a", "m").await.unwrap().unwrap();
        assert_eq!(found.data.as_ref().unwrap()["k"], "2");
    }

    #[tokio::test(start_paused = true)]
    async fn what_no_pod_holds_any_more_is_forgotten() {
        let server = Fake::new();
        let objects = Cached::new(server.client(), CancellationToken::new(), Arc::new(|_| ()));
        objects.hold(&pod("u", "m"));
        objects.hold(&pod("w", "m"));
        objects.hold(&pod("u", "other"));
        assert_eq!(lock(&objects.config_maps.0).len(), 2);
        objects.release("w");
        objects.release("u");
        assert!(lock(&objects.config_maps.0).is_empty());
    }
}
