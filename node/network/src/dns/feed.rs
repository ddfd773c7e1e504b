//! From informers to `Records`: a change marks its Service, one task reads the marked ones anew and publishes.
//!
//! It must not know what is asked.

use super::records::{Records, ServiceRecords};
use arc_swap::ArcSwap;
use client::{Client, Informers, Meta, ObjectKey, Store};
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// The label by which a slice names its Service.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
const BY_SERVICE: &str = "service";

/// What has changed since it was last read. Bounded by the number of objects.
#[derive(Default)]
struct Marks {
    keys: Mutex<(BTreeSet<ObjectKey>, BTreeSet<String>)>,
    wake: Notify,
}

impl Marks {
    fn service(&self, key: ObjectKey) {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).0.insert(key);
        self.wake.notify_one();
    }

    fn namespace(&self, name: &str) {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).1.insert(name.to_owned());
        self.wake.notify_one();
    }

    fn take(&self) -> (BTreeSet<ObjectKey>, BTreeSet<String>) {
        std::mem::take(&mut *self.keys.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The Service of a slice, as an index value.
fn service_of(slice: &EndpointSlice) -> Vec<String> {
    slice.label(SERVICE_NAME).map(|name| format!("{}/{name}", slice.namespace())).into_iter().collect()
}

struct Feed {
    namespaces: Arc<Store<Namespace>>,
    services: Arc<Store<Service>>,
    slices: Arc<Store<EndpointSlice>>,
    marks: Arc<Marks>,
}

/// Starts to keep the records in step. The second value becomes true when they are complete for the first time.
pub fn start(
    records: Records,
    client: Client,
    stop: CancellationToken,
) -> (Arc<ArcSwap<Records>>, watch::Receiver<bool>) {
    let published = Arc::new(ArcSwap::from_pointee(records.clone()));
    let (known, synced) = watch::channel(false);
    let informers = Informers::new(client, stop.clone());
    let feed = Feed {
        namespaces: informers.of(),
        services: informers.of(),
        slices: informers.of(),
        marks: Arc::new(Marks::default()),
    };
    let to = published.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => (),
            () = feed.run(records, &to, known) => (),
        }
    });
    (published, synced)
}

impl Feed {
    async fn run(self, mut records: Records, published: &ArcSwap<Records>, known: watch::Sender<bool>) {
        self.listen();
        self.namespaces.synced().await;
        self.services.synced().await;
        self.slices.synced().await;
        loop {
            self.read(&mut records);
            let seconds = jiff::Timestamp::now().as_second();
            records.serial = u32::try_from(seconds).unwrap_or(u32::MAX);
            published.store(Arc::new(records.clone()));
            known.send_if_modified(|known| !std::mem::replace(known, true));
            self.marks.wake.notified().await;
        }
    }

    fn listen(&self) {
        self.slices.index(BY_SERVICE, service_of);
        let marks = self.marks.clone();
        self.namespaces.on_change(move |change| marks.namespace(change.latest().name()));
        let marks = self.marks.clone();
        self.services.on_change(move |change| marks.service(change.latest().key()));
        let marks = self.marks.clone();
        self.slices.on_change(move |change| {
            for slice in change.sides() {
                if let Some(service) = slice.label(SERVICE_NAME) {
                    marks.service(ObjectKey::new(slice.namespace(), service));
                }
            }
        });
    }

    fn read(&self, records: &mut Records) {
        let (services, namespaces) = self.marks.take();
        for name in namespaces {
            records.set_namespace(&name, self.namespaces.find("", &name).is_some());
        }
        for key in services {
            let service = self.services.get(&key);
            let slices = self.slices.by(BY_SERVICE, &format!("{}/{}", key.namespace, key.name));
            let now = service.and_then(|service| ServiceRecords::of(&service, &slices));
            records.set_service(&key.namespace, &key.name, now);
        }
    }
}
