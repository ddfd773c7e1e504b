//! Keeps the ServiceAccount `default` in every living namespace, as upstream's `serviceaccounts_controller.go`.
//!
//! It must not know tokens.

use crate::context::{Context, Life, feed};
use client::{After, Meta, ObjectKey, Queue};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use serde_json::json;
use std::sync::Arc;

/// The account that pods without one get.
pub const NAME: &str = "default";

/// Runs the controller.
pub fn start(context: Context) -> Life {
    Box::pin(async move {
        let queue = Arc::new(Queue::default());
        let namespaces = context.informers.of::<Namespace>();
        let accounts = context.informers.of::<ServiceAccount>();
        feed(&namespaces, &queue);
        let fed = queue.clone();
        accounts.on_change(move |change| {
            if change.new.is_none() && change.latest().name() == NAME {
                fed.add(ObjectKey::new("", change.latest().namespace()));
            }
        });
        namespaces.synced().await;
        accounts.synced().await;
        let look = async |key: ObjectKey| {
            let lives = namespaces.get(&key).is_some_and(|n| is_active(&n));
            if !lives || accounts.find(&key.name, NAME).is_some() {
                return Ok(After::Done);
            }
            let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME}});
            match context.client.of::<ServiceAccount>().create(&key.name, &account).await {
                Err(status) if !status.is_already_exists() && !refuses(&status) => Err(status),
                _ => Ok(After::Done),
            }
        };
        context.work("serviceaccount", &queue, look).await;
    })
}

/// Whether a namespace takes new objects.
#[must_use]
pub fn is_active(namespace: &Namespace) -> bool {
    !namespace.is_deleting() && namespace.status.as_ref().and_then(|s| s.phase.as_deref()) != Some("Terminating")
}

/// Whether a creation failed because the namespace is going or gone, which needs no second try.
#[must_use]
pub fn refuses(status: &api::Status) -> bool {
    status.is_not_found() || status.causes.iter().any(|c| c.reason == "NamespaceTerminating")
}
