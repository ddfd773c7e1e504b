//! Reads what `why` judges, with the rights of whoever asks: what that user may not read is left out and said.
//!
//! Pure core: none; what to read is decided here, what it means there.

use crate::why::{self, Chain, PodFacts, Reference};
use api::{Status, Tree, meta};
use client::{Api, Client, ListOptions, ResourceRef, Selection};

/// Objects of one list that are looked at: nodes, pods on them, events of one object.
const OBJECTS_MAX: usize = 2000;
/// Pods of one workload whose own chains are made, the worst is told.
const PODS_MAX: usize = 20;
/// The last lines of a container that ended.
const LOG_LINES: u32 = 5;
/// Bytes of them.
const LOG_BYTES_MAX: u32 = 2000;

/// A kind that can be asked about: its plural, what it is called, and where it is.
const KINDS: &[(&str, &str, &str, bool)] = &[
    ("pods", "Pod", "", true),
    ("deployments", "Deployment", "apps", true),
    ("replicasets", "ReplicaSet", "apps", true),
    ("statefulsets", "StatefulSet", "apps", true),
    ("daemonsets", "DaemonSet", "apps", true),
    ("jobs", "Job", "batch", true),
    ("persistentvolumeclaims", "PersistentVolumeClaim", "", true),
    ("namespaces", "Namespace", "", false),
];

/// Short names that people type, as kubectl knows them.
const SHORT: &[(&str, &str)] = &[
    ("po", "pods"),
    ("deploy", "deployments"),
    ("rs", "replicasets"),
    ("sts", "statefulsets"),
    ("ds", "daemonsets"),
    ("pvc", "persistentvolumeclaims"),
    ("ns", "namespaces"),
];

/// Reads for one user.
pub struct Gather {
    client: Client,
}

fn resource(group: &str, plural: &str, kind: &str, namespaced: bool) -> ResourceRef {
    ResourceRef {
        group: group.to_owned(),
        version: "v1".to_owned(),
        plural: plural.to_owned(),
        kind: kind.to_owned(),
        namespaced,
    }
}

/// The kind of a word: plural, singular or short, in any case.
fn known(word: &str) -> Option<&'static (&'static str, &'static str, &'static str, bool)> {
    let word = word.to_lowercase();
    let long = SHORT.iter().find(|(short, _)| *short == word).map_or(word.as_str(), |(_, plural)| plural);
    KINDS.iter().find(|(plural, kind, ..)| *plural == long || kind.to_lowercase() == long)
}

impl Gather {
    /// A reader with the rights of `client`'s user.
    #[must_use]
    pub fn new(client: Client) -> Gather {
        Gather { client }
    }

    fn on(&self, group: &str, plural: &str, kind: &str, namespaced: bool) -> Api<Tree> {
        self.client.on(resource(group, plural, kind, namespaced))
    }

    fn core(&self, plural: &str) -> Api<Tree> {
        self.on("", plural, "", plural != "nodes")
    }

    /// Why an object is not as it should be.
    ///
    /// # Errors
    /// 404 for an unknown kind or object, 403 when the user may not read it.
    pub async fn why(&self, word: &str, namespace: &str, name: &str) -> Result<Chain, Status> {
        let Some((plural, kind, group, namespaced)) = known(word) else {
            let kinds: Vec<&str> = KINDS.iter().map(|(plural, ..)| *plural).collect();
            return Err(Status::new(404, "NotFound", format!("why is told of {}, not of {word}", kinds.join(", "))));
        };
        let namespace = if *namespaced { namespace } else { "" };
        let object = self.on(group, plural, kind, *namespaced).get(namespace, name).await?;
        match *kind {
            "Pod" => self.pod(object).await,
            "Namespace" => Ok(why::of_namespace(&object)),
            "PersistentVolumeClaim" => Ok(why::of_claim(&object, &self.events(&object).await.unwrap_or_default())),
            _ => self.workload(kind, object).await,
        }
    }

    async fn some(&self, api: Api<Tree>, namespace: &str, selection: Selection) -> Result<Vec<Tree>, Status> {
        let options = ListOptions { selection, limit: OBJECTS_MAX, ..ListOptions::default() };
        Ok(api.page(namespace, &options).await?.items())
    }

    async fn events(&self, object: &Tree) -> Result<Vec<Tree>, Status> {
        let fields = format!("involvedObject.uid={}", meta::uid(object));
        let namespace = if meta::namespace(object).is_empty() { "default" } else { meta::namespace(object) };
        self.some(self.core("events"), namespace, Selection { fields, ..Selection::default() }).await
    }

    async fn pod(&self, pod: Tree) -> Result<Chain, Status> {
        let mut facts = PodFacts { pod, ..PodFacts::default() };
        if why::of_pod(&facts).is_well() {
            return Ok(Chain::default());
        }
        let mut unread = Vec::new();
        let namespace = meta::namespace(&facts.pod).to_owned();
        facts.events = left_out(self.events(&facts.pod).await, "events", &mut unread)?;
        let node = facts.pod.str_at(&["spec", "nodeName"]).unwrap_or_default().to_owned();
        if node.is_empty() {
            facts.nodes =
                left_out(self.some(self.core("nodes"), "", Selection::default()).await, "nodes", &mut unread)?;
            let placed = Selection { fields: "spec.nodeName!=".to_owned(), ..Selection::default() };
            facts.placed = left_out(self.some(self.core("pods"), "", placed).await, "other pods", &mut unread)?;
        } else {
            let read = self.core("nodes").find("", &node).await.map(|node| node.into_iter().collect());
            facts.nodes = left_out(read, "nodes", &mut unread)?;
        }
        self.references(&namespace, &mut facts, &mut unread).await?;
        self.logs(&namespace, &mut facts).await;
        facts.unread = unread;
        Ok(why::of_pod(&facts))
    }

