//! `configMap`: the keys of a ConfigMap as files.

use super::files;
use super::keyed::{self, MODE, NO_CONFIG_KEY, Wanted};
use super::plugin::{Job, Work};

/// See [`super::Plugin::set_up`].
pub fn set_up(job: Job<'_>) -> Work<'_> {
    Box::pin(async move {
        let source = job.volume.config_map.clone().unwrap_or_default();
        let optional = source.optional == Some(true);
        let values = keyed::config_map(&job, &source.name, optional).await?;
        let items = source.items.as_deref().unwrap_or_default();
        let mode = source.default_mode.unwrap_or(MODE);
        let payload = keyed::payload(&values, &Wanted { items, mode, optional, complaint: NO_CONFIG_KEY })?;
        files::bring(&job, "configmap", false, payload).await
    })
}
