//! The garbage collector: deletes objects whose owners are all gone, and carries out foreground and orphaning
//! deletions. Behaviour as upstream's `pkg/controller/garbagecollector`.
//!
//! It must not know kinds: it sees metadata only, of whatever discovery says can be deleted.

mod graph;

use crate::context::{Context, Life};
use api::Status;
use client::discovery::{Discovered, discover};
use client::queue::work;
use client::{After, Client, DeleteOptions, Meta, Partial, Patch, Propagation, Queue, ResourceRef, Store};
use graph::{FOREGROUND, Graph, Node, ORPHAN, Owners, Step};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Objects worked on at a time, upstream's `--concurrent-gc-syncs`.
pub const WORKERS: usize = 20;
/// How long a resource that does not answer may hold up the others after discovery, as upstream's 30 s.
pub const SYNC_WAIT: Duration = Duration::from_secs(30);
/// Changes of the served resources come in bursts; one look at discovery serves a burst.
pub const DISCOVERY_REST: Duration = Duration::from_millis(500);

/// Events are not worth a node each, as upstream's default ignored resources.
const IGNORED: &[(&str, &str)] = &[("", "events"), ("events.k8s.io", "events")];

type Uids = Arc<Queue<String>>;
/// The caches of what is followed.
type Followed = BTreeMap<ResourceRef, Arc<Store<Partial>>>;

struct Collector {
    client: Client,
    graph: Mutex<Graph>,
    queue: Uids,
    /// Kind and group of every served resource, to find owners by reference.
    kinds: Mutex<BTreeMap<(String, String), ResourceRef>>,
    rediscover: Notify,
}

/// Runs the controller.
pub fn start(context: Context) -> Life {
    Box::pin(async move {
        let collector = Arc::new(Collector {
            client: context.client.clone(),
            graph: Mutex::default(),
            queue: Arc::default(),
            kinds: Mutex::default(),
            rediscover: Notify::new(),
        });
        let mut followed = BTreeMap::new();
        let look = |uid: String| {
            let collector = collector.clone();
            async move { collector.sync(&uid).await }
        };
        tokio::select! {
            () = context.stop.cancelled() => return,
            () = collector.begin(&context, &mut followed) => (),
        }
        collector.queue.count("garbage-collector", &context.settings.metrics);
        tokio::select! {
            () = work("garbage-collector", collector.queue.clone(), WORKERS, context.stop.clone(), look) => (),
            () = collector.follow_discovery(&context, followed) => (),
        }
    })
}

/// How long discovery rests after so many failures in a row; longer than a key of the queue, for it asks more.
fn rest(failures: u32) -> Duration {
    client::queue::RETRY.after(failures + 6)
}

fn is_watched(served: &client::discovery::Served) -> bool {
    let ignored = IGNORED.contains(&(served.resource.group.as_str(), served.resource.plural.as_str()));
    served.can(&["list", "watch", "delete"]) && !ignored
}

impl Collector {
    fn graph(&self) -> MutexGuard<'_, Graph> {
        self.graph.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows every deletable resource for the first time. What cannot be discovered yet is asked for again later, but
    /// without anything to follow there is nothing to begin with.
    async fn begin(self: &Arc<Collector>, context: &Context, followed: &mut Followed) {
        let mut failures = 0;
        loop {
            let all = self.look(context, followed).await;
            if all {
                return;
            }
            failures += 1;
            if !followed.is_empty() {
                return self.rediscover.notify_one();
            }
            tokio::time::sleep(rest(failures)).await;
        }
    }

    /// Looks again when definitions of resources change.
    async fn follow_discovery(self: &Arc<Collector>, context: &Context, mut followed: Followed) {
        let mut failures = 0;
        loop {
            self.rediscover.notified().await;
            tokio::time::sleep(DISCOVERY_REST).await;
            if self.look(context, &mut followed).await {
                failures = 0;
            } else {
                failures += 1;
                tokio::time::sleep(rest(failures)).await;
                self.rediscover.notify_one();
            }
        }
    }

