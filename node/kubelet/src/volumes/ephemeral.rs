//! `ephemeral`: a claim of the pod's own, named `POD-VOLUME`, which a controller makes and which goes with the pod.

use super::claim::{self, Asked};
use super::plugin::{Job, Work};
use client::Meta;

/// See [`super::Plugin::set_up`].
pub fn set_up(job: Job<'_>) -> Work<'_> {
    let name = format!("{}-{}", job.pod.name(), job.volume.name);
    Box::pin(async move { claim::bring(&job, Asked { name: &name, read_only: false, owned: true }).await })
}
