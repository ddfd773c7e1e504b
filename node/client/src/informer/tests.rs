//! The informer against a server in memory.

use crate::fake::Fake;
use crate::{Informers, Meta};
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;
use tokio_util::sync::CancellationToken;

fn map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name, "namespace": "a"}})).unwrap()
}

#[tokio::test]
async fn a_cache_is_filled_and_follows_writes() {
    let server = Fake::new();
    server.put(&map("x"));
    let informers = Informers::new(server.client(), CancellationToken::new());
    let store = informers.of::<ConfigMap>();
    store.synced().await;
    assert_eq!(store.all().len(), 1);
    let api = server.client().of::<ConfigMap>();
    let made = api.create("a", &map("y")).await.unwrap();
    store.reached(made.revision()).await;
    assert!(store.find("a", "y").is_some());
    api.delete("a", "x", &crate::DeleteOptions::default()).await.unwrap();
    let x = store.find("a", "x").map(|x| x.key()).unwrap_or_else(|| map("x").key());
    store.going(&x, "uid-x").await;
    assert!(store.find("a", "x").is_none());
}

#[tokio::test]
async fn two_who_ask_share_one_cache() {
    let informers = Informers::new(Fake::new().client(), CancellationToken::new());
    let (one, other) = (informers.of::<ConfigMap>(), informers.of::<ConfigMap>());
    assert!(std::sync::Arc::ptr_eq(&one.cache(), &other.cache()));
}
