//! The StatefulSet controller: pods with fixed names and volumes, made, replaced and removed in order. Behaviour as
//! upstream's `pkg/controller/statefulset`.
//!
//! It must not bind volumes.

mod identity;
mod plan;

use crate::context::{Context, Life, feed, feed_orphans, feed_owners, selects};
use crate::history;
use crate::owner::{claim, controlled_by, lives, settle};
use crate::status::write;
use api::Status;
use client::{After, DeleteOptions, Meta, ObjectKey, Queue, Store};
use identity::{claims, parent_and_ordinal};
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use plan::{Action, Revisions, View};
use std::sync::Arc;

struct Shell<'a> {
    context: &'a Context,
    pods: &'a Arc<Store<Pod>>,
    claims: &'a Arc<Store<PersistentVolumeClaim>>,
    history: &'a Arc<Store<ControllerRevision>>,
}

/// Runs the controller.
pub fn start(context: Context) -> Life {
    Box::pin(async move {
        let queue = Arc::new(Queue::default());
        let sets = context.informers.of::<StatefulSet>();
        let pods = context.informers.of::<Pod>();
        let claims = context.informers.of::<PersistentVolumeClaim>();
        let history = context.informers.of::<ControllerRevision>();
        feed(&sets, &queue);
        feed_owners(&pods, &queue, "StatefulSet");
        feed_orphans(&pods, &sets, &queue, |set: &StatefulSet, pod: &Pod| wants(set, pod));
        sets.synced().await;
        pods.synced().await;
        claims.synced().await;
        history.synced().await;
        let shell = Shell { context: &context, pods: &pods, claims: &claims, history: &history };
        let look = |key: ObjectKey| {
            let (shell, set) = (&shell, sets.get(&key));
            async move {
                match set {
                    Some(set) => shell.sync(&set).await,
                    None => Ok(After::Done),
                }
            }
        };
        context.work("statefulset", &queue, look).await;
    })
}

/// A set takes pods by its selector, but only those that bear its name.
fn wants(set: &StatefulSet, pod: &Pod) -> bool {
    selects(set.spec.as_ref().map(|s| &s.selector), pod.metadata.labels.as_ref())
        && parent_and_ordinal(pod.name()).is_some_and(|(parent, _)| parent == set.name())
}

impl Shell<'_> {
    async fn sync(&self, set: &StatefulSet) -> Result<After, Status> {
        let Some(spec) = &set.spec else { return Ok(After::Done) };
        let owners = self.context.client.of::<StatefulSet>();
        let claimed = claim(set.uid(), set.is_deleting(), self.pods.in_namespace(set.namespace()), |p| wants(set, p));
        let api = self.context.client.of::<Pod>();
        let owned = settle(&api, &controlled_by(set), claimed, lives(&owners, set)).await?;
        let selector = spec.selector.clone();
        let takes = move |r: &ControllerRevision| selects(Some(&selector), r.metadata.labels.as_ref());
        let mut history = history::list(self.context, self.history, set, takes).await?;
        let update =
            history::current(self.context, self.history, set, &spec.template, history::HASH, &mut history).await?;
        let status = set.status.clone().unwrap_or_default();
        let named = |name: &str| history.iter().find(|r| r.name() == name).cloned();
        let current = status.current_revision.as_deref().and_then(named).unwrap_or_else(|| update.clone());
        let revisions = Revisions { current: current.name().to_owned(), update: update.name().to_owned() };
        let mut trouble = None;
        let mut pods = owned;
        if !set.is_deleting() {
            let view = View::new(set, &pods, &revisions, self.context.now());
            for action in view.actions() {
                if let Err(status) = self.act(set, &action, &current, &update).await {
                    trouble = Some(status);
                    break;
                }
            }
            pods = self.pods.owned_by(set.uid());
            pods.retain(|pod| wants(set, pod));
        }
        let view = View::new(set, &pods, &revisions, self.context.now());
        let new = view.status();
        write(&owners, set, &status, &new, false).await?;
        if let Some(status) = trouble {
            return Err(status);
        }
        let used = |name: &str| {
            name == revisions.current
                || name == revisions.update
                || pods.iter().any(|p| p.label(history::LABEL) == Some(name))
        };
        history::truncate(self.context, &history, spec.revision_history_limit.unwrap_or(10), used).await?;
        Ok(view.due_in().map_or(After::Done, After::In))
    }

    async fn act(
        &self,
        set: &StatefulSet,
        action: &Action,
        current: &ControllerRevision,
        update: &ControllerRevision,
    ) -> Result<(), Status> {
        match action {
            Action::Create { ordinal, updated } => {
                let revision = if *updated { update } else { current };
                self.create(set, *ordinal, revision).await
            }
            Action::Claims(ordinal) => self.make_claims(set, *ordinal).await,
            Action::Delete(pod) => {
                let api = self.context.client.of::<Pod>();
                api.delete_if_there(pod.namespace(), pod.name(), &DeleteOptions::only(pod.uid())).await?;
                self.pods.going(&pod.key(), pod.uid()).await;
                let text = format!("delete Pod {} in StatefulSet {} successful", pod.name(), set.name());
                self.context.events.normal(set, "SuccessfulDelete", text);
                Ok(())
            }
            Action::Recreate(pod) => {
                let text = format!("StatefulSet {} is recreating failed Pod {}", set.key(), pod.name());
                self.context.events.warning(set, "RecreatingFailedPod", text);
                let api = self.context.client.of::<Pod>();
                api.delete_if_there(pod.namespace(), pod.name(), &DeleteOptions::only(pod.uid())).await?;
                self.pods.going(&pod.key(), pod.uid()).await;
                Ok(())
            }
        }
    }

    async fn make_claims(&self, set: &StatefulSet, ordinal: i32) -> Result<(), Status> {
        let api = self.context.client.of::<PersistentVolumeClaim>();
        for claim in claims(set, ordinal) {
            if self.claims.find(set.namespace(), claim.name()).is_some() {
                continue;
            }
            match api.create(set.namespace(), &claim).await {
                Ok(_) => {
                    let pod = identity::name(set, ordinal);
                    let text = format!("create Claim {} Pod {pod} in StatefulSet {} success", claim.name(), set.name());
                    self.context.events.normal(set, "SuccessfulCreate", text);
                }
                Err(status) if status.is_already_exists() => (),
                Err(status) => return Err(status),
            }
        }
        Ok(())
    }

    async fn create(&self, set: &StatefulSet, ordinal: i32, revision: &ControllerRevision) -> Result<(), Status> {
        self.make_claims(set, ordinal).await?;
        let Some(template) = history::template(revision) else {
            return Err(Status::internal(format!("revision {} holds no template", revision.name())));
        };
        let pod = identity::pod(set, ordinal, &template, revision.name());
        match self.context.client.of::<Pod>().create(set.namespace(), &pod).await {
            Ok(made) => {
                self.pods.reached(made.revision()).await;
                let text = format!("create Pod {} in StatefulSet {} successful", pod.name(), set.name());
                self.context.events.normal(set, "SuccessfulCreate", text);
                Ok(())
            }
            Err(status) if crate::serviceaccount::refuses(&status) => Ok(()),
            Err(status) => {
                let text = format!("create Pod {} in StatefulSet {} failed error: {status}", pod.name(), set.name());
                self.context.events.warning(set, "FailedCreate", text);
                Err(status)
            }
        }
    }
}

#[cfg(test)]
mod tests;
