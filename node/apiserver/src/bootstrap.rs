//! What a cluster is born with: namespaces, roles, priority classes, flow schemas, the `kubernetes` Service. Made when
//! the server starts, and made again when somebody deleted it.

use crate::authz;
use crate::caller::{Caller, MASTERS};
use crate::chain::answer_as;
use crate::reply::full;
use crate::server::Server;
use api::{Status, Tree, meta, tree};
use client::Boxed;
use futures_util::{StreamExt, TryStreamExt, stream};
use http_body_util::BodyExt;
use std::sync::Arc;

/// What the server itself calls with.
pub const USER: &str = "system:apiserver";

/// Group and version, plural, namespace or none, and the object.
struct Wanted {
    api_version: &'static str,
    plural: String,
    object: Tree,
    /// Whether an object that is there already is brought to this state.
    update: bool,
}

/// Brings everything into being that is missing.
///
/// # Errors
/// The first object that could not be made, with what the server said.
pub fn run(server: &Arc<Server>) -> Boxed<'_, Result<(), Status>> {
    Box::pin(create(server))
}

async fn create(server: &Arc<Server>) -> Result<(), Status> {
    // What lies in a namespace needs it first.
    at_once(server, namespaces()).await?;
    at_once(server, wanted(server)).await
}

/// Objects made at the same time: their writes share the waits for the disk, which are most of a first start. Enough for
/// all of them to share two or three, few enough to be held in memory.
const AT_ONCE: usize = 64;

async fn at_once(server: &Arc<Server>, all: Vec<Wanted>) -> Result<(), Status> {
    let each = all.into_iter().map(|wanted| async move { ensure(server, &wanted).await });
    stream::iter(each).buffer_unordered(AT_ONCE).try_collect().await
}

fn namespaces() -> Vec<Wanted> {
    let names = ["kube-system", "kube-public", "kube-node-lease", "default"];
    names.map(|name| plain("v1", "namespaces", tree!({"metadata": {"name": name}}))).into()
}

fn wanted(server: &Server) -> Vec<Wanted> {
    let mut all = Vec::new();
    for object in authz::bootstrap::objects() {
        let plural = format!("{}s", meta::kind(&object).to_lowercase());
        all.push(Wanted { api_version: "rbac.authorization.k8s.io/v1", plural, object, update: false });
    }
    for (name, value) in [("system-cluster-critical", 2_000_000_000i64), ("system-node-critical", 2_000_001_000)] {
        let object = tree!({
            "metadata": {"name": name},
            "value": value,
            "description": "Used for system critical pods."
        });
        all.push(plain("scheduling.k8s.io/v1", "priorityclasses", object));
    }
    all.extend(kubernetes_service(server));
    all.push(Wanted {
        api_version: "v1",
        plural: "configmaps".to_owned(),
        object: tree!({
            "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
            "data": {"client-ca-file": (server.config.ca_pem.as_str())}
        }),
        update: true,
    });
    all.push(plain(
        "networking.k8s.io/v1",
        "servicecidrs",
        tree!({
            "metadata": {"name": "kubernetes"},
            "spec": {"cidrs": [(server.config.service_cidr.as_str())]}
        }),
    ));
    all
}

fn plain(api_version: &'static str, plural: &str, object: Tree) -> Wanted {
    Wanted { api_version, plural: plural.to_owned(), object, update: false }
}

/// The Service by which pods find the API, and where it leads to.
fn kubernetes_service(server: &Server) -> Vec<Wanted> {
    let config = &server.config;
    let first = config.service_cidr.split('/').next().and_then(|ip| ip.parse::<std::net::Ipv4Addr>().ok());
    let address = first.map(|ip| std::net::Ipv4Addr::from(u32::from(ip) + 1).to_string()).unwrap_or_default();
    let labels = tree!({"component": "apiserver", "provider": "kubernetes"});
    let target = config.advertise.to_string();
    let port = i64::from(config.port);
    let service = tree!({
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": labels},
        "spec": {
            "clusterIP": address,
            "type": "ClusterIP",
            "sessionAffinity": "None",
            "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": port}]
        }
    });
    let endpoints = tree!({
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": [{"addresses": [{"ip": (target.as_str())}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}]
    });
    let slice = tree!({
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": (if config.advertise.is_ipv4() { "IPv4" } else { "IPv6" }),
        "endpoints": [{"addresses": [target], "conditions": {"ready": true}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}]
    });
    vec![
        plain("v1", "services", service),
        Wanted { api_version: "v1", plural: "endpoints".to_owned(), object: endpoints, update: true },
        Wanted { api_version: "discovery.k8s.io/v1", plural: "endpointslices".to_owned(), object: slice, update: true },
    ]
}

/// Makes what is missing and brings what is to be updated to its state. What is there is looked up in the store: as 150
/// requests through the chain it was a part of every start that users wait for.
async fn ensure(server: &Arc<Server>, wanted: &Wanted) -> Result<(), Status> {
    let (namespace, name) = (meta::namespace(&wanted.object), meta::name(&wanted.object));
    let (group, version) = meta::split_api_version(wanted.api_version);
    let resource = server.resource(group, version, &wanted.plural)?;
    if !wanted.update && server.store.get(&resource.key(namespace, name)).is_some() {
        return Ok(());
    }
    let root = if wanted.api_version.contains('/') { "/apis" } else { "/api" };
    let within = if namespace.is_empty() { String::new() } else { format!("/namespaces/{namespace}") };
    let collection = format!("{root}/{}{within}/{}", wanted.api_version, wanted.plural);
    match server.object(&resource, namespace, name)? {
        None => call(server, "POST", &collection, &wanted.object).await,
        Some(found) => {
            let mut merged = found.clone();
            for (field, value) in wanted.object.as_map().into_iter().flatten().filter(|(f, _)| f.as_str() != "metadata")
            {
                merged.set(field, value.clone());
            }
            let path = format!("{collection}/{name}");
            if merged == found { Ok(()) } else { call(server, "PUT", &path, &merged).await }
        }
    }
}

/// One request as the server itself, through the whole chain. What is answered is read only when it is an error.
async fn call(server: &Arc<Server>, method: &str, path: &str, body: &Tree) -> Result<(), Status> {
    let mut request = http::Request::new(full(body.to_json()));
    *request.method_mut() = method.parse().map_err(Status::internal)?;
    *request.uri_mut() = path.parse().map_err(Status::internal)?;
    let caller = Caller::component(USER, &[MASTERS]);
    let response = answer_as(server, caller, request).await;
    if response.status().as_u16() < 400 {
        return Ok(());
    }
    let bytes = response.into_body().collect().await.map_err(Status::internal)?.to_bytes();
    Err(Status::from_tree(&Tree::from_json(&bytes).map_err(Status::internal)?.tree))
}
