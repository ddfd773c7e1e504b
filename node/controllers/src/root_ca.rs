//! Publishes the authority of the API server as the ConfigMap `kube-root-ca.crt` in every living namespace and puts
//! it right when somebody changes it, as upstream's `certificates/rootcacertpublisher`.
//!
//! It must not know certificates, only their text.

use crate::context::{Context, Life, feed};
use crate::serviceaccount::{is_active, refuses};
use client::{After, Meta, ObjectKey, Patch, Queue};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The map's name.
pub const NAME: &str = "kube-root-ca.crt";
const KEY: &str = "ca.crt";
const ABOUT: &str = "kubernetes.io/description";
const TEXT: &str = "The authorities that sign what the API server shows to clients inside the cluster.";

/// What to do about the map of one namespace.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Nothing.
    Keep,
    /// Create it.
    Create(Value),
    /// Change it back.
    Revert(Value),
}

/// Compares the map with what it should be.
#[must_use]
pub fn plan(there: Option<&ConfigMap>, pem: &str) -> Step {
    let metadata = json!({"name": NAME, "annotations": {ABOUT: TEXT}});
    let Some(map) = there else {
        return Step::Create(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {KEY: pem}}),
        );
    };
    let wanted = BTreeMap::from([(KEY.to_owned(), pem.to_owned())]);
    if map.data.as_ref() == Some(&wanted) && map.annotation(ABOUT) == Some(TEXT) {
        return Step::Keep;
    }
    let mut data = json!({KEY: pem});
    for key in map.data.iter().flatten().map(|(k, _)| k).filter(|k| *k != KEY) {
        data[key.as_str()] = Value::Null;
    }
    Step::Revert(json!({"metadata": {"annotations": {ABOUT: TEXT}}, "data": data}))
}

/// Runs the controller.
pub fn start(context: Context) -> Life {
    Box::pin(async move {
        let queue = Arc::new(Queue::default());
        let namespaces = context.informers.of::<Namespace>();
        let only = client::Selection { labels: String::new(), fields: format!("metadata.name={NAME}") };
        let maps = context.informers.selected::<ConfigMap>(only);
        feed(&namespaces, &queue);
        let fed = queue.clone();
        maps.on_change(move |change| fed.add(ObjectKey::new("", change.latest().namespace())));
        namespaces.synced().await;
        maps.synced().await;
        let look = async |key: ObjectKey| {
            if !namespaces.get(&key).is_some_and(|n| is_active(&n)) {
                return Ok(After::Done);
            }
            let api = context.client.of::<ConfigMap>();
            let there = maps.find(&key.name, NAME);
            let done = match plan(there.as_deref(), &context.settings.root_ca_pem) {
                Step::Keep => return Ok(After::Done),
                Step::Create(map) => api.create(&key.name, &map).await,
                Step::Revert(change) => api.patch(&key.name, NAME, "", &Patch::Merge(change)).await,
            };
            match done {
                Err(status) if !status.is_already_exists() && !refuses(&status) => Err(status),
                _ => Ok(After::Done),
            }
        };
        context.work("root-ca-certificate-publisher", &queue, look).await;
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(data: Value) -> ConfigMap {
        serde_json::from_value(json!({"metadata": {"annotations": {ABOUT: TEXT}}, "data": data})).unwrap()
    }

    #[test]
    fn the_right_map_is_kept_and_a_changed_one_reverted() {
        assert_eq!(plan(Some(&map(json!({KEY: "pem"}))), "pem"), Step::Keep);
        let Step::Revert(change) = plan(Some(&map(json!({KEY: "x", "more": "y"}))), "pem") else { panic!() };
        assert_eq!(change["data"], json!({KEY: "pem", "more": null}));
        assert!(matches!(plan(None, "pem"), Step::Create(_)));
    }
}
