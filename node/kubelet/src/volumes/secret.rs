//! `secret`: the keys of a Secret as files, in memory: no secret lies on the disk.

use super::files;
use super::keyed::{self, MODE, NO_SECRET_KEY, Wanted};
use super::plugin::{Job, Work};

/// See [`super::Plugin::set_up`].
pub fn set_up(job: Job<'_>) -> Work<'_> {
    Box::pin(async move {
        let source = job.volume.secret.clone().unwrap_or_default();
        let optional = source.optional == Some(true);
        let name = source.secret_name.unwrap_or_default();
        let values = keyed::secret(&job, &name, optional).await?;
        let items = source.items.as_deref().unwrap_or_default();
        let mode = source.default_mode.unwrap_or(MODE);
        let payload = keyed::payload(&values, &Wanted { items, mode, optional, complaint: NO_SECRET_KEY })?;
        files::bring(&job, "secret", true, payload).await
    })
}
