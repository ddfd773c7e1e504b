//! Packing endpoints into EndpointSlices: what to create, change and delete so that the slices hold exactly the wanted
//! endpoints and as few of them as possible change.
//!
//! It must not know where the endpoints come from.

use crate::backends::Port;
use api::Status;
use client::{Client, DeleteOptions, Meta, Store};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Endpoints of one slice, upstream's default.
pub const ENDPOINTS_MAX: usize = 100;
/// The label that names the Service.
pub const SERVICE: &str = "kubernetes.io/service-name";
/// The label that names who writes the slice.
pub const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";

/// Endpoints that may share a slice: one family, one set of ports.
pub type Groups = BTreeMap<GroupKey, Vec<Endpoint>>;

/// Family and ports.
pub type GroupKey = (String, Vec<Port>);

/// What to write.
#[derive(Debug, Default)]
pub struct Steps {
    /// New slices.
    pub create: Vec<EndpointSlice>,
    /// Slices with another content.
    pub update: Vec<EndpointSlice>,
    /// Slices that hold nothing any more.
    pub delete: Vec<Arc<EndpointSlice>>,
}

fn same_backend(a: &Endpoint, b: &Endpoint) -> bool {
    a.addresses == b.addresses && a.target_ref.as_ref().map(|t| &t.uid) == b.target_ref.as_ref().map(|t| &t.uid)
}

fn ports_of(slice: &EndpointSlice) -> Vec<Port> {
    let all = slice.ports.iter().flatten();
    let mut ports: Vec<Port> = all
        .map(|p| Port {
            name: p.name.clone().unwrap_or_default(),
            port: p.port.unwrap_or(0),
            protocol: p.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
            app_protocol: p.app_protocol.clone(),
        })
        .collect();
    ports.sort();
    ports
}

fn written(ports: &[Port]) -> Vec<EndpointPort> {
    let one = |p: &Port| EndpointPort {
        name: Some(p.name.clone()),
        port: Some(p.port),
        protocol: Some(p.protocol.clone()),
        app_protocol: p.app_protocol.clone(),
    };
    ports.iter().map(one).collect()
}

/// Compares slices with the wanted groups. `frame` is the metadata of every slice: labels, owner, name's beginning.
#[must_use]
pub fn plan(there: Vec<Arc<EndpointSlice>>, mut wanted: Groups, frame: &ObjectMeta) -> Steps {
    let mut steps = Steps::default();
    for slice in there {
        let key = (slice.address_type.clone(), ports_of(&slice));
        let Some(group) = wanted.get_mut(&key) else {
            steps.delete.push(slice);
            continue;
        };
        // Endpoints stay in the slice where they are, so that a change touches few slices.
        let mut kept = Vec::new();
        for old in slice.endpoints.iter().flatten() {
            if let Some(at) = group.iter().position(|new| same_backend(old, new)) {
                kept.push(group.remove(at));
            }
        }
        let mut changed = (*slice).clone();
        changed.endpoints = Some(kept);
        changed.metadata.labels = frame.labels.clone();
        changed.metadata.annotations = frame.annotations.clone();
        changed.metadata.owner_references = frame.owner_references.clone();
        steps.update.push(changed);
    }
    let mut open: Vec<(GroupKey, Vec<Endpoint>)> = wanted.into_iter().collect();
    for slice in &mut steps.update {
        let key = (slice.address_type.clone(), ports_of(slice));
        let Some((_, rest)) = open.iter_mut().find(|(group, _)| *group == key) else { continue };
        let held = slice.endpoints.get_or_insert_default();
        let room = ENDPOINTS_MAX.saturating_sub(held.len()).min(rest.len());
        held.extend(rest.drain(..room));
    }
    for (key, rest) in open {
        let placeholder =
            rest.is_empty() && !steps.update.iter().any(|s| s.address_type == key.0 && ports_of(s) == key.1);
        let chunks: Vec<Vec<Endpoint>> =
            if placeholder { vec![Vec::new()] } else { rest.chunks(ENDPOINTS_MAX).map(<[Endpoint]>::to_vec).collect() };
        for endpoints in chunks {
            steps.create.push(EndpointSlice {
                metadata: frame.clone(),
                address_type: key.0.clone(),
                endpoints: Some(endpoints),
                ports: Some(written(&key.1)).filter(|p| !p.is_empty()),
            });
        }
    }
    steps
}

fn is_empty(slice: &EndpointSlice) -> bool {
    slice.endpoints.as_ref().is_none_or(Vec::is_empty)
}