    /// Follows what is served now. Whether all of it could be discovered.
    async fn look(self: &Arc<Collector>, context: &Context, followed: &mut Followed) -> bool {
        let all = match discover(&self.client).await {
            Ok(found) => {
                self.follow(context, &found, followed);
                found.failed.is_empty()
            }
            Err(status) => {
                tracing::warn!(%status, "what there is to collect could not be discovered");
                false
            }
        };
        let synced = futures_util::future::join_all(followed.values().map(|store| store.synced()));
        if tokio::time::timeout(SYNC_WAIT, synced).await.is_err() {
            tracing::warn!("collecting garbage although not every resource answers");
        }
        all
    }

    fn follow(self: &Arc<Collector>, context: &Context, found: &Discovered, followed: &mut Followed) {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        for served in &found.resources {
            kinds.insert((served.resource.group.clone(), served.resource.kind.clone()), served.resource.clone());
        }
        drop(kinds);
        let mut gone: Vec<ResourceRef> = followed.keys().cloned().collect();
        for served in found.resources.iter().filter(|s| is_watched(s)) {
            gone.retain(|resource| *resource != served.resource);
            if followed.contains_key(&served.resource) {
                continue;
            }
            let store = context.informers.metadata(&served.resource);
            self.listen(&served.resource, &store);
            followed.insert(served.resource.clone(), store);
        }
        for resource in gone {
            // A group that did not answer may come back; a resource that is no longer in its group's list will not.
            if found.failed.iter().any(|(group_version, _)| *group_version == resource.api_version()) {
                continue;
            }
            context.informers.close_metadata(&resource);
            followed.remove(&resource);
            let look = self.graph().forget_resource(&resource);
            look.into_iter().for_each(|uid| self.queue.add(uid));
        }
    }

    fn listen(self: &Arc<Collector>, resource: &ResourceRef, store: &Store<Partial>) {
        let (collector, resource) = (self.clone(), resource.clone());
        let defines = matches!(resource.plural.as_str(), "customresourcedefinitions" | "apiservices");
        store.on_change(move |change| {
            let look = match &change.new {
                Some(object) => collector.graph().observe(Node::of(&resource, object)),
                None => collector.graph().remove(change.latest().uid()),
            };
            look.into_iter().for_each(|uid| collector.queue.add(uid));
            if defines {
                collector.rediscover.notify_one();
            }
        });
    }

    async fn sync(&self, uid: &str) -> Result<After, Status> {
        let Some(node) = self.graph().node(uid) else { return Ok(After::Done) };
        let step = self.graph().step(&node);
        match step {
            Step::Nothing => Ok(After::Done),
            Step::Orphan(children) => {
                for child in children {
                    self.drop_owners(&child, std::slice::from_ref(&node.uid)).await?;
                }
                self.drop_finalizer(&node, ORPHAN).await
            }
            Step::Finish => self.drop_finalizer(&node, FOREGROUND).await,
            Step::Look(children) => {
                children.into_iter().for_each(|child| self.queue.add(child));
                Ok(After::Done)
            }
            Step::Weigh(owners) => self.weigh(&node, owners).await,
        }
    }

    /// Reads the newest state; an object that is gone or another one by now leaves the graph.
    async fn newest(&self, node: &Node) -> Result<Option<Partial>, Status> {
        let api = self.client.on::<Partial>(node.resource.clone()).metadata_only();
        let found = api.find(&node.namespace, &node.name).await?.filter(|o| o.uid() == node.uid);
        if found.is_none() {
            let look = self.graph().remove(&node.uid);
            look.into_iter().for_each(|uid| self.queue.add(uid));
        }
        Ok(found)
    }