    /// What a pod refers to. It is read only where the pod waits for it.
    async fn references(&self, namespace: &str, facts: &mut PodFacts, unread: &mut Vec<String>) -> Result<(), Status> {
        let mut seen: Vec<(Reference, Option<Tree>)> = Vec::new();
        for reference in why::references(&facts.pod) {
            let there = seen.iter().find(|(other, _)| other.kind == reference.kind && other.name == reference.name);
            let object = match there {
                Some((_, object)) => object.clone(),
                None => {
                    let plural = format!("{}s", reference.kind.to_lowercase());
                    let read = self.core(&plural).find(namespace, &reference.name).await.map(Some);
                    let Some(object) = left_out(read, &plural, unread)? else { continue };
                    object
                }
            };
            let waits = reference.kind == "PersistentVolumeClaim";
            if let Some(claim) =
                object.as_ref().filter(|claim| waits && claim.str_at(&["status", "phase"]) != Some("Bound"))
            {
                facts.claim_events.extend(left_out(self.events(claim).await, "events", unread)?);
            }
            seen.push((reference, object));
        }
        facts.references = seen;
        Ok(())
    }

    /// The last lines of what ended. A log that cannot be had is no failure: the exit code tells enough.
    async fn logs(&self, namespace: &str, facts: &mut PodFacts) {
        let name = meta::name(&facts.pod);
        let statuses = ["initContainerStatuses", "containerStatuses"].map(|list| facts.pod.list_at(&["status", list]));
        let mut found = Vec::new();
        for status in statuses.concat() {
            let now = status.at(&["state", "terminated"]).is_some();
            if !now && status.at(&["lastState", "terminated"]).is_none() {
                continue;
            }
            let container = status.str_at(&["name"]).unwrap_or_default().to_owned();
            let query =
                format!("container={container}&tailLines={LOG_LINES}&limitBytes={LOG_BYTES_MAX}&previous={}", !now);
            let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/log?{query}");
            if let Ok(log) = self.client.get_text(&path).await {
                found.push((container, log));
            }
        }
        facts.logs = found;
    }

    async fn workload(&self, kind: &str, object: Tree) -> Result<Chain, Status> {
        let events = self.events(&object).await.unwrap_or_default();
        if why::of_workload(kind, &object, &events, Chain::default()).is_well() {
            return Ok(Chain::default());
        }
        let below = match kind {
            "Deployment" => self.replica_set(&object).await?,
            _ => self.worst_pod(&object).await?,
        };
        Ok(why::of_workload(kind, &object, &events, below))
    }

    /// The chain of a Deployment's newest ReplicaSet that is in trouble.
    async fn replica_set(&self, deployment: &Tree) -> Result<Chain, Status> {
        const REVISION: &str = "deployment.kubernetes.io/revision";
        let api = self.on("apps", "replicasets", "ReplicaSet", true);
        let mut own = self.owned(api, deployment).await?;
        let revision =
            |set: &Tree| meta::annotation(set, REVISION).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        own.sort_by_key(|set| std::cmp::Reverse(revision(set)));
        let Some(newest) = own.into_iter().next() else { return Ok(Chain::default()) };
        let events = self.events(&newest).await.unwrap_or_default();
        let pods = self.worst_pod(&newest).await?;
        Ok(why::of_workload("ReplicaSet", &newest, &events, pods))
    }

    async fn worst_pod(&self, owner: &Tree) -> Result<Chain, Status> {
        let pods = self.owned(self.core("pods"), owner).await?;
        for pod in pods.into_iter().take(PODS_MAX) {
            let chain = self.pod(pod).await?;
            if !chain.is_well() {
                return Ok(chain);
            }
        }
        Ok(Chain::default())
    }

    async fn owned(&self, api: Api<Tree>, owner: &Tree) -> Result<Vec<Tree>, Status> {
        let uid = Some(meta::uid(owner));
        let all = self.some(api, meta::namespace(owner), Selection::default()).await?;
        let is_own =
            |one: &Tree| one.list_at(&["metadata", "ownerReferences"]).iter().any(|o| o.str_at(&["uid"]) == uid);
        Ok(all.into_iter().filter(is_own).collect())
    }
}

/// What was read, or nothing when the user may not: then it is noted.
fn left_out<T: Default>(read: Result<T, Status>, what: &str, unread: &mut Vec<String>) -> Result<T, Status> {
    match read {
        Err(status) if status.code == 403 => {
            if !unread.iter().any(|there| there == what) {
                unread.push(what.to_owned());
            }
            Ok(T::default())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_known_by_all_their_names() {
        for word in ["pods", "pod", "po", "Pod"] {
            assert_eq!(known(word).map(|kind| kind.1), Some("Pod"), "{word}");
        }
        assert_eq!(known("deploy").map(|kind| kind.0), Some("deployments"));
        assert_eq!(known("services"), None);
    }
}
