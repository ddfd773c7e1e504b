//! `downwardAPI`: what the pod may know of itself as files.

use super::atomic::{File, Payload};
use super::files;
use super::keyed::{MODE, bits};
use super::plugin::{Job, Work};
use crate::env::{Facts, metadata_field, resource};
use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, Pod};

/// See [`super::Plugin::set_up`].
pub fn set_up(job: Job<'_>) -> Work<'_> {
    Box::pin(async move {
        let source = job.volume.downward_api.clone().unwrap_or_default();
        let items = source.items.as_deref().unwrap_or_default();
        let payload = payload(job.pod, items, source.default_mode.unwrap_or(MODE), job.facts)?;
        files::bring(&job, "downward-api", true, payload).await
    })
}

/// The files. Pure.
///
/// # Errors
/// All fields that there are not, in upstream's words.
pub fn payload(pod: &Pod, items: &[DownwardAPIVolumeFile], mode: i32, facts: &Facts) -> Result<Payload, String> {
    let mut payload = Payload::new();
    let mut wrong = Vec::new();
    for item in items {
        let text = match (&item.field_ref, &item.resource_field_ref) {
            (Some(field), _) => metadata_field(pod, &field.field_path),
            (None, Some(selector)) => resource(pod, selector, None, &facts.allocatable),
            (None, None) => Ok(String::new()),
        };
        match text {
            Ok(text) => {
                let file = File { data: text.into_bytes(), mode: bits(item.mode.unwrap_or(mode)), owner: None };
                payload.insert(item.path.clone(), file);
            }
            Err(why) => wrong.push(why),
        }
    }
    if wrong.is_empty() { Ok(payload) } else { Err(wrong.join(", ")) }
}