    /// Decides about an object by its owners; those that the graph does not know are asked for.
    async fn weigh(&self, node: &Node, mut owners: Owners) -> Result<After, Status> {
        for reference in std::mem::take(&mut owners.unknown) {
            match self.ask(node, &reference).await? {
                Some(true) => owners.solid.push(reference),
                Some(false) => owners.dangling.push(reference),
                // Its kind is not served now; when it is, discovery wakes us.
                None => owners.solid.push(reference),
            }
        }
        if !owners.solid.is_empty() && owners.dangling.is_empty() && owners.waiting.is_empty() {
            return Ok(After::Done);
        }
        let Some(newest) = self.newest(node).await? else { return Ok(After::Done) };
        let now: Vec<&str> = newest.metadata.owner_references.iter().flatten().map(|o| o.uid.as_str()).collect();
        let seen: Vec<&str> = node.owners.iter().map(|o| o.uid.as_str()).collect();
        if now != seen {
            let look = self.graph().observe(Node::of(&node.resource, &newest));
            look.into_iter().for_each(|uid| self.queue.add(uid));
            return Err(Status::modified(&api::status::GroupName::new("", &node.resource.plural), &node.name));
        }
        if !owners.solid.is_empty() {
            let useless = owners.dangling.iter().chain(&owners.waiting).map(|o| o.uid.clone()).collect::<Vec<_>>();
            return self.drop_owners(node, &useless).await.map(|()| After::Done);
        }
        let how = match () {
            () if !owners.waiting.is_empty() && self.graph().has_children(&node.uid) => {
                if self.graph().may_be_circle(&node.uid) {
                    self.unblock(node).await?;
                }
                Propagation::Foreground
            }
            () if newest.has_finalizer(ORPHAN) => Propagation::Orphan,
            () if newest.has_finalizer(FOREGROUND) => Propagation::Foreground,
            () => Propagation::Background,
        };
        let options = DeleteOptions::only(&node.uid).propagate(how);
        let api = self.client.on::<Partial>(node.resource.clone());
        api.delete_if_there(&node.namespace, &node.name, &options).await?;
        tracing::debug!(resource = %node.resource, namespace = node.namespace, name = node.name, "collected");
        Ok(After::Done)
    }

    /// Whether an owner lives, as the server says; `None` when its kind is not served.
    async fn ask(&self, node: &Node, reference: &OwnerReference) -> Result<Option<bool>, Status> {
        let (group, version) = api::meta::split_api_version(&reference.api_version);
        let key = (group.to_owned(), reference.kind.clone());
        let resource = self.kinds.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let Some(mut resource) = resource else { return Ok(None) };
        version.clone_into(&mut resource.version);
        if resource.namespaced && node.namespace.is_empty() {
            // A cluster-scoped object cannot have such an owner; upstream leaves it alone for ever.
            return Ok(None);
        }
        let namespace = if resource.namespaced { node.namespace.as_str() } else { "" };
        let api = self.client.on::<Partial>(resource).metadata_only();
        let there = api.find(namespace, &reference.name).await?;
        Ok(Some(there.is_some_and(|owner| owner.uid() == reference.uid)))
    }

    async fn change(&self, node: &Node, change: impl Fn(&Partial) -> serde_json::Value) -> Result<(), Status> {
        let Some(newest) = self.newest(node).await? else { return Ok(()) };
        let mut patch = json!({"metadata": change(&newest)});
        patch["metadata"]["resourceVersion"] = json!(newest.resource_version());
        patch["metadata"]["uid"] = json!(newest.uid());
        let api = self.client.on::<Partial>(node.resource.clone()).metadata_only();
        match api.patch(&node.namespace, &node.name, "", &Patch::Merge(patch)).await {
            Err(status) if !status.is_not_found() => Err(status),
            _ => Ok(()),
        }
    }

    async fn drop_owners(&self, node: &Node, uids: &[String]) -> Result<(), Status> {
        let kept = |object: &Partial| {
            let all = object.metadata.owner_references.iter().flatten();
            json!({"ownerReferences": all.filter(|o| !uids.contains(&o.uid)).collect::<Vec<_>>()})
        };
        self.change(node, kept).await
    }

    async fn unblock(&self, node: &Node) -> Result<(), Status> {
        let open = |object: &Partial| {
            let mut all = object.metadata.owner_references.clone().unwrap_or_default();
            all.iter_mut().for_each(|o| o.block_owner_deletion = o.block_owner_deletion.map(|_| false));
            json!({"ownerReferences": all})
        };
        self.change(node, open).await
    }

    async fn drop_finalizer(&self, node: &Node, name: &str) -> Result<After, Status> {
        let kept = |object: &Partial| {
            let all = object.metadata.finalizers.iter().flatten();
            json!({"finalizers": all.filter(|f| *f != name).collect::<Vec<_>>()})
        };
        self.change(node, kept).await.map(|()| After::Done)
    }
}

#[cfg(test)]
mod tests;
