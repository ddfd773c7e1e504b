//! The ResourceQuota controller: keeps `status.used` true. Admission refuses what would exceed a quota; this controller
//! lowers the count again. Behaviour as upstream's `pkg/controller/resourcequota`.
//!
//! It must not refuse anything.

mod feeds;
mod usage;

use crate::context::{Context, Keys, Life};
use crate::status::write;
use api::Status;
use client::discovery::discover;
use client::{After, Meta, ObjectKey, Partial, Queue, ResourceRef, Store};
use feeds::{Counts, feed_limits, feed_quotas};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, ResourceQuota, ResourceQuotaStatus, Service};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Written;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use usage::Usage;

/// Resources that a quota counts under their old names.
const COUNTED: &[&str] =
    &["configmaps", "secrets", "replicationcontrollers", "resourcequotas", "persistentvolumeclaims"];

struct Shell<'a> {
    context: &'a Context,
    queue: &'a Keys,
    counts: Counts,
    quotas: &'a Arc<Store<ResourceQuota>>,
    pods: Arc<Store<Pod>>,
    services: Arc<Store<Service>>,
    claims: Arc<Store<PersistentVolumeClaim>>,
    /// Caches of what is only counted, by `plural.group`, opened when a quota first asks.
    counted: Mutex<BTreeMap<String, Arc<Store<Partial>>>>,
}

/// How long a count may stay wrong that no change corrected, as after a write that was counted and then refused;
/// upstream's default for its full recalculation.
const RECOUNT: Duration = Duration::from_mins(5);

/// Runs the controller.
pub fn start(context: Context) -> Life {
    Box::pin(async move {
        let queue: Keys = Arc::new(Queue::default());
        let quotas = context.informers.of::<ResourceQuota>();
        feed_limits(&quotas, &queue);
        let shell = Shell {
            context: &context,
            queue: &queue,
            counts: Counts::default(),
            quotas: &quotas,
            pods: context.informers.of(),
            services: context.informers.of(),
            claims: context.informers.of(),
            counted: Mutex::default(),
        };
        let fed = (&shell.counts, &queue);
        feed_quotas(&shell.pods, &quotas, fed, Usage::add_pod);
        feed_quotas(&shell.services, &quotas, fed, Usage::add_service);
        feed_quotas(&shell.claims, &quotas, fed, Usage::add_claim);
        quotas.synced().await;
        shell.pods.synced().await;
        shell.services.synced().await;
        shell.claims.synced().await;
        let look = |key: ObjectKey| {
            let (shell, quota) = (&shell, quotas.get(&key));
            async move {
                match quota {
                    Some(quota) if !quota.is_deleting() => shell.sync(&quota).await,
                    _ => {
                        shell.counts.forget(&key);
                        Ok(After::Done)
                    }
                }
            }
        };
        context.work("resourcequota", &queue, look).await;
    })
}

impl Shell<'_> {
    async fn sync(&self, quota: &ResourceQuota) -> Result<After, Status> {
        let hard = quota.spec.as_ref().and_then(|s| s.hard.clone()).unwrap_or_default();
        let namespace = quota.namespace();
        self.counts.begin(quota.key());
        let mut usage = Usage::new(quota, self.context.now());
        for pod in self.pods.in_namespace(namespace) {
            usage.add_pod(&pod);
        }
        for service in self.services.in_namespace(namespace) {
            usage.add_service(&service);
        }
        for claim in self.claims.in_namespace(namespace) {
            usage.add_claim(&claim);
        }
        for name in hard.keys() {
            let Some(resource) = counted_resource(name) else { continue };
            if let Some(store) = self.counted(&resource).await? {
                usage.count(name, store.in_namespace(namespace).len());
            }
        }
        let used = hard.keys().map(|name| (name.clone(), Written(usage.get(name).to_string()))).collect();
        let new = ResourceQuotaStatus { hard: Some(hard), used: Some(used) };
        let old = quota.status.clone().unwrap_or_default();
        let api = self.context.client.of::<ResourceQuota>();
        // Locked: admission may have counted more since the cache saw the quota.
        let written = write(&api, quota, &old, &new, true).await?;
        self.counts.end(quota.key(), written.as_ref().map_or(quota.revision(), Meta::revision));
        if let Some(written) = written {
            self.quotas.reached(written.revision()).await;
        }
        Ok(After::In(RECOUNT))
    }

    /// The cache of a resource that is only counted; `None` when it is not served.
    async fn counted(&self, name: &str) -> Result<Option<Arc<Store<Partial>>>, Status> {
        let known = self.counted.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if let Some(store) = known {
            store.synced().await;
            return Ok(Some(store));
        }
        let (plural, group) = name.split_once('.').unwrap_or((name, ""));
        let found = discover(&self.context.client).await?;
        let is_it = |r: &ResourceRef| r.plural == plural && r.group == group && r.namespaced;
        let Some(served) = found.resources.into_iter().find(|s| is_it(&s.resource) && s.can(&["list", "watch"])) else {
            return Ok(None);
        };
        let store = self.context.informers.metadata(&served.resource);
        let is_new = self
            .counted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.to_owned(), store.clone())
            .is_none();
        if is_new {
            feed_quotas(&store, self.quotas, (&self.counts, self.queue), |_, _| ());
        }
        store.synced().await;
        Ok(Some(store))
    }
}

/// `plural.group` of what a quota's name counts, if it counts objects.
fn counted_resource(name: &str) -> Option<String> {
    match name.strip_prefix("count/") {
        Some(resource) => Some(resource.to_owned()),
        None => COUNTED.contains(&name).then(|| name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{context, serves, until_writes_end};
    use client::fake::Fake;
    use serde_json::json;

    #[tokio::test(start_paused = true)]
    async fn a_quota_counts_what_is_there_and_lets_go_of_what_went() {
        let server = Fake::new();
        serves(&server, &[("secrets", "Secret")]);
        let quota: ResourceQuota = serde_json::from_value(json!({"metadata": {"name": "q", "namespace": "a"}, "spec":
            {"hard": {"pods": "5", "requests.cpu": "2", "memory": "1Gi", "secrets": "3", "services.nodeports": "1"}}}))
        .unwrap();
        server.put(&quota);
        let pod = |name: &str| -> Pod {
            serde_json::from_value(json!({"metadata": {"name": name, "namespace": "a"}, "spec": {"containers": [
                {"name": "c", "resources": {"requests": {"cpu": "300m", "memory": "64Mi"}}}]}}))
            .unwrap()
        };
        server.put(&pod("x"));
        server.put(&pod("y"));
        let (context, stop) = context(&server);
        let life = tokio::spawn(start(context));
        until_writes_end(&server).await;
        let used =
            |server: &Fake| serde_json::to_value(server.all::<ResourceQuota>().remove(0).status.unwrap().used).unwrap();
        let both =
            json!({"pods": "2", "requests.cpu": "600m", "memory": "128Mi", "secrets": "0", "services.nodeports": "0"});
        assert_eq!(used(&server), both);
        // As admission counts, before what it admitted is there.
        let admitted = client::Patch::Merge(json!({"status": {"used": {"pods": "3"}}}));
        server.client().of::<ResourceQuota>().patch("a", "q", "status", &admitted).await.unwrap();
        until_writes_end(&server).await;
        assert_eq!(used(&server)["pods"], "3");
        server.client().of::<Pod>().delete("a", "x", &client::DeleteOptions::default()).await.unwrap();
        until_writes_end(&server).await;
        assert_eq!(used(&server)["requests.cpu"], "300m");
        assert_eq!(used(&server)["pods"], "1");
        stop.cancel();
        life.await.unwrap();
    }
}
