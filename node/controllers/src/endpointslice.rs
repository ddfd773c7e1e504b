//! The EndpointSlice controller: shows the pods behind each Service that has a selector. Behaviour as upstream's
//! `k8s.io/endpointslice`.
//!
//! It must not know the service proxy.

use crate::backends::{Backend, backends, feed_by_pods, is_headless, selector};
use crate::context::{Context, Life, feed};
use crate::owner::controlled_by;
use crate::slices::{Groups, MANAGED_BY, SERVICE, carry_out, of_service, plan};
use api::Status;
use client::{After, Meta, ObjectKey, Queue, Store};
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::sync::Arc;

/// Who writes these slices.
pub const NAME: &str = "endpointslice-controller.k8s.io";
/// The label of what belongs to a Service without an address.
pub const HEADLESS: &str = "service.kubernetes.io/headless";

/// Runs the controller.
pub fn start(context: Context) -> Life {
    Box::pin(async move {
        let queue = Arc::new(Queue::default());
        let services = context.informers.of::<Service>();
        let pods = context.informers.of::<Pod>();
        let nodes = context.informers.of::<Node>();
        let slices = context.informers.of::<EndpointSlice>();
        feed(&services, &queue);
        feed_by_pods(&pods, &services, &queue);
        feed_by_slices(&slices, &queue, NAME);
        services.synced().await;
        pods.synced().await;
        nodes.synced().await;
        slices.synced().await;
        let look = |key: ObjectKey| {
            let (context, pods, nodes, slices) = (&context, &pods, &nodes, &slices);
            let service = services.get(&key);
            async move {
                match service {
                    Some(service) if selector(&service).is_some() && !service.is_deleting() => {
                        sync(context, pods, nodes, slices, &service).await
                    }
                    _ => Ok(After::Done),
                }
            }
        };
        context.work("endpointslice", &queue, look).await;
    })
}

/// Wants a Service looked at when somebody touches a slice of ours.
pub fn feed_by_slices(slices: &Store<EndpointSlice>, queue: &crate::context::Keys, by: &'static str) {
    let queue = queue.clone();
    slices.on_change(move |change| {
        for slice in change.sides().filter(|s| s.label(MANAGED_BY) == Some(by)) {
            if let Some(service) = slice.label(SERVICE) {
                queue.add(ObjectKey::new(slice.namespace(), service));
            }
        }
    });
}

/// One backend as a slice shows it.
#[must_use]
pub fn endpoint(backend: &Backend) -> Endpoint {
    Endpoint {
        addresses: vec![backend.address.clone()],
        conditions: Some(EndpointConditions {
            ready: Some(backend.ready),
            serving: Some(backend.serving),
            terminating: Some(backend.terminating),
        }),
        hostname: backend.hostname.clone(),
        node_name: backend.node.clone(),
        target_ref: Some(backend.target.clone()),
        zone: backend.zone.clone(),
        ..Endpoint::default()
    }
}

/// The endpoints of a Service by family and ports; a family without any has one empty group.
#[must_use]
pub fn groups(service: &Service, pods: &[Arc<Pod>], nodes: &Store<Node>) -> Groups {
    let spec = service.spec.as_ref();
    let families = spec.and_then(|s| s.ip_families.clone()).filter(|f| !f.is_empty());
    let mut groups = Groups::new();
    for family in families.unwrap_or_else(|| vec!["IPv4".to_owned()]) {
        let found = backends(service, pods, nodes, &family);
        if found.is_empty() {
            groups.insert((family.clone(), Vec::new()), Vec::new());
        }
        for backend in found {
            groups.entry((family.clone(), backend.ports.clone())).or_default().push(endpoint(&backend));
        }
    }
    groups
}

/// The metadata of a Service's slices.
fn frame(service: &Service) -> ObjectMeta {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS);
    labels.insert(SERVICE.to_owned(), service.name().to_owned());
    labels.insert(MANAGED_BY.to_owned(), NAME.to_owned());
    if is_headless(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    ObjectMeta {
        generate_name: Some(format!("{}-", service.name())),
        namespace: Some(service.namespace().to_owned()),
        labels: Some(labels),
        owner_references: Some(vec![controlled_by(service)]),
        ..ObjectMeta::default()
    }
}

async fn sync(
    context: &Context,
    pods: &Store<Pod>,
    nodes: &Store<Node>,
    slices: &Store<EndpointSlice>,
    service: &Service,
) -> Result<After, Status> {
    let there = of_service(slices, service.namespace(), service.name(), NAME);
    let wanted = groups(service, &pods.in_namespace(service.namespace()), nodes);
    carry_out(&context.client, slices, service.namespace(), plan(there, wanted, &frame(service))).await?;
    Ok(After::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{context, until_writes_end};
    use client::fake::Fake;
    use serde_json::json;

    fn pod(name: &str, ip: &str, ready: &str) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": name, "namespace": "a", "labels": {"app": "web"}},
            "spec": {"nodeName": "n", "containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}]},
            "status": {"podIP": ip, "phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}}))
        .unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_shows_its_pods_and_follows_them() {
        let server = Fake::new();
        let service: Service = serde_json::from_value(json!({"metadata": {"name": "web", "namespace": "a"}, "spec":
            {"selector": {"app": "web"}, "ports": [{"name": "p", "port": 80, "targetPort": "http"}]}}))
        .unwrap();
        server.put(&service);
        let (context, stop) = context(&server);
        let lives = [tokio::spawn(start(context.clone())), tokio::spawn(crate::endpoints::start(context))];
        until_writes_end(&server).await;
        let slices = server.all::<EndpointSlice>();
        assert_eq!((slices.len(), slices[0].endpoints.clone().unwrap().len()), (1, 0));
        server.put(&pod("x", "10.0.0.1", "True"));
        server.put(&pod("y", "10.0.0.2", "False"));
        until_writes_end(&server).await;
        let slices = server.all::<EndpointSlice>();
        let ready: Vec<Option<bool>> =
            slices[0].endpoints.iter().flatten().map(|e| e.conditions.as_ref().unwrap().ready).collect();
        assert_eq!((slices.len(), ready), (1, vec![Some(true), Some(false)]));
        assert_eq!(slices[0].ports.as_ref().unwrap()[0].port, Some(8080));
        let subsets = server.all::<k8s_openapi::api::core::v1::Endpoints>().remove(0).subsets.unwrap();
        assert_eq!(subsets[0].addresses.as_ref().unwrap()[0].ip, "10.0.0.1");
        assert_eq!(subsets[0].not_ready_addresses.as_ref().unwrap()[0].ip, "10.0.0.2");
        stop.cancel();
        for life in lives {
            life.await.unwrap();
        }
    }
}