/// Whether two slices say the same. The server keeps an empty list as none.
fn same(a: &EndpointSlice, b: &EndpointSlice) -> bool {
    let bare = |slice: &EndpointSlice| EndpointSlice { endpoints: None, ..slice.clone() };
    a == b || (is_empty(a) && is_empty(b) && bare(a) == bare(b))
}

/// Leaves out updates that change nothing, and turns slices that became empty beside others into deletions.
fn thin(mut steps: Steps, there: &Store<EndpointSlice>) -> Steps {
    let full = steps.update.iter().chain(&steps.create).any(|s| !is_empty(s));
    let mut kept_one = steps.create.iter().any(is_empty);
    let mut update = Vec::new();
    for slice in std::mem::take(&mut steps.update) {
        let Some(old) = there.get(&slice.key()) else { continue };
        if is_empty(&slice) && (full || std::mem::replace(&mut kept_one, true)) {
            steps.delete.push(old);
        } else if !same(&old, &slice) {
            update.push(slice);
        }
    }
    steps.update = update;
    steps
}

/// Writes what the plan says and waits until the cache knows.
///
/// # Errors
/// The server's `Status`.
pub async fn carry_out(
    client: &Client,
    there: &Store<EndpointSlice>,
    namespace: &str,
    steps: Steps,
) -> Result<(), Status> {
    let api = client.of::<EndpointSlice>();
    let steps = thin(steps, there);
    let mut newest = 0;
    for slice in &steps.create {
        match api.create(namespace, slice).await {
            Ok(made) => newest = newest.max(made.revision()),
            Err(status) if crate::serviceaccount::refuses(&status) => return Ok(()),
            Err(status) => return Err(status),
        }
    }
    for slice in &steps.update {
        newest = newest.max(api.update(namespace, slice.name(), slice).await?.revision());
    }
    for slice in &steps.delete {
        api.delete_if_there(namespace, slice.name(), &DeleteOptions::only(slice.uid())).await?;
        there.going(&slice.key(), slice.uid()).await;
    }
    there.reached(newest).await;
    Ok(())
}

/// The slices of a Service that one controller wrote.
#[must_use]
pub fn of_service(there: &Store<EndpointSlice>, namespace: &str, service: &str, by: &str) -> Vec<Arc<EndpointSlice>> {
    let mut slices = there.in_namespace(namespace);
    slices.retain(|s| s.label(SERVICE) == Some(service) && s.label(MANAGED_BY) == Some(by) && !s.is_deleting());
    slices
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(address: String) -> Endpoint {
        Endpoint { addresses: vec![address], ..Endpoint::default() }
    }

    fn size(slice: &EndpointSlice) -> usize {
        slice.endpoints.as_ref().map_or(0, Vec::len)
    }

    fn group(count: usize) -> Groups {
        let ports = vec![Port { name: String::new(), port: 80, protocol: "TCP".to_owned(), app_protocol: None }];
        let endpoints = (0..count).map(|n| endpoint(format!("10.0.{}.{}", n / 250, n % 250))).collect();
        Groups::from([(("IPv4".to_owned(), ports), endpoints)])
    }

    #[test]
    fn endpoints_fill_slices_and_stay_where_they_are() {
        let steps = plan(Vec::new(), group(150), &ObjectMeta::default());
        let sizes: Vec<usize> = steps.create.iter().map(size).collect();
        assert_eq!(sizes, [100, 50]);
        let there: Vec<Arc<EndpointSlice>> = steps.create.into_iter().map(Arc::new).collect();
        let next = plan(there.clone(), group(151), &ObjectMeta::default());
        assert!(next.create.is_empty());
        assert_eq!(next.update[0].endpoints, there[0].endpoints);
        assert_eq!(size(&next.update[1]), 51);
    }

    #[test]
    fn a_service_without_pods_has_one_empty_slice() {
        let steps = plan(Vec::new(), group(0), &ObjectMeta::default());
        assert_eq!((steps.create.len(), size(&steps.create[0])), (1, 0));
    }

    #[test]
    fn an_empty_slice_as_the_server_keeps_it_is_not_written_again() {
        let made = plan(Vec::new(), group(0), &ObjectMeta::default()).create.remove(0);
        let kept: EndpointSlice =
            serde_json::from_value(serde_json::json!({"addressType": "IPv4", "endpoints": null, "ports": made.ports}))
                .unwrap();
        let next = plan(vec![Arc::new(kept.clone())], group(0), &ObjectMeta::default()).update.remove(0);
        assert!(same(&kept, &next));
        let filled = plan(vec![Arc::new(kept.clone())], group(1), &ObjectMeta::default()).update.remove(0);
        assert!(!same(&kept, &filled));
    }
}
