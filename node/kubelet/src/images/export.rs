//! An image as the way out sees it: which blobs it is made of, and their content.

use super::fault::found;
use super::manifest::{Descriptor, MANIFEST_BYTES_MAX, Manifest, choose};
use super::resolve::DEPTH_MAX;
use super::{Digest, Fault, Images, call};
use bytes::Bytes;
use containerd_client::services::v1::ReadContentRequest;
use futures_util::{Stream, StreamExt};
use serde::Serialize;

/// What an image is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Contents {
    /// Its names, written out.
    pub names: Vec<String>,
    /// Its manifest for this machine.
    pub manifest: Descriptor,
    /// Its configuration.
    pub config: Descriptor,
    /// Its layers, the lowest first.
    pub layers: Vec<Descriptor>,
}

impl Images {
    /// What the image of this name or ID is made of.
    ///
    /// # Errors
    /// `NotFound` when there is none, or when parts of it are not on this machine; what containerd says.
    pub async fn contents(&self, what: &str) -> Result<Contents, Fault> {
        let images = self.inventory().await?;
        let image = super::remove::find(&images, what)?;
        let absent = || Fault::NotFound(format!("{what} is not on this machine as a whole"));
        let mut digest = image.target.clone();
        for _ in 0..DEPTH_MAX {
            let bytes = self.read(&digest, MANIFEST_BYTES_MAX).await?.ok_or_else(absent)?;
            if let Ok(manifest) = Manifest::parse(&bytes) {
                let media_type = media_type(&bytes);
                let manifest_at = Descriptor { media_type, digest, size: bytes.len() as u64, platform: None };
                let names = image.names().filter(|name| !name.contains('@')).cloned().collect();
                return Ok(Contents { names, manifest: manifest_at, config: manifest.config, layers: manifest.layers });
            }
            digest = choose(&bytes)?.ok_or_else(absent)?.digest;
        }
        Err(absent())
    }

    /// A blob, piece by piece as it is read; `None` when it is not there.
    ///
    /// # Errors
    /// What containerd says.
    pub async fn blob(
        &self,
        digest: &Digest,
    ) -> Result<Option<impl Stream<Item = Result<Bytes, Fault>> + Send + use<>>, Fault> {
        let mut request = call(ReadContentRequest { digest: digest.to_string(), offset: 0, size: 0 });
        // However long the reader takes.
        request.metadata_mut().remove("grpc-timeout");
        let pieces = found("content.Read", self.client().content().read(request).await)?;
        Ok(pieces.map(|pieces| {
            pieces.map(|piece| match piece {
                Ok(piece) => Ok(Bytes::from(piece.data)),
                Err(status) => Err(Fault::of("content.Read", &status)),
            })
        }))
    }
}

/// What a manifest says it is; one of the first form of OCI need not.
fn media_type(manifest: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Typed {
        media_type: Option<String>,
    }
    let typed = serde_json::from_slice::<Typed>(manifest).ok().and_then(|typed| typed.media_type);
    typed.unwrap_or_else(|| "application/vnd.oci.image.manifest.v1+json".to_owned())
}
