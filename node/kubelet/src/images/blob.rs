//! Blobs as containerd knows them, and small ones as bytes: manifests and configurations.

use super::fault::{at, found};
use super::{Digest, Fault, Images, call};
use containerd_client::services::v1::{Info, InfoRequest, ReadContentRequest, UpdateRequest};
use futures_util::StreamExt;
use std::collections::HashMap;
use tonic::Code;

impl Images {
    /// What containerd knows of a blob; `None` when it is not there.
    pub(super) async fn info(&self, digest: &Digest) -> Result<Option<Info>, Fault> {
        let request = InfoRequest { digest: digest.to_string() };
        let answer = found("content.Info", self.client().content().info(call(request)).await)?;
        Ok(answer.and_then(|answer| answer.info))
    }

    /// The whole blob; `None` when it is not there.
    ///
    /// # Errors
    /// `Invalid` when it is longer than `bytes_max`; what containerd says.
    pub(super) async fn read(&self, digest: &Digest, bytes_max: u64) -> Result<Option<Vec<u8>>, Fault> {
        let request = ReadContentRequest { digest: digest.to_string(), offset: 0, size: 0 };
        let Some(mut pieces) = found("content.Read", self.client().content().read(call(request)).await)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.next().await {
            match piece {
                Ok(piece) => bytes.extend_from_slice(&piece.data),
                Err(status) if status.code() == Code::NotFound => return Ok(None),
                Err(status) => return Err(Fault::of("content.Read", &status)),
            }
            if bytes.len() as u64 > bytes_max {
                let message = format!("{digest} has more than the {bytes_max} bytes that are read");
                return Err(Fault::invalid("size", message));
            }
        }
        Ok(Some(bytes))
    }

    /// Adds labels to a blob. containerd's garbage collector follows some of them.
    pub(super) async fn label(&self, digest: Digest, labels: HashMap<String, String>) -> Result<(), Fault> {
        let paths = labels.keys().map(|key| format!("labels.{key}")).collect();
        let info = Some(Info { digest: digest.to_string(), labels, ..Info::default() });
        let request = UpdateRequest { info, update_mask: Some(prost_types::FieldMask { paths }) };
        self.client().content().update(call(request)).await.map_err(at("content.Update"))?;
        Ok(())
    }
}
