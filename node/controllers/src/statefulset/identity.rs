//! What makes a pod of a StatefulSet the one it is: name, labels, host name, volumes.
//!
//! It must not know other pods.

use crate::history;
use crate::owner::controlled_by;
use client::Meta;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, PodTemplateSpec, Volume,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// The label with the pod's own name.
const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
/// The label with the pod's ordinal.
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// The name of the pod with an ordinal.
#[must_use]
pub fn name(set: &StatefulSet, ordinal: i32) -> String {
    format!("{}-{ordinal}", set.name())
}

/// The set's name and the ordinal in a pod's name.
#[must_use]
pub fn parent_and_ordinal(pod: &str) -> Option<(&str, i32)> {
    let (parent, digits) = pod.rsplit_once('-')?;
    (digits.bytes().all(|b| b.is_ascii_digit())).then(|| Some((parent, digits.parse().ok()?)))?
}

/// The claims of the pod with an ordinal.
#[must_use]
pub fn claims(set: &StatefulSet, ordinal: i32) -> Vec<PersistentVolumeClaim> {
    let Some(spec) = &set.spec else { return Vec::new() };
    let templates = spec.volume_claim_templates.iter().flatten();
    templates
        .map(|template| {
            let mut claim = template.clone();
            claim.status = None;
            let mut labels = claim.metadata.labels.take().unwrap_or_default();
            labels.extend(spec.selector.match_labels.clone().unwrap_or_default());
            claim.metadata = ObjectMeta {
                name: Some(format!("{}-{}", template.name(), name(set, ordinal))),
                namespace: Some(set.namespace().to_owned()),
                labels: Some(labels).filter(|l| !l.is_empty()),
                annotations: claim.metadata.annotations.take(),
                ..ObjectMeta::default()
            };
            claim
        })
        .collect()
}

/// The pod with an ordinal.
#[must_use]
pub fn pod(set: &StatefulSet, ordinal: i32, template: &PodTemplateSpec, revision: &str) -> Pod {
    let given = template.metadata.clone().unwrap_or_default();
    let name = name(set, ordinal);
    let mut labels = given.labels.unwrap_or_default();
    labels.insert(POD_NAME.to_owned(), name.clone());
    labels.insert(POD_INDEX.to_owned(), ordinal.to_string());
    labels.insert(history::LABEL.to_owned(), revision.to_owned());
    let mut spec = template.spec.clone().unwrap_or_default();
    spec.hostname = Some(name.clone());
    spec.subdomain = set.spec.as_ref().and_then(|s| s.service_name.clone()).filter(|s| !s.is_empty());
    let own = set.spec.iter().flat_map(|s| s.volume_claim_templates.iter().flatten());
    let own: Vec<Volume> = own
        .map(|template| Volume {
            name: template.name().to_owned(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: format!("{}-{name}", template.name()),
                read_only: None,
            }),
            ..Volume::default()
        })
        .collect();
    let mut volumes = spec.volumes.take().unwrap_or_default();
    volumes.retain(|volume| own.iter().all(|mine| mine.name != volume.name));
    volumes.extend(own);
    spec.volumes = Some(volumes).filter(|v| !v.is_empty());
    Pod {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(set.namespace().to_owned()),
            labels: Some(labels),
            annotations: given.annotations,
            finalizers: given.finalizers,
            owner_references: Some(vec![controlled_by(set)]),
            ..ObjectMeta::default()
        },
        spec: Some(spec),
        status: None,
    }
}
