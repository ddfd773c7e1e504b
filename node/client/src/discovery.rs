//! What the server serves, by plain discovery: every resource with its verbs, in each group's preferred version.
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

#[derive(Deserialize)]
struct Versions {
    versions: Vec<String>,
}

#[derive(Deserialize)]
struct Groups {
    #[serde(default)]
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    preferred_version: GroupVersion,
    #[serde(default)]
    versions: Vec<GroupVersion>,
}

#[derive(Deserialize, Clone)]
#[serde(rename_all = "camelCase")]
struct GroupVersion {
    group_version: String,
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
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    group: String,
    #[serde(default)]
    version: String,
}

/// Asks what is served. A resource that several versions of a group serve appears once, in the preferred version if
/// that serves it.
///
/// # Errors
/// When the list of groups itself cannot be read; single groups that fail are in the result.
pub async fn discover(client: &Client) -> Result<Discovered, Status> {
    let mut found = Discovered::default();
    let core: Versions = client.get_path("/api", JSON).await?;
    for version in core.versions {
        read(client, &format!("/api/{version}"), &version, &mut found).await;
    }
    let groups: Groups = client.get_path("/apis", JSON).await?;
    for group in groups.groups {
        let preferred = group.preferred_version.group_version;
        let others = group.versions.into_iter().map(|v| v.group_version).filter(|v| *v != preferred);
        for group_version in std::iter::once(preferred.clone()).chain(others) {
            read(client, &format!("/apis/{group_version}"), &group_version, &mut found).await;
        }
    }
    Ok(found)
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
    let mut found = Discovered::default();
    take(api_version, list, &mut found);
    Ok(found.resources.into_iter().map(|served| served.resource).find(|resource| resource.kind == kind))
}

async fn read(client: &Client, path: &str, group_version: &str, found: &mut Discovered) {
    match client.get_path::<Resources>(path, JSON).await {
        Ok(list) => take(group_version, list, found),
        Err(status) => found.failed.push((group_version.to_owned(), status)),
    }
}

fn take(group_version: &str, list: Resources, found: &mut Discovered) {
    let (group, version) = api::meta::split_api_version(group_version);
    for entry in list.resources {
        if entry.name.contains('/') {
            continue;
        }
        let pick = |own: &str, given: &str| if own.is_empty() { given.to_owned() } else { own.to_owned() };
        let resource = ResourceRef {
            group: pick(&entry.group, group),
            version: pick(&entry.version, version),
            plural: entry.name,
            kind: entry.kind,
            namespaced: entry.namespaced,
        };
        let known = |s: &Served| s.resource.group == resource.group && s.resource.plural == resource.plural;
        if !found.resources.iter().any(known) {
            found.resources.push(Served { resource, verbs: entry.verbs });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subresources_and_second_versions_are_left_out() {
        let entries = r#"{"resources":[{"name":"jobs","kind":"Job","namespaced":true,"verbs":["list"]},
            {"name":"jobs/status","kind":"Job","namespaced":true,"verbs":["get"]}]}"#;
        let mut found = Discovered::default();
        for group_version in ["batch/v1", "batch/v1beta1"] {
            take(group_version, serde_json::from_str(entries).unwrap(), &mut found);
        }
        assert_eq!(found.resources.len(), 1);
        assert_eq!(found.resources[0].resource.api_version(), "batch/v1");
        assert!(found.resources[0].can(&["list"]) && !found.resources[0].can(&["list", "delete"]));
    }
}
