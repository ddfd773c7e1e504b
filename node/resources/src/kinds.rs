//! The table of kinds: which have rules of their own. A kind that is not named here is plain. One file, one line.

mod address;
mod admission_rules;
mod certificatesigningrequests;
mod componentstatuses;
mod configs;
mod csidrivers;
mod csinodes;
mod csistoragecapacities;
mod deployments;
mod dynamic_resources;
mod endpoints;
mod endpointslices;
mod events;
mod extensions;
mod flowschemas;
mod horizontalpodautoscalers;
mod ingressclasses;
mod ingresses;
mod ipaddresses;
mod jobs;
mod labels_text;
mod leases;
mod limitranges;
mod metrics;
mod namespaces;
mod networkpolicies;
mod nodes;
mod persistentvolumeclaims;
mod persistentvolumes;
mod place;
mod pod_spec;
mod poddisruptionbudgets;
mod pods;
mod priorityclasses;
mod prioritylevelconfigurations;
mod rbac;
mod replicasets;
mod runtimeclasses;
mod serviceaccounts;
mod servicecidrs;
mod services;
mod statefulsets;
mod storage;
mod storageclasses;
mod templates;
mod volumeattachments;
mod volumeattributesclasses;
mod workloads;

use crate::facts::RESOURCES;
use crate::kind::{Conversion, Kind};
use crate::rules::{PLAIN, Rules};

pub use pods::{EPHEMERAL_CONTAINERS, RESIZE};

/// Group, plural, rules.
const SPECIAL: &[(&str, &str, &Rules)] = &[
    ("", "configmaps", &configs::RULES),
    ("", "podtemplates", &templates::RULES),
    ("", "replicationcontrollers", &replicasets::CONTROLLERS),
    ("", "secrets", &configs::SECRETS),
    ("apps", "controllerrevisions", &templates::REVISIONS),
    ("apps", "daemonsets", &statefulsets::DAEMONS),
    ("apps", "deployments", &deployments::RULES),
    ("apps", "replicasets", &replicasets::RULES),
    ("apps", "statefulsets", &statefulsets::RULES),
    ("batch", "cronjobs", &jobs::CRON),
    ("batch", "jobs", &jobs::RULES),
    ("", "componentstatuses", &componentstatuses::RULES),
    ("", "endpoints", &endpoints::RULES),
    ("", "events", &events::RULES),
    ("", "limitranges", &limitranges::RULES),
    ("", "namespaces", &namespaces::RULES),
    ("", "nodes", &nodes::RULES),
    ("", "persistentvolumeclaims", &persistentvolumeclaims::RULES),
    ("", "persistentvolumes", &persistentvolumes::RULES),
    ("", "pods", &pods::RULES),
    ("", "resourcequotas", &serviceaccounts::QUOTAS),
    ("", "serviceaccounts", &serviceaccounts::RULES),
    ("", "services", &services::RULES),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicies", &admission_rules::MUTATING),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings", &admission_rules::BINDINGS),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations", &admission_rules::MUTATING_HOOKS),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies", &admission_rules::VALIDATING),
    ("admissionregistration.k8s.io", "validatingadmissionpolicybindings", &admission_rules::BINDINGS),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations", &admission_rules::VALIDATING_HOOKS),
    ("apiextensions.k8s.io", "customresourcedefinitions", &extensions::DEFINITIONS),
    ("apiregistration.k8s.io", "apiservices", &extensions::SERVICES),
    ("autoscaling", "horizontalpodautoscalers", &horizontalpodautoscalers::RULES),
    ("certificates.k8s.io", "certificatesigningrequests", &certificatesigningrequests::RULES),
    ("coordination.k8s.io", "leases", &leases::RULES),
    ("discovery.k8s.io", "endpointslices", &endpointslices::RULES),
    ("events.k8s.io", "events", &events::RULES),
    ("flowcontrol.apiserver.k8s.io", "flowschemas", &flowschemas::RULES),
    ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations", &prioritylevelconfigurations::RULES),
    ("metrics.k8s.io", "nodes", &metrics::RULES),
    ("metrics.k8s.io", "pods", &metrics::RULES),
    ("networking.k8s.io", "ingressclasses", &ingressclasses::RULES),
    ("networking.k8s.io", "ingresses", &ingresses::RULES),
    ("networking.k8s.io", "ipaddresses", &ipaddresses::RULES),
    ("networking.k8s.io", "networkpolicies", &networkpolicies::RULES),
    ("networking.k8s.io", "servicecidrs", &servicecidrs::RULES),
    ("node.k8s.io", "runtimeclasses", &runtimeclasses::RULES),
    ("policy", "poddisruptionbudgets", &poddisruptionbudgets::RULES),
    ("rbac.authorization.k8s.io", "clusterrolebindings", &rbac::CLUSTER_ROLE_BINDINGS),
    ("rbac.authorization.k8s.io", "clusterroles", &rbac::CLUSTER_ROLES),
    ("rbac.authorization.k8s.io", "rolebindings", &rbac::ROLE_BINDINGS),
    ("rbac.authorization.k8s.io", "roles", &rbac::ROLES),
    ("resource.k8s.io", "deviceclasses", &dynamic_resources::CLASSES),
    ("resource.k8s.io", "resourceclaims", &dynamic_resources::CLAIMS),
    ("resource.k8s.io", "resourceclaimtemplates", &dynamic_resources::TEMPLATES),
    ("resource.k8s.io", "resourceslices", &dynamic_resources::SLICES),
    ("scheduling.k8s.io", "priorityclasses", &priorityclasses::RULES),
    ("storage.k8s.io", "csidrivers", &csidrivers::RULES),
    ("storage.k8s.io", "csinodes", &csinodes::RULES),
    ("storage.k8s.io", "csistoragecapacities", &csistoragecapacities::RULES),
    ("storage.k8s.io", "storageclasses", &storageclasses::RULES),
    ("storage.k8s.io", "volumeattachments", &volumeattachments::RULES),
    ("storage.k8s.io", "volumeattributesclasses", &volumeattributesclasses::RULES),
];

