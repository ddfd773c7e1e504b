//! Another name for an image, and an image from a registry.

use super::fault::at;
use super::manifest::Descriptor;
use super::{Fault, Images, call, normalise};
use crate::cri::v1::image_service_client::ImageServiceClient;
use crate::cri::v1::{ImageSpec, PullImageRequest};
use containerd_client::services::v1::GetImageRequest;
use std::collections::HashMap;
use std::time::Duration;

/// How long a pull may take: gigabytes over a slow line.
const PULL_WAIT: Duration = Duration::from_secs(3600);

impl Images {
    /// Gives an image, by name or ID, one more name, which another image may have had; the name written out.
    ///
    /// # Errors
    /// `Invalid` when the new name is none, `NotFound` when there is no such image; what containerd says.
    pub async fn tag(&self, source: &str, name: &str) -> Result<String, Fault> {
        let name = normalise(name)?;
        let images = self.inventory().await?;
        let image = super::remove::find(&images, source)?;
        let record = image.records.first().expect("an image is known by its records").clone();
        let record = self.client().images().get(call(GetImageRequest { name: record })).await;
        let target = record.map_err(at("images.Get"))?.into_inner().image.and_then(|image| image.target);
        let target = target.as_ref().and_then(Descriptor::from_containerd);
        let target = target.ok_or_else(|| Fault::NotFound(format!("{source} has gone meanwhile")))?;
        self.record(&name, &target, &HashMap::new()).await?;
        self.adopted(&name, &image.id).await?;
        Ok(name)
    }

    /// Has the CRI pull an image from its registry, without credentials; its ID.
    ///
    /// # Errors
    /// `Invalid` when it is no name; what the engine says of the registry.
    pub async fn pull(&self, name: &str) -> Result<String, Fault> {
        let name = normalise(name)?;
        let image = Some(ImageSpec { image: name.clone(), user_specified_image: name, ..ImageSpec::default() });
        let mut request = call(PullImageRequest { image, ..PullImageRequest::default() });
        request.set_timeout(PULL_WAIT);
        let pulled = ImageServiceClient::new(self.channel.clone()).pull_image(request).await;
        Ok(pulled.map_err(at("runtime.v1.PullImage"))?.into_inner().image_ref)
    }
}
