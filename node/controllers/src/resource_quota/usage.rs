//! What objects use of a quota. Pure; rules of upstream's `pkg/quota/v1/evaluator/core`.
//!
//! It must not know how objects are found.

use crate::context::{span, tree};
use crate::pod::is_finished;
use api::Quantity;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, Pod, ResourceQuota, ScopedResourceSelectorRequirement, Service,
};
use pods::{Options, QosClass, pod_limits, pod_requests, qos_class};
use std::collections::BTreeMap;

/// Resources that also count under their plain name.
const PLAIN: &[&str] = &["cpu", "memory", "ephemeral-storage"];

/// What is used so far.
#[derive(PartialEq)]
pub struct Usage {
    scopes: Vec<ScopedResourceSelectorRequirement>,
    used: BTreeMap<String, Quantity>,
    now: Timestamp,
}

impl Usage {
    /// Nothing is used yet.
    #[must_use]
    pub fn new(quota: &ResourceQuota, now: Timestamp) -> Usage {
        let spec = quota.spec.clone().unwrap_or_default();
        let plain = spec.scopes.unwrap_or_default().into_iter().map(|scope_name| ScopedResourceSelectorRequirement {
            operator: "Exists".to_owned(),
            scope_name,
            values: None,
        });
        let chosen = spec.scope_selector.and_then(|s| s.match_expressions).unwrap_or_default();
        Usage { scopes: plain.chain(chosen).collect(), used: BTreeMap::new(), now }
    }

    /// What is used of one thing.
    #[must_use]
    pub fn get(&self, name: &str) -> Quantity {
        self.used.get(name).cloned().unwrap_or_else(Quantity::zero)
    }

    fn add(&mut self, name: &str, amount: &Quantity) {
        let there = self.get(name);
        // A sum keeps the notation of what it began with, and nothing has none of its own.
        let sum = if there.is_zero() { amount.clone() } else { there.plus(amount) };
        self.used.insert(name.to_owned(), sum);
    }

    fn add_number(&mut self, name: &str, number: usize) {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        self.add(name, &Quantity::from_int(number, Quantity::zero().format()));
    }

    /// Sets the number of objects of a kind that is only counted; a quota with scopes counts none of them.
    pub fn count(&mut self, name: &str, objects: usize) {
        if name == "count/pods" && !self.scopes.is_empty() {
            return;
        }
        if self.scopes.is_empty() && !self.used.contains_key(name) {
            self.add_number(name, objects);
        }
    }

    /// Counts a pod, unless it is over or should be gone by now.
    pub fn add_pod(&mut self, pod: &Pod) {
        let object = tree(pod);
        if !self.scopes.iter().all(|scope| in_scope(scope, pod, &object)) {
            return;
        }
        let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
        let stuck = pod.metadata.deletion_timestamp.as_ref().is_some_and(|at| at.0 + span(grace) < self.now);
        if !self.scopes.is_empty() {
            self.add_number("count/pods", 1);
        }
        if is_finished(pod) || stuck {
            return;
        }
        self.add_number("pods", 1);
        let options = Options { use_status: true, ..Options::default() };
        // Stored pods were validated; one that cannot be read uses nothing that could be counted.
        for (name, amount) in pod_requests(&object, &options).unwrap_or_default() {
            self.add(&format!("requests.{name}"), &amount);
            if PLAIN.contains(&name.as_str()) || name.starts_with("hugepages-") {
                self.add(&name, &amount);
            }
        }
        for (name, amount) in pod_limits(&object, &options).unwrap_or_default() {
            self.add(&format!("limits.{name}"), &amount);
        }
    }

    /// Counts a Service with its node ports and load balancer.
    pub fn add_service(&mut self, service: &Service) {
        if !self.scopes.is_empty() {
            return;
        }
        let spec = service.spec.clone().unwrap_or_default();
        let ports = spec.ports.unwrap_or_default();
        self.add_number("services", 1);
        let kind = spec.type_.unwrap_or_default();
        let balanced = kind == "LoadBalancer";
        if balanced && spec.allocate_load_balancer_node_ports == Some(false) {
            self.add_number("services.nodeports", ports.iter().filter(|p| p.node_port.unwrap_or(0) != 0).count());
        } else if balanced || kind == "NodePort" {
            self.add_number("services.nodeports", ports.len());
        }
        self.add_number("services.loadbalancers", usize::from(balanced));
    }

    /// Counts what a claim asks for, in all and of its class.
    pub fn add_claim(&mut self, claim: &PersistentVolumeClaim) {
        if !self.scopes.is_empty() {
            return;
        }
        let spec = claim.spec.as_ref();
        let class = spec.and_then(|s| s.storage_class_name.as_deref()).unwrap_or_default();
        let asked = spec.and_then(|s| s.resources.as_ref()?.requests.as_ref()?.get("storage"));
        let asked = asked.and_then(|q| Quantity::parse(&q.0).ok());
        let of_class = |what: &str| format!("{class}.storageclass.storage.k8s.io/{what}");
        if let Some(asked) = &asked {
            self.add("requests.storage", asked);
        }
        if !class.is_empty() {
            self.add_number(&of_class("persistentvolumeclaims"), 1);
            if let Some(asked) = &asked {
                self.add(&of_class("requests.storage"), asked);
            }
        }
    }
}

fn in_scope(scope: &ScopedResourceSelectorRequirement, pod: &Pod, object: &api::Tree) -> bool {
    let spec = pod.spec.as_ref();
    let limited = spec.and_then(|s| s.active_deadline_seconds).is_some_and(|s| s >= 0);
    let best_effort = || qos_class(object).is_ok_and(|class| class == QosClass::BestEffort);
    match scope.scope_name.as_str() {
        "Terminating" => limited,
        "NotTerminating" => !limited,
        "BestEffort" => best_effort(),
        "NotBestEffort" => !best_effort(),
        "PriorityClass" => {
            let class = spec.and_then(|s| s.priority_class_name.clone()).unwrap_or_default();
            let listed = scope.values.iter().flatten().any(|v| *v == class);
            match scope.operator.as_str() {
                "Exists" => !class.is_empty(),
                "DoesNotExist" => class.is_empty(),
                "In" => listed,
                "NotIn" => !listed,
                _ => false,
            }
        }
        "CrossNamespacePodAffinity" => crosses_namespaces(object),
        _ => false,
    }
}

fn crosses_namespaces(pod: &api::Tree) -> bool {
    let crosses = |term: &api::Tree| {
        !term.list_at(&["namespaces"]).is_empty() || term.get("namespaceSelector").is_some_and(|s| !s.is_null())
    };
    ["podAffinity", "podAntiAffinity"].iter().any(|side| {
        let at = |how: &str| pod.list_at(&["spec", "affinity", side, how]).to_vec();
        let hard = at("requiredDuringSchedulingIgnoredDuringExecution");
        let soft = at("preferredDuringSchedulingIgnoredDuringExecution");
        hard.iter().any(crosses) || soft.iter().filter_map(|t| t.get("podAffinityTerm")).any(crosses)
    })
}
