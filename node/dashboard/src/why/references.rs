//! What a pod refers to: ConfigMaps, Secrets, their keys, and claims; and which of it is missing.

use super::workload::of_claim;
use super::{Finding, Level};
use api::Tree;

/// One thing that a pod needs before it can begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// `ConfigMap`, `Secret` or `PersistentVolumeClaim`.
    pub kind: &'static str,
    /// Its name, in the pod's namespace.
    pub name: String,
    /// The keys that must be in it; none when all are taken as they are.
    pub keys: Vec<String>,
    /// Where the pod names it, in words.
    pub place: String,
}

fn is_optional(source: &Tree) -> bool {
    source.bool_at(&["optional"]) == Some(true)
}

fn keys(source: &Tree) -> Vec<String> {
    source.list_at(&["items"]).iter().filter_map(|item| item.str_at(&["key"])).map(str::to_owned).collect()
}

/// Everything that must be there, each as often as it is named.
#[must_use]
pub fn references(pod: &Tree) -> Vec<Reference> {
    let mut found = Vec::new();
    let mut add = |kind, source: Option<&Tree>, field: &str, keys: Vec<String>, place: String| {
        let Some(source) = source.filter(|source| !is_optional(source)) else { return };
        let Some(name) = source.str_at(&[field]).filter(|name| !name.is_empty()) else { return };
        found.push(Reference { kind, name: name.to_owned(), keys, place });
    };
    for volume in pod.list_at(&["spec", "volumes"]) {
        let place = format!("volume {}", volume.str_at(&["name"]).unwrap_or_default());
        for (kind, field, name) in [("ConfigMap", "configMap", "name"), ("Secret", "secret", "secretName")] {
            let source = volume.at(&[field]);
            add(kind, source, name, source.map(keys).unwrap_or_default(), place.clone());
        }
        for part in volume.list_at(&["projected", "sources"]) {
            for (kind, field) in [("ConfigMap", "configMap"), ("Secret", "secret")] {
                let source = part.at(&[field]);
                // Every pod has the cluster's certificate mounted; a controller makes it.
                add(kind, source, "name", source.map(keys).unwrap_or_default(), place.clone());
            }
        }
        add("PersistentVolumeClaim", volume.at(&["persistentVolumeClaim"]), "claimName", Vec::new(), place);
    }
    for list in ["initContainers", "containers"] {
        for container in pod.list_at(&["spec", list]) {
            let name = container.str_at(&["name"]).unwrap_or_default();
            for from in container.list_at(&["envFrom"]) {
                for (kind, field) in [("ConfigMap", "configMapRef"), ("Secret", "secretRef")] {
                    add(kind, from.at(&[field]), "name", Vec::new(), format!("envFrom of container {name}"));
                }
            }
            for variable in container.list_at(&["env"]) {
                let place = format!("variable {} of container {name}", variable.str_at(&["name"]).unwrap_or_default());
                for (kind, field) in [("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")] {
                    let source = variable.at(&["valueFrom", field]);
                    let key = source.and_then(|source| source.str_at(&["key"])).map(str::to_owned);
                    add(kind, source, "name", key.into_iter().collect(), place.clone());
                }
            }
        }
    }
    found
}

/// What is missing of it.
#[must_use]
pub fn missing(references: &[(Reference, Option<Tree>)], claim_events: &[Tree]) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    for (reference, object) in references {
        let Reference { kind, name, keys, place } = reference;
        let about = format!("{kind} {name}");
        match object {
            None => {
                let text = format!("There is no {kind} {name}, which {place} needs");
                let advice = format!("Create it in this namespace, or correct the name in {place}.");
                found.push(Finding::new(Level::Bad, about, text).advice(advice));
            }
            Some(claim) if *kind == "PersistentVolumeClaim" => found.extend(of_claim(claim, claim_events).findings),
            Some(object) => {
                let has = |key: &String| {
                    ["data", "binaryData", "stringData"].iter().any(|field| object.at(&[field, key.as_str()]).is_some())
                };
                for key in keys.iter().filter(|key| !has(key)) {
                    let there: Vec<String> = ["data", "binaryData"]
                        .iter()
                        .filter_map(|field| object.map_at(&[field]))
                        .flat_map(|map| map.keys().map(|key| key.as_str().to_owned()))
                        .collect();
                    let there = if there.is_empty() {
                        "it is empty".to_owned()
                    } else {
                        format!("it has {}", super::listed(&there))
                    };
                    let text = format!("{kind} {name} has no key {key}, which {place} needs; {there}");
                    found.push(Finding::new(Level::Bad, about.clone(), text));
                }
            }
        }
    }
    found.dedup();
    found
}
