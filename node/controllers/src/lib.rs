//! The controllers: one file each, one line each in [`CONTROLLERS`].
//!
//! Pure core: a `plan` (or its like) in every file. They must not know the API server or the store: they are clients
//! with users of their own, and pass authorization like any outsider.

mod backends;
mod clusterrole_aggregation;
pub mod context;
mod cronjob;
mod daemonset;
mod deployment;
mod disruption;
mod endpoints;
mod endpointslice;
mod endpointslice_mirroring;
mod ephemeral_volume;
mod garbage;
mod gate;
mod history;
mod job;
mod load_balancer;
pub mod metrics;
mod namespace;
mod node_lifecycle;
mod owner;
mod pod;
mod pod_gc;
mod replica;
mod replicaset;
mod replication;
mod resource_quota;
mod root_ca;
mod run;
mod serviceaccount;
mod slices;
mod statefulset;
mod status;
mod taint_eviction;
#[cfg(test)]
mod testing;
mod ttl;
mod volume_binder;
mod volume_protection;

pub use context::{Context, Life, Settings};
pub use gate::Gate;
pub use run::run;

/// One controller.
pub struct Controller {
    /// Its name, in logs and as the source of its events.
    pub name: &'static str,
    /// The service account in `kube-system` that it writes as; RBAC's bootstrap roles know these names.
    pub account: &'static str,
    /// Runs it until it is told to stop.
    pub start: fn(Context) -> Life,
    /// Whether it begins only when the machine is up: nobody waits for what it does.
    pub waits: bool,
}

impl Controller {
    /// This one, which begins when the machine is up.
    const fn later(self) -> Controller {
        Controller { waits: true, ..self }
    }
}

const fn controller(name: &'static str, account: &'static str, start: fn(Context) -> Life) -> Controller {
    Controller { name, account, start, waits: false }
}

/// All of them. The names of the accounts are upstream's.
pub const CONTROLLERS: &[Controller] = &[
    controller("namespace-controller", "namespace-controller", namespace::start),
    controller("serviceaccount-controller", "service-account-controller", serviceaccount::start),
    controller("root-ca-publisher", "root-ca-cert-publisher", root_ca::start),
    controller("deployment-controller", "deployment-controller", deployment::start),
    controller("replicaset-controller", "replicaset-controller", replicaset::start),
    controller("replication-controller", "replication-controller", replication::start),
    controller("statefulset-controller", "statefulset-controller", statefulset::start),
    controller("job-controller", "job-controller", job::start),
    controller("cronjob-controller", "cronjob-controller", cronjob::start).later(),
    controller("daemonset-controller", "daemon-set-controller", daemonset::start),
    controller("endpoint-controller", "endpoint-controller", endpoints::start),
    controller("endpointslice-controller", "endpointslice-controller", endpointslice::start),
    controller("service-lb-controller", "service-controller", load_balancer::start),
    controller("garbage-collector-controller", "generic-garbage-collector", garbage::start).later(),
    controller("node-controller", "node-controller", node_lifecycle::start),
    controller("persistentvolume-controller", "persistent-volume-binder", volume_binder::start).later(),
    controller("resourcequota-controller", "resourcequota-controller", resource_quota::start).later(),
    controller(
        "endpointslicemirroring-controller",
        "endpointslicemirroring-controller",
        endpointslice_mirroring::start,
    )
    .later(),
    controller("ephemeral-volume-controller", "ephemeral-volume-controller", ephemeral_volume::start).later(),
    controller("taint-eviction-controller", "taint-eviction-controller", taint_eviction::start).later(),
    controller("ttl-after-finished-controller", "ttl-after-finished-controller", ttl::start).later(),
    controller("pvc-protection-controller", "pvc-protection-controller", volume_protection::start_claims).later(),
    controller("pv-protection-controller", "pv-protection-controller", volume_protection::start_volumes).later(),
    controller("disruption-controller", "disruption-controller", disruption::start).later(),
    controller(
        "clusterrole-aggregation-controller",
        "clusterrole-aggregation-controller",
        clusterrole_aggregation::start,
    )
    .later(),
    controller("pod-garbage-collector", "pod-garbage-collector", pod_gc::start).later(),
];
