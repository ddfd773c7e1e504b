//! The Deployment controller: makes a ReplicaSet for each template and moves the pods from the old ones to the new
//! one. Behaviour as upstream's `pkg/controller/deployment`.
//!
//! It must not create pods.

mod progress;
mod revision;
mod scale;
mod sets;

use crate::context::{Context, Keys, Life, feed, feed_orphans, feed_owners, selects};
use crate::owner::{claim, controlled_by, lives, settle};
use crate::pod::is_finished;
use crate::status::write;
use api::Status;
use client::{After, DeleteOptions, Meta, ObjectKey, Patch, Queue, Store};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use sets::{DESIRED, MAX, Sets, size};
use std::sync::Arc;

struct Shell<'a> {
    context: &'a Context,
    sets: &'a Arc<Store<ReplicaSet>>,
    pods: &'a Arc<Store<Pod>>,
    queue: &'a Keys,
}

/// Runs the controller.
pub fn start(context: Context) -> Life {
    Box::pin(async move {
        let queue = Arc::new(Queue::default());
        let deployments = context.informers.of::<Deployment>();
        let sets = context.informers.of::<ReplicaSet>();
        let pods = context.informers.of::<Pod>();
        feed(&deployments, &queue);
        feed_owners(&sets, &queue, "Deployment");
        feed_orphans(&sets, &deployments, &queue, |d: &Deployment, set: &ReplicaSet| {
            selects(d.spec.as_ref().map(|s| &s.selector), set.metadata.labels.as_ref())
        });
        let (fed, known) = (queue.clone(), sets.clone());
        pods.on_change(move |change| {
            // A Recreate rollout goes on when the last old pod is gone.
            let Some(owner) = change.latest().controller().filter(|_| change.new.is_none()) else { return };
            let set = known.find(change.latest().namespace(), &owner.name);
            if let Some(owner) = set.as_ref().and_then(|s| s.controller()) {
                fed.add(ObjectKey::new(change.latest().namespace(), &owner.name));
            }
        });
        deployments.synced().await;
        sets.synced().await;
        pods.synced().await;
        let shell = Shell { context: &context, sets: &sets, pods: &pods, queue: &queue };
        let look = |key: ObjectKey| {
            let (shell, deployment) = (&shell, deployments.get(&key));
            async move {
                match deployment {
                    Some(deployment) => shell.sync(&deployment).await,
                    None => Ok(After::Done),
                }
            }
        };
        context.work("deployment", &queue, look).await;
    })
}

