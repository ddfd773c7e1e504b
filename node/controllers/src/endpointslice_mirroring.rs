//! Shows hand-made Endpoints as EndpointSlices, for Services without a selector. Behaviour as upstream's
//! `pkg/controller/endpointslicemirroring`.
//!
//! It must not know pods.

use crate::backends::{Port, is_family, selector};
use crate::context::{Context, Life, feed};
use crate::endpointslice::feed_by_slices;
use crate::owner::controlled_by;
use crate::slices::{Groups, MANAGED_BY, SERVICE, Steps, carry_out, of_service, plan};
use api::Status;
use client::{After, Meta, ObjectKey, Queue, Store};
use k8s_openapi::api::core::v1::{EndpointAddress, Endpoints, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::sync::Arc;

/// Who writes these slices.
pub const NAME: &str = "endpointslicemirroring-controller.k8s.io";
/// Addresses mirrored from one subset, upstream's default.
pub const ADDRESSES_MAX: usize = 1000;
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
/// Annotations that are not carried over.
const NOT_COPIED: &[&str] =
    &["kubectl.kubernetes.io/last-applied-configuration", "endpoints.kubernetes.io/last-change-trigger-time"];

/// Whether Endpoints are to be mirrored.
#[must_use]
pub fn is_mirrored(endpoints: &Endpoints, service: Option<&Service>) -> bool {
    let by_user = service.is_some_and(|s| selector(s).is_none() && !s.is_deleting());
    by_user
        && endpoints.label(SKIP) != Some("true")
        && endpoints.annotation(LEADER).is_none()
        && !endpoints.is_deleting()
}

/// The addresses of Endpoints by family and ports.
#[must_use]
pub fn groups(endpoints: &Endpoints) -> Groups {
    let mut groups = Groups::new();
    for subset in endpoints.subsets.iter().flatten() {
        let mut ports: Vec<Port> = subset
            .ports
            .iter()
            .flatten()
            .map(|p| Port {
                name: p.name.clone().unwrap_or_default(),
                port: p.port,
                protocol: p.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
                app_protocol: p.app_protocol.clone(),
            })
            .collect();
        ports.sort();
        let ready = subset.addresses.iter().flatten().map(|a| (a, true));
        let unready = subset.not_ready_addresses.iter().flatten().map(|a| (a, false));
        for (address, ready) in ready.chain(unready).take(ADDRESSES_MAX) {
            let family = if is_family(&address.ip, "IPv6") { "IPv6" } else { "IPv4" };
            groups.entry((family.to_owned(), ports.clone())).or_default().push(endpoint(address, ready));
        }
    }
    groups
}

fn endpoint(address: &EndpointAddress, ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![address.ip.clone()],
        conditions: Some(EndpointConditions { ready: Some(ready), ..EndpointConditions::default() }),
        hostname: address.hostname.clone().filter(|h| !h.is_empty()),
        node_name: address.node_name.clone(),
        target_ref: address.target_ref.clone(),
        ..Endpoint::default()
    }
}

fn frame(endpoints: &Endpoints) -> ObjectMeta {
    let mut labels = endpoints.metadata.labels.clone().unwrap_or_default();
    labels.insert(SERVICE.to_owned(), endpoints.name().to_owned());
    labels.insert(MANAGED_BY.to_owned(), NAME.to_owned());
    let mut annotations = endpoints.metadata.annotations.clone().unwrap_or_default();
    annotations.retain(|key, _| !NOT_COPIED.contains(&key.as_str()));
    ObjectMeta {
        generate_name: Some(format!("{}-", endpoints.name())),
        namespace: Some(endpoints.namespace().to_owned()),
        labels: Some(labels),
        annotations: Some(annotations).filter(|a| !a.is_empty()),
        owner_references: Some(vec![controlled_by(endpoints)]),
        ..ObjectMeta::default()
    }
}

/// Runs the controller.
pub fn start(context: Context) -> Life {
    Box::pin(async move {
        let queue = Arc::new(Queue::default());
        let endpoints = context.informers.of::<Endpoints>();
        let services = context.informers.of::<Service>();
        let slices = context.informers.of::<EndpointSlice>();
        feed(&endpoints, &queue);
        feed(&services, &queue);
        feed_by_slices(&slices, &queue, NAME);
        endpoints.synced().await;
        services.synced().await;
        slices.synced().await;
        let look = |key: ObjectKey| {
            let (context, slices) = (&context, &slices);
            let (there, service) = (endpoints.get(&key), services.get(&key));
            async move { sync(context, slices, &key, there.as_deref(), service.as_deref()).await }
        };
        context.work("endpointslicemirroring", &queue, look).await;
    })
}

async fn sync(
    context: &Context,
    slices: &Store<EndpointSlice>,
    key: &ObjectKey,
    endpoints: Option<&Endpoints>,
    service: Option<&Service>,
) -> Result<After, Status> {
    let there = of_service(slices, &key.namespace, &key.name, NAME);
    let steps = match endpoints.filter(|e| is_mirrored(e, service)) {
        Some(endpoints) => plan(there, groups(endpoints), &frame(endpoints)),
        None => Steps { delete: there, ..Steps::default() },
    };
    carry_out(&context.client, slices, &key.namespace, steps).await?;
    Ok(After::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{context, until_writes_end};
    use client::fake::Fake;
    use serde_json::json;

    #[tokio::test(start_paused = true)]
    async fn hand_made_endpoints_are_mirrored_and_removed_with_them() {
        let server = Fake::new();
        let endpoints: Endpoints = serde_json::from_value(json!({"metadata": {"name": "own", "namespace": "a"},
            "subsets": [{"addresses": [{"ip": "10.1.2.3"}], "ports": [{"name": "p", "port": 80}]}]}))
        .unwrap();
        let service: Service =
            serde_json::from_value(json!({"metadata": {"name": "own", "namespace": "a"}, "spec": {"ports": []}}))
                .unwrap();
        server.put(&service);
        server.put(&endpoints);
        let (context, stop) = context(&server);
        let life = tokio::spawn(start(context));
        until_writes_end(&server).await;
        let slices = server.all::<EndpointSlice>();
        assert_eq!(slices[0].endpoints.as_ref().unwrap()[0].addresses, ["10.1.2.3"]);
        let api = server.client().of::<Endpoints>();
        api.delete("a", "own", &client::DeleteOptions::default()).await.unwrap();
        until_writes_end(&server).await;
        assert!(server.all::<EndpointSlice>().is_empty());
        stop.cancel();
        life.await.unwrap();
    }
}
