//! Discovery: which groups, versions and resources are served, in the plain and in the aggregated form.

use crate::catalog::{Catalog, Resource};
use crate::negotiate::ranges;
use crate::reply::{self, Body};
use crate::server::Server;
use api::{Status, Tree, tree};

/// Answers `/api`, `/apis` and what is below them, if the path is one of these.
#[must_use]
pub fn answer(
    server: &Server,
    method: &http::Method,
    path: &str,
    accept: Option<&str>,
) -> Option<Result<http::Response<Body>, Status>> {
    let catalog = server.catalog.load();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let found = match parts.as_slice() {
        ["api"] => roots(accept, || aggregated(&catalog, true), || versions(server)),
        ["apis"] => roots(accept, || aggregated(&catalog, false), || group_list(&catalog)),
        ["api", version] => resource_list(&catalog, "", version),
        ["apis", group] => one_group(&catalog, group),
        ["apis", group, version] => resource_list(&catalog, group, version),
        _ => return None,
    };
    // Upstream answers for groups whatever the method is; what is not there is not there for any.
    let read =
        matches!(*method, http::Method::GET | http::Method::HEAD) || matches!(parts.as_slice(), ["apis"] | ["apis", _]);
    Some(found.and_then(|response| if read { Ok(response) } else { Err(crate::verbs::refuse()) }))
}

/// Whether a path is below one that leads to resources: what is unknown there is answered with a Status, everywhere
/// else with plain text, as upstream's routers do.
#[must_use]
pub fn knows_root(server: &Server, path: &str) -> bool {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["api" | "version", ..] => true,
        ["apis", group, ..] => !group.is_empty() && !server.catalog.load().versions(group).is_empty(),
        _ => false,
    }
}

/// The media type of the aggregated form, which clients find it by.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

fn roots(
    accept: Option<&str>,
    aggregated: impl FnOnce() -> Tree,
    plain: impl FnOnce() -> Tree,
) -> Result<http::Response<Body>, Status> {
    for range in ranges(accept) {
        let json = matches!(range.media_type, "application/json" | "application/*" | "*/*");
        match (range.parameter("as"), range.parameter("g"), range.parameter("v")) {
            (Some("APIGroupDiscoveryList"), Some("apidiscovery.k8s.io"), Some("v2")) if json => {
                return Ok(reply::with_type(200, AGGREGATED, reply::full(aggregated().to_json())));
            }
            (None, ..) if json || range.media_type == "application/vnd.kubernetes.protobuf" => {
                return Ok(reply::object(200, &plain()));
            }
            _ => {}
        }
    }
    Err(Status::not_acceptable(&["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"]))
}

fn versions(server: &Server) -> Tree {
    let address = format!("{}:{}", server.config.advertise, server.config.port);
    tree!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    })
}

fn group(catalog: &Catalog, name: &str) -> Tree {
    let version =
        |version: &String| tree!({"groupVersion": (format!("{name}/{version}")), "version": (version.as_str())});
    let versions: Vec<Tree> = catalog.versions(name).iter().map(version).collect();
    let preferred = versions.first().cloned().unwrap_or_default();
    tree!({"name": name, "versions": versions, "preferredVersion": preferred})
}

fn group_list(catalog: &Catalog) -> Tree {
    let groups: Vec<Tree> = named_groups(catalog).iter().map(|name| group(catalog, name)).collect();
    tree!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// The groups with a name, in upstream's order where it has one, then by name.
fn named_groups(catalog: &Catalog) -> Vec<String> {
    let mut groups: Vec<String> = catalog.groups().into_iter().filter(|g| !g.is_empty()).collect();
    let rank = |group: &String| FIRST.iter().position(|g| g == group).unwrap_or(FIRST.len());
    groups.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.cmp(b)));
    groups
}

/// Groups that come first: what `kubectl` prefers when a short name is in several.
const FIRST: &[&str] = &[
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "resource.k8s.io",
    "flowcontrol.apiserver.k8s.io",
];

fn one_group(catalog: &Catalog, name: &str) -> Result<http::Response<Body>, Status> {
    if catalog.versions(name).is_empty() || name.is_empty() {
        return Err(Status::no_such_path());
    }
    let mut found = group(catalog, name);
    found.set("kind", "APIGroup");
    found.set("apiVersion", "v1");
    Ok(reply::object(200, &found))
}

