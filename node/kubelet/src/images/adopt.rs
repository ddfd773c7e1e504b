//! Waits until the CRI knows an image. It takes on what appears in containerd's image store of its own, on the event
//! that containerd sends (`CRIImageService.UpdateImage`), and a pod that asks for the image earlier would try a pull.

use super::fault::at;
use super::{Digest, Fault, Images};
use std::time::{Duration, Instant};
use tonic::codegen::http::uri::PathAndQuery;

/// How long the CRI may take. It needs some milliseconds; ten seconds are an engine in trouble.
const ADOPT_WAIT: Duration = Duration::from_secs(10);
/// The first pause between two questions; it doubles. The CRI announces nothing when it has taken an image on.
const FIRST_PAUSE: Duration = Duration::from_millis(4);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// `runtime.v1.ImageStatusRequest`, as far as it is needed.
#[derive(Clone, PartialEq, prost::Message)]
struct ImageStatusRequest {
    #[prost(message, optional, tag = "1")]
    image: Option<ImageSpec>,
}

/// `runtime.v1.ImageSpec`, as far as it is needed.
#[derive(Clone, PartialEq, prost::Message)]
struct ImageSpec {
    #[prost(string, tag = "1")]
    image: String,
}

/// `runtime.v1.ImageStatusResponse`, as far as it is needed.
#[derive(Clone, PartialEq, prost::Message)]
struct ImageStatusResponse {
    #[prost(message, optional, tag = "1")]
    image: Option<Known>,
}

/// `runtime.v1.Image`, as far as it is needed.
#[derive(Clone, PartialEq, prost::Message)]
struct Known {
    #[prost(string, tag = "1")]
    id: String,
}

impl Images {
    /// Waits until the CRI gives `id` for `name`.
    pub(super) async fn adopted(&self, name: &str, id: &Digest) -> Result<(), Fault> {
        let since = Instant::now();
        let mut pause = FIRST_PAUSE;
        while self.cri_id(name).await? != id.as_str() {
            if since.elapsed() > ADOPT_WAIT {
                let message = format!("the CRI has not taken {name} on within {} s", ADOPT_WAIT.as_secs());
                return Err(Fault::Failed { call: "runtime.v1.ImageStatus", message });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Ok(())
    }

    /// What the CRI understands by a name; empty when it does not know it.
    async fn cri_id(&self, name: &str) -> Result<String, Fault> {
        const CALL: &str = "runtime.v1.ImageStatus";
        let mut client = tonic::client::Grpc::new(self.channel.clone());
        let down = |error: tonic::transport::Error| Fault::Unavailable { call: CALL, message: error.to_string() };
        client.ready().await.map_err(down)?;
        let request = super::call(ImageStatusRequest { image: Some(ImageSpec { image: name.to_owned() }) });
        let codec = tonic_prost::ProstCodec::<ImageStatusRequest, ImageStatusResponse>::default();
        let path = PathAndQuery::from_static("/runtime.v1.ImageService/ImageStatus");
        let answer = client.unary(request, path, codec).await.map_err(at(CALL))?.into_inner();
        Ok(answer.image.map(|image| image.id).unwrap_or_default())
    }
}
