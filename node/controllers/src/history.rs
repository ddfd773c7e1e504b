//! ControllerRevisions: the templates that a StatefulSet or DaemonSet had, by number. Behaviour as upstream's
//! `pkg/controller/history`.
//!
//! It must not know which kind's history it keeps.

use crate::context::{Context, tree};
use crate::owner::{claim, controlled_by, lives, settle};
use crate::pod::short_hash;
use api::Status;
use client::{DeleteOptions, Meta, Object, Patch, Store};
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use serde_json::{Value, json};
use std::sync::Arc;

/// The label that carries the hash of a revision's content.
pub const HASH: &str = "controller.kubernetes.io/hash";
/// The label of pods that names their revision.
pub const LABEL: &str = "controller-revision-hash";
/// Names tried for one new revision before giving up; each collision changes the hash.
const NAMES_MAX: i32 = 20;

/// What a revision keeps of its owner.
#[must_use]
pub fn data(template: &PodTemplateSpec) -> Value {
    let mut kept: Value = serde_json::from_slice(&tree(template).to_json()).unwrap_or_default();
    kept["$patch"] = json!("replace");
    json!({"spec": {"template": kept}})
}

/// The template in a revision.
#[must_use]
pub fn template(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let mut kept = revision.data.as_ref()?.0.pointer("/spec/template")?.clone();
    kept.as_object_mut()?.remove("$patch");
    serde_json::from_value(kept).ok()
}

/// The revisions of an owner, the oldest first.
///
/// # Errors
/// The server's `Status`.
pub async fn list<O: Object>(
    context: &Context,
    store: &Store<ControllerRevision>,
    owner: &O,
    wants: impl Fn(&ControllerRevision) -> bool,
) -> Result<Vec<Arc<ControllerRevision>>, Status> {
    let claimed = claim(owner.uid(), owner.is_deleting(), store.in_namespace(owner.namespace()), wants);
    let owners = context.client.of::<O>();
    let mut all = settle(&context.client.of(), &controlled_by(owner), claimed, lives(&owners, owner)).await?;
    all.sort_by_key(|r| (r.revision, r.metadata.creation_timestamp.clone(), r.name().to_owned()));
    Ok(all)
}

/// The revision of the present template: an equal one, moved to the end of the history, or a new one. `label` carries
/// its hash: [`HASH`] for a StatefulSet, [`LABEL`] for a DaemonSet.
///
/// # Errors
/// The server's `Status`.
pub async fn current<O: Object>(
    context: &Context,
    store: &Store<ControllerRevision>,
    owner: &O,
    template: &PodTemplateSpec,
    label: &str,
    history: &mut Vec<Arc<ControllerRevision>>,
) -> Result<Arc<ControllerRevision>, Status> {
    let api = context.client.of::<ControllerRevision>();
    let wanted = data(template);
    let next = history.last().map_or(1, |r| r.revision + 1);
    if let Some(at) = history.iter().rposition(|r| r.data.as_ref().is_some_and(|d| d.0 == wanted)) {
        if at + 1 == history.len() {
            return Ok(history[at].clone());
        }
        let change = Patch::Merge(json!({"revision": next}));
        let moved = Arc::new(api.patch(owner.namespace(), history[at].name(), "", &change).await?);
        store.reached(moved.revision()).await;
        history.remove(at);
        history.push(moved.clone());
        return Ok(moved);
    }
    for collisions in 0..NAMES_MAX {
        let hash = short_hash(wanted.to_string().as_bytes(), (collisions > 0).then_some(collisions));
        let mut labels = template.metadata.as_ref().and_then(|m| m.labels.clone()).unwrap_or_default();
        labels.insert(label.to_owned(), hash.clone());
        let fresh = ControllerRevision {
            metadata: ObjectMeta {
                name: Some(format!("{}-{hash}", owner.name())),
                namespace: Some(owner.namespace().to_owned()),
                labels: Some(labels),
                owner_references: Some(vec![controlled_by(owner)]),
                ..ObjectMeta::default()
            },
            data: Some(RawExtension(wanted.clone())),
            revision: next,
        };
        match api.create(owner.namespace(), &fresh).await {
            Ok(made) => {
                store
                    .reached(made.metadata.resource_version.as_deref().and_then(|r| r.parse().ok()).unwrap_or(0))
                    .await;
                let made = Arc::new(made);
                history.push(made.clone());
                return Ok(made);
            }
            Err(status) if status.is_already_exists() => {
                let there = api.get(owner.namespace(), fresh.name()).await?;
                if there.data.as_ref().is_some_and(|d| d.0 == wanted) && crate::owner::controls(owner.uid(), &there) {
                    return Ok(Arc::new(there));
                }
            }
            Err(status) => return Err(status),
        }
    }
    Err(Status::internal(format!("no free name for a revision of {}", owner.key())))
}

/// Removes the oldest revisions beyond the limit that nobody uses.
///
/// # Errors
/// The server's `Status`.
pub async fn truncate(
    context: &Context,
    history: &[Arc<ControllerRevision>],
    limit: i32,
    used: impl Fn(&str) -> bool,
) -> Result<(), Status> {
    let idle: Vec<&Arc<ControllerRevision>> = history.iter().filter(|r| !used(r.name())).collect();
    let surplus = idle.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
    let api = context.client.of::<ControllerRevision>();
    for revision in &idle[..surplus] {
        let options = DeleteOptions::only(revision.uid());
        api.delete_if_there(revision.namespace(), revision.name(), &options).await?;
    }
    Ok(())
}
