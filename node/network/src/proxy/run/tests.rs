//! What goes to the kernel when, with tables that only remember.

use super::*;
use crate::nft::{Key, Op};
use serde_json::json;

/// Remembers every transaction, and refuses as many as it is told to.
#[derive(Default)]
struct Remembered {
    all: Vec<Vec<Op>>,
    refuse: usize,
}

impl Tables for Remembered {
    async fn commit(&mut self, _: &Ruleset, ops: &[Op]) -> Result<(), String> {
        if self.refuse > 0 {
            self.refuse -= 1;
            return Err("full".to_owned());
        }
        self.all.push(ops.to_vec());
        Ok(())
    }

    async fn forget(&mut self, _: &Ruleset, _: &str, gone: &[Key]) -> Result<(), String> {
        panic!("no Service here has affinity, but {gone:?} are to be forgotten");
    }
}

fn slice(backends: &[&str]) -> EndpointSlice {
    let endpoints: Vec<_> = backends.iter().map(|address| json!({"addresses": [address]})).collect();
    serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4", "ports": [{"port": 8080}], "endpoints": endpoints,
    }))
    .unwrap()
}

/// An API server with one Service, the caches that follow it, and a proxy.
async fn cluster() -> (client::fake::Fake, Caches, Proxy<Remembered>, CancellationToken) {
    let api = client::fake::Fake::new();
    let service: Service = serde_json::from_value(json!({"metadata": {"name": "web", "namespace": "shop"},
        "spec": {"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"], "ports": [{"port": 80}]}}))
    .unwrap();
    api.put(&service);
    api.put(&slice(&["10.244.0.2", "10.244.0.3"]));
    let stop = CancellationToken::new();
    let informers = Informers::new(api.client(), stop.clone());
    let caches = Caches { services: informers.of(), slices: informers.of(), nodes: informers.of() };
    caches.synced().await;
    let network = Network {
        pods: vec!["10.244.0.0/16".parse().unwrap()],
        services: vec!["10.96.0.0/16".parse().unwrap()],
        node: "10.250.0.1".parse().unwrap(),
    };
    let proxy = Proxy::new(
        Config { node: "n1".to_owned(), network, metrics: Arc::new(crate::metrics::values()) },
        Remembered::default(),
    );
    (api, caches, proxy, stop)
}

/// Waits until the cache has so many backends.
async fn backends(caches: &Caches, wanted: usize) {
    let changed = Arc::new(Notify::new());
    wake(&caches.slices, &changed);
    while caches.slices.all()[0].endpoints.as_ref().map_or(0, Vec::len) != wanted {
        changed.notified().await;
    }
}

#[tokio::test]
async fn a_transaction_is_as_large_as_the_change() {
    let (api, caches, mut proxy, stop) = cluster().await;
    proxy.look(&caches).await.unwrap();
    assert_eq!(proxy.tables.all[0][0], Op::Renew);
    proxy.look(&caches).await.unwrap();
    assert_eq!(proxy.tables.all.len(), 1, "nothing changed");
    api.put(&slice(&["10.244.0.2"]));
    backends(&caches, 1).await;
    proxy.look(&caches).await.unwrap();
    // The rule that knows how many there are, the backend, and its hairpin.
    assert_eq!(proxy.tables.all[1].len(), 4, "{:?}", proxy.tables.all[1]);
    stop.cancel();
}

#[tokio::test]
async fn emptied_chains_are_swept_later() {
    let (api, caches, mut proxy, stop) = cluster().await;
    proxy.look(&caches).await.unwrap();
    api.put(&slice(&[]));
    backends(&caches, 0).await;
    proxy.look(&caches).await.unwrap();
    assert!(proxy.sweep_at.is_some());
    // The kernel holds on once; the next sweep gets it.
    proxy.tables.refuse = 1;
    proxy.sweep().await;
    proxy.sweep().await;
    assert_eq!(proxy.tables.all[2], [Op::DeleteChain("cluster-shop/web/tcp/".to_owned())]);
    proxy.sweep().await;
    assert_eq!(proxy.tables.all.len(), 3);
    stop.cancel();
}

#[tokio::test]
async fn after_a_refusal_the_table_is_made_anew() {
    let (api, caches, mut proxy, stop) = cluster().await;
    proxy.look(&caches).await.unwrap();
    api.put(&slice(&["10.244.0.2"]));
    backends(&caches, 1).await;
    proxy.tables.refuse = 1;
    assert_eq!(proxy.look(&caches).await, Err("full".to_owned()));
    proxy.look(&caches).await.unwrap();
    assert_eq!(proxy.tables.all[1][0], Op::Renew);
    stop.cancel();
}

#[test]
fn the_proxy_can_be_a_task() {
    fn is_send<F: Future + Send>(_: fn(Config, Client, CancellationToken) -> F) {}
    is_send(run);
}
