//! `kube-system/kube-dns`: the Service and the EndpointSlice by which others find the DNS, kept as they must be.
//!
//! Pure core: [`plan`]. It must not know how names are answered.

use client::backoff::Backoff;
use client::{Client, DeleteOptions, Informers, Meta, Patch, Selection};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Where it is.
pub const NAMESPACE: &str = "kube-system";
/// What it is called, everywhere.
pub const NAME: &str = "kube-dns";
/// Upstream's label for Services that the machine's usual proxy must leave alone.
pub const PROXY_LABEL: &str = "service.kubernetes.io/service-proxy-name";
/// Who serves it instead: the machine itself, which has the address.
pub const PROXY: &str = "skerry-local-address";
/// Waits between failed attempts.
pub const RETRY: Backoff = Backoff { first: Duration::from_millis(100), cap: Duration::from_secs(30) };

/// One thing to do.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// Create the Service.
    CreateService(Value),
    /// Put the Service right.
    PatchService(Value),
    /// Delete a Service of this name that has another address (its uid): addresses cannot change.
    DeleteService(String),
    /// Create a slice.
    CreateSlice(Value),
    /// Put the slice of this name right.
    PatchSlice(String, Value),
    /// Delete a slice with another kind of addresses (its name and uid).
    DeleteSlice(String, String),
}

impl Action {
    /// For the log.
    fn name(&self) -> &'static str {
        match self {
            Action::CreateService(_) => "create the Service",
            Action::PatchService(_) => "patch the Service",
            Action::DeleteService(_) => "delete the Service",
            Action::CreateSlice(_) => "create the slice",
            Action::PatchSlice(..) => "patch the slice",
            Action::DeleteSlice(..) => "delete the slice",
        }
    }
}

fn ports(with_target: bool) -> Value {
    let port = |name: &str, protocol: &str| {
        let mut port = json!({"name": name, "port": 53, "protocol": protocol});
        if with_target {
            port["targetPort"] = json!(53);
        }
        port
    };
    json!([port("dns", "UDP"), port("dns-tcp", "TCP")])
}

fn service(addresses: &[IpAddr]) -> Value {
    let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let families: Vec<&str> = addresses.iter().map(|a| family(*a)).collect();
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": NAME,
            "namespace": NAMESPACE,
            // Those of kubeadm: `kubectl cluster-info` and others select by them.
            "labels": {
                "k8s-app": "kube-dns",
                "kubernetes.io/cluster-service": "true",
                "kubernetes.io/name": "CoreDNS",
                PROXY_LABEL: PROXY
            }
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": texts.first(),
            "clusterIPs": texts,
            "ipFamilies": families,
            "ipFamilyPolicy": if addresses.len() > 1 { "PreferDualStack" } else { "SingleStack" },
            "ports": ports(true)
        }
    })
}

fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

fn slice_name(address: IpAddr) -> String {
    format!("{NAME}-{}", family(address).to_lowercase())
}

fn slice(address: IpAddr) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": slice_name(address),
            "namespace": NAMESPACE,
            "labels": {
                super::feed::SERVICE_NAME: NAME,
                "endpointslice.kubernetes.io/managed-by": "dns.skerry.io",
                PROXY_LABEL: PROXY
            }
        },
        "addressType": family(address),
        "endpoints": [{
            "addresses": [address.to_string()],
            "conditions": {"ready": true, "serving": true, "terminating": false}
        }],
        "ports": ports(false)
    })
}

/// Whether `there` has everything that `wanted` says; lists must be as long, but their items may have more.
fn holds(there: &Value, wanted: &Value) -> bool {
    match (there, wanted) {
        (Value::Object(there), Value::Object(wanted)) => {
            wanted.iter().all(|(field, value)| there.get(field).is_some_and(|t| holds(t, value)))
        }
        (Value::Array(there), Value::Array(wanted)) => {
            there.len() == wanted.len() && there.iter().zip(wanted).all(|(t, w)| holds(t, w))
        }
        _ => there == wanted,
    }
}

