//! Waits until the CRI knows an image. It takes on what appears in containerd's image store of its own, on the event
//! that containerd sends (`CRIImageService.UpdateImage`), and a pod that asks for the image earlier would try a pull.

use super::fault::at;
use super::{Digest, Fault, Images};
use crate::cri::v1::image_service_client::ImageServiceClient;
use crate::cri::v1::{ImageSpec, ImageStatusRequest};
use std::time::{Duration, Instant};

/// The call, for faults.
const CALL: &str = "runtime.v1.ImageStatus";
/// How long the CRI may take. It needs some milliseconds; ten seconds are an engine in trouble.
const ADOPT_WAIT: Duration = Duration::from_secs(10);
/// The first pause between two questions; it doubles. The CRI announces nothing when it has taken an image on.
const FIRST_PAUSE: Duration = Duration::from_millis(4);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

impl Images {
    /// Waits until the CRI gives `id` for `name`.
    pub(super) async fn adopted(&self, name: &str, id: &Digest) -> Result<(), Fault> {
        let since = Instant::now();
        let mut pause = FIRST_PAUSE;
        while self.cri_id(name).await? != id.as_str() {
            if since.elapsed() > ADOPT_WAIT {
                let message = format!("the CRI has not taken {name} on within {} s", ADOPT_WAIT.as_secs());
                return Err(Fault::Failed { call: CALL, message });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Ok(())
    }

    /// What the CRI understands by a name; empty when it does not know it.
    async fn cri_id(&self, name: &str) -> Result<String, Fault> {
        let image = ImageSpec { image: name.to_owned(), ..ImageSpec::default() };
        let request = super::call(ImageStatusRequest { image: Some(image), verbose: false });
        let asked = ImageServiceClient::new(self.channel.clone()).image_status(request).await;
        let answer = asked.map_err(at(CALL))?.into_inner();
        Ok(answer.image.map(|image| image.id).unwrap_or_default())
    }
}
