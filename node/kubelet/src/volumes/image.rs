//! `image`: an image or artefact as a folder. The runtime mounts it; here it only gets its name.

use super::plugin::{Job, Place, Work};

/// See [`super::Plugin::set_up`].
pub fn set_up(job: Job<'_>) -> Work<'_> {
    Box::pin(async move {
        let reference = job.volume.image.as_ref().and_then(|image| image.reference.clone()).unwrap_or_default();
        if reference.is_empty() {
            Err("image volume without a reference".to_owned())
        } else {
            Ok(Place::Image { reference })
        }
    })
}