/// Group, version, plural, and how that version differs from what is stored.
const CONVERTED: &[(&str, &str, &str, &Conversion)] = &[
    ("autoscaling", "v1", "horizontalpodautoscalers", &horizontalpodautoscalers::VERSION_1),
    ("events.k8s.io", "v1", "events", &events::SECOND_FACE),
];

/// All built-in resources.
#[must_use]
pub fn kinds() -> Vec<Kind> {
    let kind = |fact: &'static schema::facts::ResourceFact| {
        let (group, version, plural) = (fact.gvk.group, fact.gvk.version, fact.plural);
        let rules = SPECIAL.iter().find(|(g, p, _)| *g == group && *p == plural).map_or(&PLAIN, |(_, _, rules)| *rules);
        let conversion = CONVERTED.iter().find(|(g, v, p, _)| *g == group && *v == version && *p == plural);
        Kind { fact, rules, conversion: conversion.map(|(.., conversion)| *conversion) }
    };
    RESOURCES.iter().map(kind).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_a_cell_for_each_column() {
        let object = api::tree!({"metadata": {"name": "x", "creationTimestamp": "2026-01-02T03:04:05Z"}});
        for kind in kinds().iter().filter(|kind| !kind.fact.columns.is_empty()) {
            let cells = (kind.rules.cells)(&object, 1_767_323_106);
            assert_eq!(cells.len(), kind.fact.columns.len(), "{}", kind.fact.plural);
            let age = kind.fact.columns.iter().position(|column| column.name == "Age");
            assert!(age.is_none_or(|at| cells[at].as_str() == Some("61s")), "the age of {}", kind.fact.plural);
        }
    }

    #[test]
    fn every_line_of_the_tables_names_a_resource_once() {
        let mut seen = Vec::new();
        for (group, plural, _) in SPECIAL {
            assert!(RESOURCES.iter().any(|r| r.gvk.group == *group && r.plural == *plural), "{plural}.{group}");
            assert!(!seen.contains(&(group, plural)), "{plural}.{group} is there twice");
            seen.push((group, plural));
        }
        for (group, version, plural, _) in CONVERTED {
            assert!(crate::facts::resource(group, version, plural).is_some(), "{plural}.{version}.{group}");
        }
    }
}