impl Shell<'_> {
    async fn sync(&self, deployment: &Deployment) -> Result<After, Status> {
        let Some(spec) = &deployment.spec else { return Ok(After::Done) };
        let labels = spec.template.metadata.as_ref().and_then(|m| m.labels.as_ref());
        if !selects(Some(&spec.selector), labels) {
            // The server refuses this; without it every set would be let go and replaced without end.
            let text = "the selector does not take pods of the template";
            self.context.events.warning(deployment, "SelectorMismatch", text);
            return Ok(After::Done);
        }
        let namespace = deployment.namespace();
        let (api, owners) = (self.context.client.of::<ReplicaSet>(), self.context.client.of::<Deployment>());
        let there = self.sets.in_namespace(namespace);
        let wants = |set: &ReplicaSet| selects(Some(&spec.selector), set.metadata.labels.as_ref());
        let claimed = claim(deployment.uid(), deployment.is_deleting(), there, wants);
        let owned = settle(&api, &controlled_by(deployment), claimed, lives(&owners, deployment)).await?;
        let mut sets = Sets::sort(deployment, owned);
        let mut status = deployment.status.clone().unwrap_or_default();
        if !deployment.is_deleting() {
            progress::note_pause(deployment, &mut status, self.context.now());
            let paused = spec.paused == Some(true);
            let failed = if paused || sets.is_scaling_event(deployment) {
                self.resize(deployment, &mut sets, paused).await
            } else if spec.strategy.as_ref().and_then(|s| s.type_.as_deref()) == Some("Recreate") {
                self.recreate(deployment, &mut sets, &mut status).await
            } else {
                self.roll(deployment, &mut sets, &mut status).await
            };
            if let Err(problem) = failed {
                // Whatever the steps noted in the status is worth telling; then the failure is tried again.
                self.tell(deployment, &sets, status).await?;
                return Err(problem);
            }
        }
        self.tell(deployment, &sets, status).await
    }

    /// Writes the status and says when to look at the progress again.
    async fn tell(&self, deployment: &Deployment, sets: &Sets, noted: DeploymentStatus) -> Result<After, Status> {
        let now = self.context.now();
        let new = progress::status(deployment, sets, noted, now);
        let old = deployment.status.clone().unwrap_or_default();
        write(&self.context.client.of::<Deployment>(), deployment, &old, &new, false).await?;
        Ok(progress::check_in(deployment, &new, now).map_or(After::Done, After::In))
    }

    /// Only the number changed, or the rollout is paused: no new set is made.
    async fn resize(&self, deployment: &Deployment, sets: &mut Sets, paused: bool) -> Result<(), Status> {
        self.note_revision(deployment, sets).await?;
        let sizes = scale::proportional(deployment, sets);
        self.scale(deployment, sets, &sizes).await?;
        if paused { self.clean_up(deployment, sets).await } else { Ok(()) }
    }

    async fn roll(
        &self,
        deployment: &Deployment,
        sets: &mut Sets,
        status: &mut DeploymentStatus,
    ) -> Result<(), Status> {
        if !self.ensure_new(deployment, sets, status).await? {
            return Ok(());
        }
        let mut sizes = scale::grow_new(deployment, sets);
        if sizes.is_empty() {
            sizes = scale::shrink_old(deployment, sets);
        }
        if !sizes.is_empty() {
            return self.scale(deployment, sets, &sizes).await;
        }
        if progress::is_complete(deployment, &progress::count(deployment, sets, status.clone())) {
            self.clean_up(deployment, sets).await?;
        }
        Ok(())
    }

    async fn recreate(
        &self,
        deployment: &Deployment,
        sets: &mut Sets,
        status: &mut DeploymentStatus,
    ) -> Result<(), Status> {
        self.note_revision(deployment, sets).await?;
        let sizes: Vec<(String, i32)> = sets.old().filter(|s| size(s) > 0).map(|s| (s.name().to_owned(), 0)).collect();
        if !sizes.is_empty() {
            return self.scale(deployment, sets, &sizes).await;
        }
        let runs = |set: &Arc<ReplicaSet>| self.pods.owned_by(set.uid()).iter().any(|pod| !is_finished(pod));
        if sets.old().any(runs) {
            return Ok(());
        }
        if !self.ensure_new(deployment, sets, status).await? {
            return Ok(());
        }
        if let Some(new) = sets.new_set().filter(|s| size(s) != sets::wanted(deployment)) {
            let grown = [(new.name().to_owned(), sets::wanted(deployment))];
            self.scale(deployment, sets, &grown).await?;
        }
        if progress::is_complete(deployment, &progress::count(deployment, sets, status.clone())) {
            self.clean_up(deployment, sets).await?;
        }
        Ok(())
    }

    /// Sees to it that the new set is there and carries the right revision. False when it has to be tried again with
    /// another name.
    async fn ensure_new(
        &self,
        deployment: &Deployment,
        sets: &mut Sets,
        status: &mut DeploymentStatus,
    ) -> Result<bool, Status> {
        let now = self.context.now();
        if sets.new_set().is_some() {
            self.note_revision(deployment, sets).await?;
            if let Some(new) = sets.new_set() {
                progress::note_found(deployment, status, new.name(), now);
            }
            return Ok(true);
        }
        let api = self.context.client.of::<ReplicaSet>();
        let set = revision::make(deployment, sets);
        match api.create(deployment.namespace(), &set).await {
            Ok(made) => {
                let text = format!("Scaled up replica set {} from 0 to {}", made.name(), size(&made));
                if size(&made) > 0 {
                    self.context.events.normal(deployment, "ScalingReplicaSet", text);
                }
                progress::note_created(deployment, status, made.name(), now);
                self.sets.reached(made.revision()).await;
                sets.add_new(made);
                self.note_deployment_revision(deployment, sets).await?;
                Ok(true)
            }
            Err(problem) if problem.is_already_exists() => {
                self.resolve_collision(deployment, sets, status, set.name()).await
            }
            Err(problem) if crate::serviceaccount::refuses(&problem) => Ok(false),
            Err(problem) => {
                let text = format!("Failed to create new replica set {:?}: {problem}", set.name());
                progress::note_failed(deployment, status, &text, now);
                self.context.events.warning(deployment, "ReplicaSetCreateError", text);
                Err(problem)
            }
        }
    }

    /// The name is taken: by our own set that the cache has not seen, or by a foreign one, which the next name avoids.
    async fn resolve_collision(
        &self,
        deployment: &Deployment,
        sets: &mut Sets,
        status: &mut DeploymentStatus,
        name: &str,
    ) -> Result<bool, Status> {
        let there = self.context.client.of::<ReplicaSet>().get(deployment.namespace(), name).await?;
        if crate::owner::controls(deployment.uid(), &there) && sets::same_template(deployment, &there) {
            sets.add_new(there);
            return Ok(true);
        }
        status.collision_count = Some(status.collision_count.unwrap_or(0) + 1);
        self.queue.add_after(deployment.key(), client::queue::RETRY.first);
        Ok(false)
    }

    /// Writes the revision and the deployment's annotations to the new set, and the revision to the deployment.
    async fn note_revision(&self, deployment: &Deployment, sets: &mut Sets) -> Result<(), Status> {
        let Some(change) = revision::annotate(deployment, sets) else {
            return self.note_deployment_revision(deployment, sets).await;
        };
        let Some(name) = sets.new_set().map(|new| new.name().to_owned()) else { return Ok(()) };
        let api = self.context.client.of::<ReplicaSet>();
        let changed = api.patch(deployment.namespace(), &name, "", &Patch::Merge(change)).await?;
        self.sets.reached(changed.revision()).await;
        sets.replace(changed);
        self.note_deployment_revision(deployment, sets).await
    }

    async fn note_deployment_revision(&self, deployment: &Deployment, sets: &Sets) -> Result<(), Status> {
        let wanted = sets.new_set().and_then(|new| new.annotation(sets::REVISION));
        if wanted.is_none() || wanted == deployment.annotation(sets::REVISION) {
            return Ok(());
        }
        let change = json!({"metadata": {"uid": deployment.uid(), "annotations": {sets::REVISION: wanted}}});
        let api = self.context.client.of::<Deployment>();
        api.patch(deployment.namespace(), deployment.name(), "", &Patch::Merge(change)).await.map(drop)
    }

    /// Gives sets new sizes, and all of them the annotations that tell what the deployment's size was.
    async fn scale(&self, deployment: &Deployment, sets: &mut Sets, sizes: &[(String, i32)]) -> Result<(), Status> {
        let api = self.context.client.of::<ReplicaSet>();
        let (desired, max) = (sets::wanted(deployment), sets::wanted(deployment) + sets::surge(deployment));
        for (name, to) in sizes {
            let Some(set) = sets.named(name) else { continue };
            let from = size(&set);
            let change = json!({"metadata": {"resourceVersion": set.resource_version(), "uid": set.uid(),
                "annotations": {DESIRED: desired.to_string(), MAX: max.to_string()}}, "spec": {"replicas": to}});
            let changed = api.patch(set.namespace(), name, "", &Patch::Merge(change)).await?;
            self.sets.reached(changed.revision()).await;
            sets.replace(changed);
            if from != *to {
                let way = if from < *to { "up" } else { "down" };
                let text = format!("Scaled {way} replica set {name} from {from} to {to}");
                self.context.events.normal(deployment, "ScalingReplicaSet", text);
            }
        }
        Ok(())
    }

    async fn clean_up(&self, deployment: &Deployment, sets: &Sets) -> Result<(), Status> {
        for set in revision::outdated(deployment, sets) {
            let options = DeleteOptions::only(set.uid());
            self.context.client.of::<ReplicaSet>().delete_if_there(set.namespace(), set.name(), &options).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
