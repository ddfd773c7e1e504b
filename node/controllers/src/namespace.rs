//! The namespace controller: empties a namespace that is being deleted, pods first, and then lets it go. Behaviour as
//! upstream's `pkg/controller/namespace/deletion`.
//!
//! It must not know kinds: what there is to delete comes from discovery.

use crate::context::{Context, Life, seconds};
use api::Status;
use client::discovery::{Discovered, discover};
use client::{After, DeleteOptions, Meta, ObjectKey, Partial, Patch, Propagation, Queue, ResourceRef, Selection};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition, Pod};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The finalizer in `spec.finalizers` that holds a namespace until it is empty.
pub const FINALIZER: &str = "kubernetes";

/// How soon a namespace is looked at again that still holds something: finalizers are not watched for every kind.
pub const RETRY_WAIT: Duration = Duration::from_secs(2);

/// What was found in a namespace while it was being emptied.
#[derive(Debug, Default)]
pub struct Remains {
    /// Group versions that discovery could not read.
    pub undiscovered: Vec<(String, Status)>,
    /// Deletions that failed.
    pub failures: Vec<Status>,
    /// How many objects are left, by `plural.group`.
    pub counts: BTreeMap<String, usize>,
    /// How many objects each finalizer holds.
    pub finalizers: BTreeMap<String, usize>,
}

impl Remains {
    /// Whether the namespace may go.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.undiscovered.is_empty() && self.failures.is_empty() && self.counts.is_empty()
    }
}