fn of_version<'a>(catalog: &'a Catalog, group: &'a str, version: &'a str) -> impl Iterator<Item = &'a Resource> {
    catalog.iter().map(AsRef::as_ref).filter(move |r| r.group == group && r.version == version)
}

fn resource_list(catalog: &Catalog, group: &str, version: &str) -> Result<http::Response<Body>, Status> {
    let mut resources: Vec<Tree> = Vec::new();
    for resource in of_version(catalog, group, version) {
        resources.push(plain(resource));
        resources.extend(resource.subresources.iter().map(|sub| plain_sub(resource, sub)));
    }
    if resources.is_empty() {
        return Err(Status::no_such_path());
    }
    let mut list = tree!({
        "kind": "APIResourceList",
        "groupVersion": (api::meta::join_api_version(group, version)),
        "resources": resources
    });
    if !group.is_empty() {
        list.set("apiVersion", "v1");
    }
    Ok(reply::object(200, &list))
}

fn plain(resource: &Resource) -> Tree {
    let mut entry = tree!({
        "name": (resource.plural.as_str()),
        "singularName": (resource.singular.as_str()),
        "namespaced": (resource.namespaced),
        "kind": (resource.kind.as_str()),
        "verbs": (resource.verbs.clone())
    });
    if !resource.short_names.is_empty() {
        entry.set("shortNames", resource.short_names.clone());
    }
    if !resource.categories.is_empty() {
        entry.set("categories", resource.categories.clone());
    }
    if let Some((group, version)) = &resource.stored_as {
        entry.set("storageVersionHash", storage_hash(group, version, &resource.kind));
    }
    entry
}

/// Tells clients when the stored form changes, as upstream's `discovery.StorageVersionHash` does.
fn storage_hash(group: &str, version: &str, kind: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, format!("{group}/{version}/{kind}").as_bytes());
    base64::Engine::encode(&base64::prelude::BASE64_STANDARD, &digest.as_ref()[..8])
}

fn plain_sub(resource: &Resource, sub: &resources::SubResource) -> Tree {
    let mut entry = tree!({
        "name": (format!("{}/{}", resource.plural, sub.name)),
        "singularName": "",
        "namespaced": (resource.namespaced),
        "kind": (sub.kind.as_str()),
        "verbs": (sub.verbs.clone())
    });
    if sub.group != resource.group || sub.version != resource.version {
        entry.set("group", sub.group.as_str());
        entry.set("version", sub.version.as_str());
    }
    entry
}

fn aggregated(catalog: &Catalog, core: bool) -> Tree {
    let names = if core { vec![String::new()] } else { named_groups(catalog) };
    let group = |name: &String| {
        let version = |version: &String| {
            let resources: Vec<Tree> = of_version(catalog, name, version).map(aggregated_resource).collect();
            tree!({"version": (version.as_str()), "resources": resources, "freshness": "Current"})
        };
        let versions: Vec<Tree> = catalog.versions(name).iter().map(version).collect();
        let mut metadata = Tree::map();
        if !name.is_empty() {
            metadata.set("name", name.as_str());
        }
        tree!({"metadata": metadata, "versions": versions})
    };
    let items: Vec<Tree> = names.iter().map(group).collect();
    tree!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn aggregated_resource(resource: &Resource) -> Tree {
    // Group and version are told only where they differ from the endpoint's.
    let kind = |group: &str, version: &str, kind: &str| {
        let own = group == resource.group && version == resource.version;
        let (group, version) = if own { ("", "") } else { (group, version) };
        tree!({"group": group, "version": version, "kind": kind})
    };
    let mut entry = tree!({
        "resource": (resource.plural.as_str()),
        "responseKind": (kind(&resource.group, &resource.version, &resource.kind)),
        "scope": (if resource.namespaced { "Namespaced" } else { "Cluster" }),
        "singularResource": (resource.singular.as_str()),
        "verbs": (resource.verbs.clone())
    });
    if !resource.short_names.is_empty() {
        entry.set("shortNames", resource.short_names.clone());
    }
    if !resource.categories.is_empty() {
        entry.set("categories", resource.categories.clone());
    }
    let sub = |sub: &resources::SubResource| {
        tree!({
            "subresource": (sub.name.as_str()),
            "responseKind": (kind(&sub.group, &sub.version, &sub.kind)),
            "verbs": (sub.verbs.clone())
        })
    };
    if !resource.subresources.is_empty() {
        entry.set("subresources", Tree::List(resource.subresources.iter().map(sub).collect()));
    }
    entry
}
