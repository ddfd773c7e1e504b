//! What a pod asks for, wherever it stands: in a pod or in the template of a workload. Defaults and faults of
//! `k8s.io/kubernetes/pkg/apis/core`, for all kinds that hold a pod spec. It must not know those kinds.

mod affinity;
mod containers;
mod defaults;
mod env;
mod handlers;
mod metadata;
mod network;
mod paths;
mod resources;
mod scheduling;
mod security;
mod volume_defaults;
mod volumes;

pub use containers::padded_images;
pub use defaults::{default_spec, default_template};
pub use metadata::{annotation_changes, annotations};
pub use resources::{quantity, resource_name};
pub use scheduling::{only_added_tolerations, only_removed_gates, take_label_keys};

use super::place::{INT32_MAX, Place};
use crate::rules::Faults;

/// Where a pod spec stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Holder<'a> {
    /// In a pod of this name.
    Pod(&'a str),
    /// In a template.
    Template,
}

const RESTART: &[&str] = &["Always", "OnFailure", "Never"];
const DNS: &[&str] = &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];

/// Faults of a pod spec.
pub fn validate(spec: &Place, holder: Holder, faults: &mut Faults) {
    let grace = spec.at("terminationGracePeriodSeconds");
    if !grace.given() {
        grace.required(faults, "");
    }
    let volumes = volumes::validate(&spec.at("volumes"), holder, faults);
    claims(&spec.at("resourceClaims"), faults);
    containers::validate(spec, &volumes, faults);
    resources::of_pod(spec, faults);
    network::host_ports(spec, holder, faults);
    spec.at("restartPolicy").must_be_one_of(faults, RESTART);
    spec.at("dnsPolicy").must_be_one_of(faults, DNS);
    spec.at("nodeSelector").labels(faults);
    security::of_pod(spec, faults);
    affinity::validate(&spec.at("affinity"), faults);
    network::dns(&spec.at("dnsConfig"), spec.at("dnsPolicy").text(), faults);
    for gate in spec.at("readinessGates").items() {
        let condition = gate.at("conditionType");
        condition.invalid_for(faults, api::names::label_key(condition.text()));
    }
    scheduling::gates(&spec.at("schedulingGates"), faults);
    scheduling::spread(&spec.at("topologySpreadConstraints"), faults);
    security::host_users(spec, faults);
    network::hostname(spec, faults);
    names(spec, faults);
    scheduling::tolerations(&spec.at("tolerations"), faults);
    network::aliases(&spec.at("hostAliases"), faults);
    if spec.at("preemptionPolicy").given() {
        spec.at("preemptionPolicy").must_be_one_of(faults, &["PreemptLowerPriority", "Never"]);
    }
    for (name, amount) in spec.at("overhead").entries() {
        resource_name(name, &amount.path, faults);
        quantity(name, &amount, faults);
    }
    security::os(spec, faults);
    env::files(spec, faults);
}

/// Faults of names of other objects and of the deadline.
fn names(spec: &Place, faults: &mut Faults) {
    use api::names::{dns1123_label, dns1123_subdomain};
    spec.at("serviceAccountName").may_pass(faults, dns1123_subdomain);
    spec.at("nodeName").may_pass(faults, dns1123_subdomain);
    spec.at("activeDeadlineSeconds").within(faults, 1, INT32_MAX);
    spec.at("hostname").may_pass(faults, dns1123_label);
    spec.at("subdomain").may_pass(faults, dns1123_label);
    spec.at("priorityClassName").may_pass(faults, dns1123_subdomain);
    if spec.at("runtimeClassName").given() {
        let class = spec.at("runtimeClassName");
        class.invalid_for(faults, dns1123_subdomain(class.text()));
    }
}

/// Faults of the claims of devices.
fn claims(claims: &Place, faults: &mut Faults) {
    let mut seen = Vec::new();
    for claim in claims.items() {
        let name = claim.at("name");
        name.must_pass(faults, api::names::dns1123_label);
        if seen.contains(&name.text()) {
            name.duplicate(faults);
        }
        seen.push(name.text());
        let (direct, template) = (claim.at("resourceClaimName"), claim.at("resourceClaimTemplateName"));
        match (direct.given(), template.given()) {
            (true, true) => {
                let both = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
                claim.invalid(faults, both);
            }
            (false, false) => {
                claim.invalid(faults, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`")
            }
            _ => [direct, template].iter().for_each(|name| name.may_pass(faults, api::names::dns1123_subdomain)),
        }
    }
}

/// Faults of a pod template.
pub fn validate_template(template: &Place, faults: &mut Faults) {
    let metadata = template.at("metadata");
    metadata.at("labels").labels(faults);
    metadata::annotation_keys(&metadata.at("annotations"), faults);
    annotations(&metadata.at("annotations"), template.at("spec").value, faults);
    validate(&template.at("spec"), Holder::Template, faults);
    let ephemeral = template.down(&["spec", "ephemeralContainers"]);
    if ephemeral.len() > 0 {
        ephemeral.forbidden(faults, "ephemeral containers not allowed in pod template");
    }
}

#[cfg(test)]
mod tests;
