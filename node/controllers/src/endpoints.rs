//! The Endpoints controller: the older face of what EndpointSlices show. Behaviour as upstream's
//! `pkg/controller/endpoint`.
//!
//! It must not touch Endpoints of Services without a selector.

use crate::backends::{Backend, Port, backends, feed_by_pods, is_headless, selector};
use crate::context::{Context, Life, feed};
use crate::endpointslice::HEADLESS;
use api::Status;
use client::{After, DeleteOptions, Meta, ObjectKey, Queue, Store};
use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Node, Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Addresses of one Endpoints object, upstream's limit.
pub const ADDRESSES_MAX: usize = 1000;
/// Says that addresses were left out.
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
/// Says who writes the object.
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const NAME: &str = "endpoint-controller";

/// Runs the controller.
pub fn start(context: Context) -> Life {
    Box::pin(async move {
        let queue = Arc::new(Queue::default());
        let services = context.informers.of::<Service>();
        let pods = context.informers.of::<Pod>();
        let nodes = context.informers.of::<Node>();
        let endpoints = context.informers.of::<Endpoints>();
        feed(&services, &queue);
        feed_by_pods(&pods, &services, &queue);
        feed(&endpoints, &queue);
        services.synced().await;
        pods.synced().await;
        nodes.synced().await;
        endpoints.synced().await;
        let look = |key: ObjectKey| {
            let (context, pods, nodes, endpoints) = (&context, &pods, &nodes, &endpoints);
            let service = services.get(&key);
            async move {
                match service {
                    Some(service) if selector(&service).is_some() => {
                        let family = service.spec.as_ref().and_then(|s| s.ip_families.as_ref()?.first().cloned());
                        let family = family.unwrap_or_else(|| "IPv4".to_owned());
                        let found = backends(&service, &pods.in_namespace(&key.namespace), nodes, &family);
                        sync(context, endpoints, &service, found).await
                    }
                    Some(_) => Ok(After::Done),
                    None => remove(context, endpoints, &key).await,
                }
            }
        };
        context.work("endpoint", &queue, look).await;
    })
}

/// The Service is gone: what was written for it, or in its name, goes too.
async fn remove(context: &Context, endpoints: &Store<Endpoints>, key: &ObjectKey) -> Result<After, Status> {
    if let Some(there) = endpoints.get(key).filter(|e| e.label(MANAGED_BY) == Some(NAME)) {
        let options = DeleteOptions::only(there.uid());
        context.client.of::<Endpoints>().delete_if_there(&key.namespace, &key.name, &options).await?;
    }
    Ok(After::Done)
}

/// Backends grouped by their ports.
#[must_use]
pub fn subsets(found: &[Backend], with_unready: bool) -> Vec<EndpointSubset> {
    let mut groups: BTreeMap<Vec<Port>, (Vec<EndpointAddress>, Vec<EndpointAddress>)> = BTreeMap::new();
    for backend in found.iter().filter(|b| !b.terminating || with_unready).take(ADDRESSES_MAX) {
        let address = EndpointAddress {
            ip: backend.address.clone(),
            hostname: backend.hostname.clone(),
            node_name: backend.node.clone(),
            target_ref: Some(backend.target.clone()),
        };
        let (ready, unready) = groups.entry(backend.ports.clone()).or_default();
        if backend.ready { ready.push(address) } else { unready.push(address) }
    }
    let port = |p: Port| EndpointPort {
        name: Some(p.name).filter(|n| !n.is_empty()),
        port: p.port,
        protocol: Some(p.protocol),
        app_protocol: p.app_protocol,
    };
    let some = |list: Vec<EndpointAddress>| Some(list).filter(|l| !l.is_empty());
    let subset = |(ports, (ready, unready)): (Vec<Port>, (Vec<_>, Vec<_>))| EndpointSubset {
        addresses: some(ready),
        not_ready_addresses: some(unready),
        ports: Some(ports.into_iter().map(port).collect::<Vec<_>>()).filter(|p| !p.is_empty()),
    };
    groups.into_iter().map(subset).collect()
}

async fn sync(
    context: &Context,
    endpoints: &Store<Endpoints>,
    service: &Service,
    found: Vec<Backend>,
) -> Result<After, Status> {
    if service.is_deleting() {
        return Ok(After::Done);
    }
    let all = service.spec.as_ref().and_then(|s| s.publish_not_ready_addresses) == Some(true);
    let subsets = Some(subsets(&found, all)).filter(|s| !s.is_empty());
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.insert(MANAGED_BY.to_owned(), NAME.to_owned());
    labels.remove(HEADLESS);
    if is_headless(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    let (namespace, name) = (service.namespace(), service.name());
    let api = context.client.of::<Endpoints>();
    let there = endpoints.find(namespace, name);
    let mut wanted = there.as_deref().cloned().unwrap_or_else(|| Endpoints {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        subsets: None,
    });
    wanted.subsets = subsets;
    wanted.metadata.labels = Some(labels);
    let mut annotations = wanted.metadata.annotations.take().unwrap_or_default();
    annotations.remove(OVER_CAPACITY);
    if found.len() > ADDRESSES_MAX {
        annotations.insert(OVER_CAPACITY.to_owned(), "truncated".to_owned());
    }
    wanted.metadata.annotations = Some(annotations).filter(|a| !a.is_empty());
    let written = match there {
        Some(there) if *there == wanted => return Ok(After::Done),
        Some(_) => api.update(namespace, name, &wanted).await?,
        None => match api.create(namespace, &wanted).await {
            Err(status) if crate::serviceaccount::refuses(&status) => return Ok(After::Done),
            other => other?,
        },
    };
    endpoints.reached(written.revision()).await;
    Ok(After::Done)
}
