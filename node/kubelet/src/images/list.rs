//! The images as they are shown.

use super::{Digest, Fault, Images};
use jiff::Timestamp;
use serde::Serialize;

/// One image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Its names, written out; none when its last name went to another image.
    pub names: Vec<String>,
    /// Its configuration, which is what the CRI and Docker call its ID.
    pub id: Digest,
    /// Its manifest or index.
    pub digest: Digest,
    /// Bytes of its blobs.
    pub size: u64,
    /// When it came.
    pub created: Timestamp,
    /// Whether it must never be collected.
    pub pinned: bool,
}

impl Images {
    /// Every image, by name.
    ///
    /// # Errors
    /// What containerd says.
    pub async fn list(&self) -> Result<Vec<Listed>, Fault> {
        let mut listed: Vec<Listed> = self
            .inventory()
            .await?
            .into_iter()
            .map(|image| Listed {
                names: image.names().cloned().collect(),
                id: image.id,
                digest: image.target,
                size: image.size,
                created: image.created,
                pinned: image.pinned,
            })
            .collect();
        listed.sort_by(|a, b| (a.names.is_empty(), &a.names, &a.id).cmp(&(b.names.is_empty(), &b.names, &b.id)));
        Ok(listed)
    }
}