/// What to do so that Service and slices are as they must be.
#[must_use]
pub fn plan(service_there: Option<&Service>, slices_there: &[Arc<EndpointSlice>], addresses: &[IpAddr]) -> Vec<Action> {
    let mut actions = Vec::new();
    let wanted = service(addresses);
    match service_there {
        None => actions.push(Action::CreateService(wanted)),
        // Its deletion tells us when it is gone.
        Some(there) if there.is_deleting() => {}
        Some(there) => {
            let now = json!(there);
            let same_place = now["spec"]["clusterIP"] == wanted["spec"]["clusterIP"];
            let has_selector = there.spec.as_ref().is_some_and(|s| s.selector.as_ref().is_some_and(|s| !s.is_empty()));
            if !same_place {
                actions.push(Action::DeleteService(there.uid().to_owned()));
            } else if !holds(&now, &wanted) || has_selector {
                let mut spec = wanted["spec"].clone();
                spec["selector"] = Value::Null;
                actions.push(Action::PatchService(
                    json!({"metadata": {"labels": wanted["metadata"]["labels"]}, "spec": spec}),
                ));
            }
        }
    }
    for address in addresses {
        let wanted = slice(*address);
        match slices_there.iter().find(|s| s.name() == slice_name(*address)) {
            None => actions.push(Action::CreateSlice(wanted)),
            Some(there) if there.is_deleting() => {}
            Some(there) if there.address_type != family(*address) => {
                actions.push(Action::DeleteSlice(there.name().to_owned(), there.uid().to_owned()));
            }
            Some(there) if !holds(&json!(**there), &wanted) => {
                let patch = json!({"metadata": {"labels": wanted["metadata"]["labels"]},
                    "endpoints": wanted["endpoints"], "ports": wanted["ports"]});
                actions.push(Action::PatchSlice(there.name().to_owned(), patch));
            }
            Some(_) => {}
        }
    }
    actions
}

/// Keeps both until told to stop.
pub async fn keep(client: Client, addresses: Vec<IpAddr>, stop: CancellationToken) {
    let informers = Informers::new(client.clone(), stop.clone());
    let ours = format!("metadata.name={NAME},metadata.namespace={NAMESPACE}");
    let services = informers.selected::<Service>(Selection { labels: String::new(), fields: ours });
    let labels = format!("{}={NAME}", super::feed::SERVICE_NAME);
    let slices = informers.selected::<EndpointSlice>(Selection { labels, fields: String::new() });
    let wake = Arc::new(Notify::new());
    let (woken_by_service, woken_by_slice) = (wake.clone(), wake.clone());
    services.on_change(move |_| woken_by_service.notify_one());
    slices.on_change(move |_| woken_by_slice.notify_one());
    let known = async {
        services.synced().await;
        slices.synced().await;
    };
    tokio::select! {
        () = stop.cancelled() => return,
        () = known => (),
    }
    let mut failures = 0;
    loop {
        let there = services.find(NAMESPACE, NAME);
        let mut failed = false;
        for action in plan(there.as_deref(), &slices.in_namespace(NAMESPACE), &addresses) {
            if let Err(status) = act(&client, &action).await {
                failed = true;
                tracing::warn!(%status, action = action.name(), "the Service of the DNS could not be put right");
            }
        }
        failures = if failed { failures + 1 } else { 0 };
        tokio::select! {
            () = stop.cancelled() => return,
            () = wake.notified() => (),
            () = tokio::time::sleep(RETRY.after(failures)), if failed => (),
        }
    }
}

async fn act(client: &Client, action: &Action) -> Result<(), api::Status> {
    let services = client.of::<Service>();
    let slices = client.of::<EndpointSlice>();
    let done = match action {
        Action::CreateService(object) => services.create(NAMESPACE, object).await.map(drop),
        Action::PatchService(change) => {
            services.patch(NAMESPACE, NAME, "", &Patch::Merge(change.clone())).await.map(drop)
        }
        Action::DeleteService(uid) => services.delete_if_there(NAMESPACE, NAME, &DeleteOptions::only(uid)).await,
        Action::CreateSlice(object) => slices.create(NAMESPACE, object).await.map(drop),
        Action::PatchSlice(name, change) => {
            slices.patch(NAMESPACE, name, "", &Patch::Merge(change.clone())).await.map(drop)
        }
        Action::DeleteSlice(name, uid) => slices.delete_if_there(NAMESPACE, name, &DeleteOptions::only(uid)).await,
    };
    match done {
        // Another node of the cluster was quicker; the event shows what it made.
        Err(status) if status.is_already_exists() => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests;