const OKAY: &[(&str, &str, &str)] = &[
    ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"),
    ("NamespaceDeletionGroupVersionParsingFailure", "ParsedGroupVersions", "All legacy kube types successfully parsed"),
    (
        "NamespaceDeletionContentFailure",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    ("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed"),
    ("NamespaceFinalizersRemaining", "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
];

fn trouble(kind: &str, remains: &Remains) -> Option<(&'static str, String)> {
    let join = |parts: Vec<String>| parts.join(", ");
    match kind {
        "NamespaceDeletionDiscoveryFailure" if !remains.undiscovered.is_empty() => {
            let failed: Vec<String> = remains.undiscovered.iter().map(|(gv, why)| format!("{gv}: {why}")).collect();
            let text = format!(
                "Discovery failed for some groups, {} failing: unable to retrieve the complete list of server APIs: {}",
                failed.len(),
                join(failed)
            );
            Some(("DiscoveryFailed", text))
        }
        "NamespaceDeletionContentFailure" if !remains.failures.is_empty() => {
            let failed: Vec<String> = remains.failures.iter().map(ToString::to_string).collect();
            let text = format!("Failed to delete all resource types, {} remaining: {}", failed.len(), join(failed));
            Some(("ContentDeletionFailed", text))
        }
        "NamespaceContentRemaining" if !remains.counts.is_empty() => {
            let left = remains.counts.iter().map(|(what, n)| format!("{what} has {n} resource instances")).collect();
            Some(("SomeResourcesRemain", format!("Some resources are remaining: {}", join(left))))
        }
        "NamespaceFinalizersRemaining" if !remains.finalizers.is_empty() => {
            let held = remains.finalizers.iter().map(|(f, n)| format!("{f} in {n} resource instances")).collect();
            let text = format!("Some content in the namespace has finalizers remaining: {}", join(held));
            Some(("SomeFinalizersRemain", text))
        }
        _ => None,
    }
}

/// The conditions that tell how far the deletion is; `None` when they would not change.
#[must_use]
pub fn conditions(old: &[NamespaceCondition], remains: &Remains, now: Timestamp) -> Option<Vec<NamespaceCondition>> {
    let mut new = old.to_vec();
    for (kind, okay_reason, okay_message) in OKAY {
        let (status, reason, message) = match trouble(kind, remains) {
            Some((reason, message)) => ("True", reason.to_owned(), message),
            None => ("False", (*okay_reason).to_owned(), (*okay_message).to_owned()),
        };
        let there = new.iter().position(|c| c.type_ == *kind);
        let same = |c: &NamespaceCondition| {
            c.status == status && c.reason.as_ref() == Some(&reason) && c.message.as_ref() == Some(&message)
        };
        if there.is_some_and(|at| same(&new[at])) {
            continue;
        }
        let condition = NamespaceCondition {
            type_: (*kind).to_owned(),
            status: status.to_owned(),
            reason: Some(reason),
            message: Some(message),
            last_transition_time: Some(seconds(now)),
        };
        match there {
            Some(at) => new[at] = condition,
            None => new.push(condition),
        }
    }
    (new != old).then_some(new)
}

/// The order in which resources are emptied: pods alone first, then the rest.
#[must_use]
pub fn order(found: &Discovered) -> (Vec<ResourceRef>, Vec<ResourceRef>) {
    let deletable = found.resources.iter().filter(|s| s.resource.namespaced && s.can(&["delete", "list"]));
    deletable.map(|s| s.resource.clone()).partition(|r| r.group.is_empty() && r.plural == "pods")
}

/// Runs the controller.
pub fn start(context: Context) -> Life {
    Box::pin(async move {
        let queue = Arc::new(Queue::default());
        let namespaces = context.informers.of::<Namespace>();
        let fed = queue.clone();
        namespaces.on_change(move |change| {
            if change.new.as_ref().is_some_and(|n| n.is_deleting()) {
                fed.add(change.latest().key());
            }
        });
        let (fed, going) = (queue.clone(), namespaces.clone());
        context.informers.of::<Pod>().on_change(move |change| {
            let gone = change.new.is_none();
            let key = ObjectKey::new("", change.latest().namespace());
            if gone && going.get(&key).is_some_and(|n| n.is_deleting()) {
                fed.add(key);
            }
        });
        namespaces.synced().await;
        let look = |key: ObjectKey| {
            let namespace = namespaces.get(&key);
            let context = &context;
            async move {
                match namespace {
                    Some(namespace) if namespace.is_deleting() => sync(context, &namespace).await,
                    _ => Ok(After::Done),
                }
            }
        };
        context.work("namespace", &queue, look).await;
    })
}

async fn sync(context: &Context, namespace: &Namespace) -> Result<After, Status> {
    let holds = |n: &Namespace| n.spec.iter().flat_map(|s| s.finalizers.iter().flatten()).any(|f| f == FINALIZER);
    if !holds(namespace) {
        return Ok(After::Done);
    }
    let api = context.client.of::<Namespace>();
    let mut remains = Remains::default();
    let mut found = discover(&context.client).await?;
    remains.undiscovered.append(&mut found.failed);
    let (pods, rest) = order(&found);
    empty(context, namespace.name(), &pods, &found, &mut remains).await;
    if remains.counts.is_empty() {
        empty(context, namespace.name(), &rest, &found, &mut remains).await;
    }
    let old = namespace.status.as_ref().and_then(|s| s.conditions.clone()).unwrap_or_default();
    if let Some(new) = conditions(&old, &remains, context.now()) {
        let change = Patch::Merge(json!({"status": {"conditions": new}}));
        if api.patch("", namespace.name(), "status", &change).await.is_err_and(|s| s.is_not_found()) {
            return Ok(After::Done);
        }
    }
    if !remains.is_empty() {
        return Ok(After::In(RETRY_WAIT));
    }
    let Some(mut newest) = api.find("", namespace.name()).await? else { return Ok(After::Done) };
    if newest.uid() != namespace.uid() {
        return Ok(After::Done);
    }
    if let Some(finalizers) = newest.spec.as_mut().and_then(|s| s.finalizers.as_mut()) {
        finalizers.retain(|f| f != FINALIZER);
    }
    match api.update_sub::<Namespace>("", namespace.name(), "finalize", &newest).await {
        Err(status) if !status.is_not_found() => Err(status),
        _ => Ok(After::Done),
    }
}

/// Deletes what these resources hold in the namespace and counts what is left.
async fn empty(
    context: &Context,
    namespace: &str,
    resources: &[ResourceRef],
    found: &Discovered,
    remains: &mut Remains,
) {
    for resource in resources {
        let api = context.client.on::<Partial>(resource.clone()).metadata_only();
        let everything = Selection::default();
        let options = DeleteOptions::default().propagate(Propagation::Background);
        let wholesale = found.resources.iter().any(|s| s.resource == *resource && s.can(&["deletecollection"]));
        let left = async {
            let (objects, _) = api.list(namespace, &everything).await?;
            if objects.is_empty() {
                return Ok(objects);
            }
            if wholesale {
                api.delete_collection(namespace, &everything, &options).await?;
            } else {
                for object in objects.iter().filter(|o| !o.is_deleting()) {
                    api.delete_if_there(namespace, object.name(), &options).await?;
                }
            }
            Ok(api.list(namespace, &everything).await?.0)
        };
        match left.await {
            Ok(left) if left.is_empty() => (),
            Ok(left) => {
                remains.counts.insert(format!("{}.{}", resource.plural, resource.group), left.len());
                for finalizer in left.iter().flat_map(|o| o.metadata.finalizers.iter().flatten()) {
                    *remains.finalizers.entry(finalizer.clone()).or_default() += 1;
                }
            }
            // Served when we asked, gone since: there is nothing to delete.
            Err::<Vec<Partial>, Status>(status) if matches!(status.code, 404 | 405) => (),
            Err(status) => remains.failures.push(status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn what_is_left_is_told_by_conditions_and_told_once() {
        let mut remains = Remains::default();
        remains.counts.insert("pods.".to_owned(), 2);
        remains.finalizers.insert("x/y".to_owned(), 1);
        let told = conditions(&[], &remains, now()).unwrap();
        let texts: Vec<&str> =
            told.iter().filter(|c| c.status == "True").map(|c| c.message.as_deref().unwrap()).collect();
        assert_eq!(
            texts,
            [
                "Some resources are remaining: pods. has 2 resource instances",
                "Some content in the namespace has finalizers remaining: x/y in 1 resource instances",
            ]
        );
        assert_eq!(told.len(), 5);
        assert!(conditions(&told, &remains, now()).is_none());
        assert!(!remains.is_empty());
    }
}
