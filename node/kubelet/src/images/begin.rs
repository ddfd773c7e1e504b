//! The first step of a load: a lease, and what the machine lacks.

use super::fault::{at, found, made};
use super::ingest::reference;
use super::{Digest, Fault, Images, Offer, at_once, call};
use containerd_client::services::v1::{AddResourceRequest, CreateRequest, DeleteRequest, Resource, StatusRequest};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// How long a load may take before what it brought may be collected. Ten gigabytes at 3 MB/s fit.
const LOAD_WAIT: SignedDuration = SignedDuration::from_hours(1);
/// Blobs of one load: an image has at most 258 of them.
pub const BLOBS_MAX: usize = 512;
/// The largest blob, in bytes. A layer this large does not belong on a machine in a machine.
pub const BLOB_BYTES_MAX: u64 = 16 << 30;
/// What the names of our leases begin with.
const LEASE: &str = "skerry-load-";
/// Hexadecimal digits of a load's name.
const DIGITS: usize = 32;

/// A load under way, by its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Load(String);

impl Load {
    /// Checks a name.
    ///
    /// # Errors
    /// `Invalid` when `begin` gives no such names.
    pub fn parse(text: &str) -> Result<Load, Fault> {
        if text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(Load(text.to_owned()));
        }
        Err(Fault::invalid("load", "not the name of a load; ask for the missing blobs first"))
    }

    /// A name that nobody has.
    fn fresh() -> Result<Load, Fault> {
        let mut bytes = [0; DIGITS / 2];
        ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes)
            .map_err(|_| Fault::Failed { call: "getrandom", message: "the kernel gives no random bytes".to_owned() })?;
        Ok(Load(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// The name of its lease.
    pub(super) fn lease(&self) -> String {
        format!("{LEASE}{}", self.0)
    }
}

impl std::fmt::Display for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Load {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Load, D::Error> {
        Load::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A blob of a load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    /// Its name.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}

/// A blob that is not there, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// Its name.
    pub digest: Digest,
    /// How many of its bytes came with an earlier load.
    pub offset: u64,
}

/// A load that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Begun {
    /// Its name, for the further steps.
    pub load: Load,
    /// What has to be sent.
    pub missing: Vec<Missing>,
    /// Where the host that this machine runs on may put it, when that was asked for and something is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Offer>,
}

impl Images {
    /// Opens a lease over the blobs that are there and tells those that are not.
    ///
    /// # Errors
    /// `Invalid` for too many or too large blobs; what containerd says.
    pub async fn begin(&self, blobs: &[Blob]) -> Result<Begun, Fault> {
        self.begin_with(blobs, false).await
    }

    /// The same for a caller that says that it can write to this machine's disk: with the window, if something is missing.
    ///
    /// # Errors
    /// As [`Images::begin`].
    pub async fn begin_at_hand(&self, blobs: &[Blob]) -> Result<Begun, Fault> {
        self.begin_with(blobs, true).await
    }

    async fn begin_with(&self, blobs: &[Blob], window: bool) -> Result<Begun, Fault> {
        if blobs.len() > BLOBS_MAX {
            return Err(Fault::invalid("blobs", format!("{}; at most {BLOBS_MAX} make an image", blobs.len())));
        }
        if let Some(blob) = blobs.iter().find(|blob| blob.size > BLOB_BYTES_MAX) {
            let message = format!("{} has {} bytes; at most {BLOB_BYTES_MAX} are taken", blob.digest, blob.size);
            return Err(Fault::invalid("blobs", message));
        }
        let load = Load::fresh()?;
        let is_there = at_once(blobs.iter().map(|blob| self.has(blob)).collect()).await?;
        let lacks_some = is_there.contains(&false);
        let offer = async { if window && lacks_some { self.offer(&load).await } else { None } };
        let (missing, window) = tokio::join!(self.hold_or_miss(&load, blobs.iter().zip(is_there)), offer);
        Ok(Begun { missing: missing?, window, load })
    }

    /// Opens the lease over what is there, and tells what is not.
    async fn hold_or_miss(
        &self,
        load: &Load,
        blobs: impl Iterator<Item = (&Blob, bool)>,
    ) -> Result<Vec<Missing>, Fault> {
        self.open_lease(load).await?;
        let looks = blobs.map(async |(blob, is_there)| {
            if is_there {
                self.hold(load, "content", blob.digest.as_str()).await?;
            }
            // It may have gone until it was held. What is missing is held as soon as it is written.
            if is_there && self.has(blob).await? {
                return Ok(None);
            }
            Ok(Some(Missing { digest: blob.digest.clone(), offset: self.arrived(&blob.digest).await? }))
        });
        Ok(at_once(looks.collect()).await?.into_iter().flatten().collect())
    }

    async fn open_lease(&self, load: &Load) -> Result<(), Fault> {
        let expires = (Timestamp::now() + LOAD_WAIT).to_string();
        let labels = [("containerd.io/gc.expire".to_owned(), expires)].into();
        let request = CreateRequest { id: load.lease(), labels };
        self.client().leases().create(call(request)).await.map_err(at("leases.Create"))?;
        Ok(())
    }

    /// Lets the lease go; what it held and no image refers to is collected with containerd's next change.
    pub(super) async fn close_lease(&self, load: &Load) -> Result<(), Fault> {
        let request = DeleteRequest { id: load.lease(), sync: false };
        found("leases.Delete", self.client().leases().delete(call(request)).await)?;
        Ok(())
    }

    /// Puts one thing under the load's lease, whether it is there or not.
    pub(super) async fn hold(&self, load: &Load, kind: &str, id: &str) -> Result<(), Fault> {
        let resource = Some(Resource { id: id.to_owned(), r#type: kind.to_owned() });
        let request = AddResourceRequest { id: load.lease(), resource };
        made("leases.AddResource", self.client().leases().add_resource(call(request)).await)?;
        Ok(())
    }

    async fn has(&self, blob: &Blob) -> Result<bool, Fault> {
        let Some(info) = self.info(&blob.digest).await? else { return Ok(false) };
        if u64::try_from(info.size) == Ok(blob.size) {
            return Ok(true);
        }
        let message = format!("{} has {} bytes here, not {}", blob.digest, info.size, blob.size);
        Err(Fault::invalid("size", message))
    }

    /// How many bytes of a blob came with a load that broke off.
    async fn arrived(&self, digest: &Digest) -> Result<u64, Fault> {
        let request = StatusRequest { r#ref: reference(digest) };
        let answer = found("content.Status", self.client().content().status(call(request)).await)?;
        Ok(answer.and_then(|answer| answer.status).map_or(0, |status| u64::try_from(status.offset).unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_load_has_a_name_of_its_own_that_can_be_read_back() {
        let (one, two) = (Load::fresh().unwrap(), Load::fresh().unwrap());
        assert_ne!(one, two);
        assert_eq!(Load::parse(&one.0), Ok(one));
        for wrong in ["", "../other", "zz", &"g".repeat(32)] {
            assert!(Load::parse(wrong).is_err(), "{wrong}");
        }
    }
}
