//! What the server serves, by aggregated discovery: every resource with its verbs, in each group's preferred version.
//!
//! It must not know any kind.

use crate::client::{Client, JSON};
use crate::resource::ResourceRef;
use api::Status;
use serde::Deserialize;

/// One served resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// Its names.
    pub resource: ResourceRef,
    /// What can be done with it.
    pub verbs: Vec<String>,
}

impl Served {
    /// Whether it has all of these verbs.
    #[must_use]
    pub fn can(&self, verbs: &[&str]) -> bool {
        verbs.iter().all(|verb| self.verbs.iter().any(|v| v == verb))
    }
}

/// What is served, and what could not be found out.
#[derive(Debug, Default)]
pub struct Discovered {
    /// The resources, without subresources.
    pub resources: Vec<Served>,
    /// Group versions that did not answer, with the reason; an aggregated API may be down.
    pub failed: Vec<(String, Status)>,
}

impl Discovered {
    fn add(&mut self, served: Served) {
        let same = |known: &Served| {
            known.resource.group == served.resource.group && known.resource.plural == served.resource.plural
        };
        if !self.resources.iter().any(same) {
            self.resources.push(served);
        }
    }
}

/// The aggregated form (`apidiscovery.k8s.io/v2`): all groups, or the core, in one answer.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
/// How a version says that what it lists was not asked for lately, because who serves it does not answer.
const STALE: &str = "Stale";

#[derive(Deserialize)]
struct Groups {
    #[serde(default)]
    items: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    metadata: Named,
    #[serde(default)]
    versions: Vec<Version>,
}

#[derive(Default, Deserialize)]
struct Named {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Version {
    version: String,
    #[serde(default)]
    freshness: String,
    #[serde(default)]
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    resource: String,
    response_kind: Kind,
    scope: String,
    #[serde(default)]
    verbs: Vec<String>,
}

#[derive(Deserialize)]
struct Kind {
    kind: String,
}

#[derive(Deserialize)]
struct Resources {
    #[serde(default)]
    resources: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    kind: String,
    #[serde(default)]
    namespaced: bool,
}

/// Asks what is served: two requests, however many groups there are. A resource that several versions of a group serve
/// appears once, in the preferred version if that serves it.
///
/// # Errors
/// When one of the two is not answered; single versions that are out of date are in the result.
pub async fn discover(client: &Client) -> Result<Discovered, Status> {
    let mut found = Discovered::default();
    for root in ["/api", "/apis"] {
        let groups: Groups = client.get_path(root, AGGREGATED).await?;
        groups.items.into_iter().for_each(|group| add(group, &mut found));
    }
    Ok(found)
}

/// The preferred version comes first.
fn add(group: Group, found: &mut Discovered) {
    let name = group.metadata.name;
    for Version { version, freshness, resources } in group.versions {
        if freshness == STALE {
            let group_version = api::meta::join_api_version(&name, &version);
            let status = Status::unavailable(format!("the discovery of {group_version} is out of date"));
            found.failed.push((group_version, status));
            continue;
        }
        for entry in resources {
            let resource = ResourceRef {
                group: name.clone(),
                version: version.clone(),
                plural: entry.resource,
                kind: entry.response_kind.kind,
                namespaced: entry.scope == "Namespaced",
            };
            found.add(Served { resource, verbs: entry.verbs });
        }
    }
}

/// The resource of a kind in one group version; none when that is not served.
///
/// # Errors
/// The server's `Status`.
pub async fn find(client: &Client, api_version: &str, kind: &str) -> Result<Option<ResourceRef>, Status> {
    let root = if api_version.contains('/') { "apis" } else { "api" };
    let list = match client.get_path::<Resources>(&format!("/{root}/{api_version}"), JSON).await {
        Ok(list) => list,
        Err(status) if status.is_not_found() => return Ok(None),
        Err(status) => return Err(status),
    };
    let (group, version) = api::meta::split_api_version(api_version);
    let entry = list.resources.into_iter().find(|entry| entry.kind == kind && !entry.name.contains('/'));
    Ok(entry.map(|entry| ResourceRef {
        group: group.to_owned(),
        version: version.to_owned(),
        plural: entry.name,
        kind: entry.kind,
        namespaced: entry.namespaced,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_of_two_versions_is_there_once_and_what_is_out_of_date_is_told() {
        let job = r#"{"resource":"jobs","responseKind":{"group":"","version":"","kind":"Job"},"scope":"Namespaced",
            "verbs":["list"],"subresources":[{"subresource":"status","verbs":["get"]}]}"#;
        let group = format!(
            r#"{{"metadata":{{"name":"batch"}},"versions":[
            {{"version":"v1","freshness":"Current","resources":[{job}]}},
            {{"version":"v1beta1","freshness":"Current","resources":[{job}]}},
            {{"version":"v2alpha1","freshness":"Stale","resources":[{job}]}}]}}"#
        );
        let mut found = Discovered::default();
        add(serde_json::from_str(&group).unwrap(), &mut found);
        assert_eq!(found.resources.len(), 1);
        assert_eq!(found.resources[0].resource.api_version(), "batch/v1");
        assert!(found.resources[0].can(&["list"]) && !found.resources[0].can(&["list", "delete"]));
        assert_eq!(found.failed[0].0, "batch/v2alpha1");
    }
}
