//! A whole archive from a file: what `docker save`, BuildKit or skopeo wrote. containerd reads it itself (its transfer
//! service, which `ctr image import` speaks to): it finds the images in it, keeps what it lacks, names and unpacks them.
//!
//! A load from outside sends less (`begin`); this is for archives that lie in the machine.

use super::fault::at;
use super::{Fault, Images, SNAPSHOTTER, call};
use containerd_client::services::v1::{StreamInit, TransferRequest};
use containerd_client::to_any;
use containerd_client::types::Platform;
use containerd_client::types::transfer::{
    Data, ImageImportStream, ImageReference, ImageStore, UnpackConfiguration, WindowUpdate,
};
use prost::Message;
use prost_types::Any;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

/// Bytes of one message; containerd's own sender uses as many, and its window is a multiple.
const PIECE: usize = 32 << 10;
/// How long one archive may take: gigabytes, unpacked by an emulated processor.
const IMPORT_WAIT: Duration = Duration::from_secs(3600);
/// The name of an image that its archive does not name, before a colon and what the archive calls it instead.
const NAMELESS: &str = "import";

impl Images {
    /// Imports the images of an archive, a docker-archive or an OCI layout, under the names that it gives them. Returns
    /// the names that are new, or lead to another image than before, once the CRI knows them.
    ///
    /// # Errors
    /// `Invalid` when the file cannot be read or is no such archive; what containerd says.
    pub async fn import(&self, archive: &Path) -> Result<Vec<String>, Fault> {
        let before = self.list().await?;
        self.transfer(archive).await?;
        let mut new = Vec::new();
        // The machine's own image may come at the same time, and is none of the archive's.
        for image in self.list().await?.into_iter().filter(|image| !image.pinned) {
            let had = before.iter().find(|had| had.digest == image.digest);
            for name in image.names.iter().filter(|name| had.is_none_or(|had| !had.names.contains(name))) {
                self.adopted(name, &image.id).await?;
                new.push(name.clone());
            }
        }
        Ok(new)
    }

    async fn transfer(&self, archive: &Path) -> Result<(), Fault> {
        let mut file = tokio::fs::File::open(archive).await.map_err(|e| Fault::invalid("archive", e.to_string()))?;
        let (sender, receiver) = mpsc::channel(1);
        let id = stream_id();
        sender.try_send(to_any(&StreamInit { id: id.clone() })).expect("an empty channel of one takes one");
        let mut open = call(ReceiverStream::new(receiver));
        open.set_timeout(IMPORT_WAIT);
        let answers = self.client().streaming().stream(open).await.map_err(at("streaming.Stream"))?;
        let mut answers = answers.into_inner();
        // The stream is known to containerd once it has answered the first message.
        answers.message().await.map_err(at("streaming.Stream"))?;
        let mut request = call(TransferRequest {
            source: Some(to_any(&ImageImportStream { stream: id, ..ImageImportStream::default() })),
            destination: Some(to_any(&store())),
            options: None,
        });
        request.set_timeout(IMPORT_WAIT);
        let mut transfer = self.client().transfer();
        let done = async { transfer.transfer(request).await.map(drop) };
        let sent = async {
            let outcome = send(&mut file, sender, &mut answers).await;
            match outcome {
                Err(fault) => fault,
                // What came of it, the other side says.
                Ok(()) => std::future::pending().await,
            }
        };
        tokio::select! {
            done = done => done.map_err(|status| refusal(&status)),
            fault = sent => Err(fault),
        }
    }
}

/// containerd keeps streams by name; of two imports at once each needs its own.
fn stream_id() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("skerry-import-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

fn store() -> ImageStore {
    let platform = Some(Platform { os: "linux".into(), architecture: "amd64".into(), ..Platform::default() });
    ImageStore {
        extra_references: vec![ImageReference {
            name: NAMELESS.to_owned(),
            is_prefix: true,
            allow_overwrite: true,
            ..ImageReference::default()
        }],
        unpacks: vec![UnpackConfiguration { platform, snapshotter: SNAPSHOTTER.to_owned() }],
        ..ImageStore::default()
    }
}

/// Sends the file as far as the other side's window lets it.
async fn send(
    file: &mut tokio::fs::File,
    sender: mpsc::Sender<Any>,
    answers: &mut Streaming<Any>,
) -> Result<(), Fault> {
    let mut window = 0_usize;
    let mut piece = vec![0; PIECE];
    loop {
        while window == 0 {
            match answers.message().await.map_err(at("streaming.Stream"))? {
                Some(answer) => window += update(&answer)?,
                // It has read what it wanted.
                None => return Ok(()),
            }
        }
        let length = file.read(&mut piece[..window.min(PIECE)]).await;
        let length = length.map_err(|error| Fault::invalid("archive", error.to_string()))?;
        if length == 0 {
            return Ok(());
        }
        window -= length;
        let data = to_any(&Data { data: piece[..length].to_vec() });
        if sender.send(data).await.is_err() {
            return Ok(());
        }
    }
}

fn update(answer: &Any) -> Result<usize, Fault> {
    let failed = |message: String| Fault::Failed { call: "streaming.Stream", message };
    let update = WindowUpdate::decode(answer.value.as_slice()).map_err(|error| failed(error.to_string()))?;
    usize::try_from(update.update).map_err(|_| failed(format!("a window of {}", update.update)))
}

/// What containerd says of an archive that is none is about the archive.
fn refusal(status: &tonic::Status) -> Fault {
    let message = status.message();
    let about = ["unrecognized", "archive", "tar:", "unexpected EOF", "invalid", "no image"];
    if about.iter().any(|word| message.contains(word)) {
        return Fault::invalid("archive", message.to_owned());
    }
    Fault::of("transfer.Transfer", status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_read_and_a_negative_one_refused() {
        assert_eq!(update(&to_any(&WindowUpdate { update: 65536 })), Ok(65536));
        assert!(update(&to_any(&WindowUpdate { update: -1 })).is_err());
    }

    #[test]
    fn two_imports_have_streams_of_their_own() {
        assert_ne!(stream_id(), stream_id());
    }

    #[test]
    fn types_are_named_as_containerd_knows_them() {
        assert_eq!(to_any(&store()).type_url, "containerd.types.transfer.ImageStore");
        assert_eq!(to_any(&StreamInit::default()).type_url, "containerd.services.streaming.v1.StreamInit");
    }
}
