//! The short way in for a load from the host that this machine runs on: the host writes what is missing beneath the
//! window, a file on the state disk whose places on the device it was told. It has hashed all of it, with a processor
//! that is not emulated, so nothing is encrypted, hashed or unpacked once more here; whoever can write to the disk of a
//! machine needs no other proof of himself. What arrives is kept in parts until it is whole, and is then containerd's.
//!
//! One load at a time has the window. Parts do not outlive their load: what broke off begins anew.

mod ahead;
mod parts;
mod window;

pub use parts::{Kind, Piece};
pub use window::Place;

use super::fault::failed;
use super::manifest::Descriptor;
use super::plan::{Labels, Layer};
use super::{AT_ONCE, Blob, Digest, Fault, Images, Load};
use ahead::Ahead;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use parts::Parts;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;
use window::Window;

/// How often a blob is put where containerd collects what nobody refers to, before it sees it. Each time it would have
/// to collect in the very moment between the two.
const PUT_MAX: usize = 3;

/// Where things arrive.
#[derive(Debug)]
pub(super) struct Landing {
    /// Our folder, on the file system of `content`.
    folder: PathBuf,
    /// containerd's content store.
    content: PathBuf,
    held: Mutex<Option<Held>>,
    /// Whose turn it is to become a blob of containerd's.
    turns: Semaphore,
}

/// The load that has the window.
#[derive(Clone, Debug)]
struct Held {
    load: Load,
    window: Arc<Window>,
    parts: Parts,
    landings: Landings,
    ahead: Arc<Ahead>,
}

/// Blobs on their way from parts to containerd's: each goes on by itself, whoever waits for it.
type Landings = Arc<Mutex<HashMap<Digest, Shared<BoxFuture<'static, Result<(), Fault>>>>>>;

/// The window as the host is told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Offer {
    /// Where it lies on the state disk. Each place begins with the mark of this load.
    places: Vec<Place>,
}

/// What lies in the window now.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Arrived {
    /// The load.
    pub load: Load,
    /// Counts the fillings from 1 on; the mark at the beginning of the window says the same number.
    pub serial: u64,
    /// What is in it.
    pub pieces: Vec<Piece>,
    /// The manifest of the image that all this is of. Who tells it has labels and layers done before the last step.
    #[serde(default)]
    pub manifest: Option<Descriptor>,
}

impl Landing {
    fn new(folder: &Path, content: &Path) -> Landing {
        Landing {
            folder: folder.to_owned(),
            content: content.to_owned(),
            held: Mutex::new(None),
            turns: Semaphore::new(AT_ONCE),
        }
    }

    fn held(&self, load: &Load) -> Option<Held> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().filter(|held| held.load == *load).cloned()
    }

    fn hold(&self, held: Option<Held>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
    }

    fn parts(&self) -> PathBuf {
        self.folder.join("parts")
    }

    /// Makes the window anew for a load. What an earlier one left goes.
    fn open(&self, load: &Load) -> std::io::Result<Offer> {
        self.hold(None);
        std::fs::create_dir_all(&self.folder)?;
        let window = Window::open(&self.folder.join("window"))?;
        window.mark(load)?;
        let parts = Parts::renewed(&self.parts(), load)?;
        let offer = Offer { places: window.places().to_vec() };
        let (landings, ahead) = (Landings::default(), Arc::default());
        self.hold(Some(Held { load: load.clone(), window: Arc::new(window), parts, landings, ahead }));
        Ok(offer)
    }

    /// Where containerd keeps a blob.
    pub(super) fn kept(&self, digest: &Digest) -> PathBuf {
        self.content.join("blobs/sha256").join(digest.digits())
    }
}

impl Images {
    /// The same images with a window in `folder`, which is on the file system of containerd's content store `content`.
    #[must_use]
    pub fn with_window(self, folder: &Path, content: &Path) -> Images {
        let landing = Landing::new(folder, content);
        if let Err(error) = parts::clear(&landing.parts()) {
            tracing::warn!(%error, "parts of a load that was cut off stay until the next one");
        }
        Images { landing: Some(Arc::new(landing)), ..self }
    }

    /// The window for a load; none where there is none. A disk that has no room for it, or does not tell where its files
    /// lie, is no failure of the load: it takes the long way.
    pub(super) async fn offer(&self, load: &Load) -> Option<Offer> {
        let landing = self.landing.clone()?;
        let load = load.clone();
        match tokio::task::spawn_blocking(move || landing.open(&load)).await {
            Ok(Ok(offer)) => Some(offer),
            Ok(Err(error)) => {
                tracing::warn!(%error, "images come in over the network, for there is no window");
                None
            }
            Err(error) => {
                tracing::error!(%error, "opening the window");
                None
            }
        }
    }

    /// Takes what the host has put into the window.
    ///
    /// # Errors
    /// `Conflict` when another load has it, `Invalid` when the pieces are not what the window holds, do not follow one
    /// another, or are no blobs of this load; what disk and containerd say.
    pub async fn arrive(&self, arrived: Arrived) -> Result<(), Fault> {
        let held = self.landing.as_ref().and_then(|landing| landing.held(&arrived.load));
        let Some(held) = held else {
            return Err(Fault::Conflict("the window is not this load's any more; send what is missing".to_owned()));
        };
        let (taking, manifest) = (held.clone(), arrived.manifest.clone());
        let taken = tokio::task::spawn_blocking(move || taking.parts.take(&taking.window, &arrived));
        let whole = taken.await.map_err(|error| Fault::Failed { call: "window", message: error.to_string() })??;
        for blob in whole {
            self.land(&held, blob, manifest.clone());
        }
        if let Some(manifest) = manifest {
            self.unpack_ahead(held, manifest);
        }
        Ok(())
    }

    /// Begins to make a whole part a blob of containerd's. Nobody waits for that until the image is made: meanwhile the
    /// host fills the window again, and layers are unpacked.
    fn land(&self, held: &Held, blob: Blob, manifest: Option<Descriptor>) {
        let (images, digest, its) = (self.clone(), blob.digest.clone(), held.clone());
        let landing = async move {
            let labels = images.labels_ahead(&its, manifest.as_ref(), &blob.digest).await;
            let landed = images.adopt_blob(&its.load, &blob, &labels).await;
            if let Err(error) = &landed {
                tracing::warn!(digest = %blob.digest, %error, "a blob that arrived is not taken");
            }
            landed
        };
        let landing = landing.boxed().shared();
        held.landings.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, landing.clone());
        tokio::spawn(landing);
    }

    /// Waits until a blob that came through the window is containerd's; not at all for any other.
    ///
    /// # Errors
    /// Why it is not.
    pub(super) async fn landed(&self, load: &Load, digest: &Digest) -> Result<(), Fault> {
        let held = self.landing.as_ref().and_then(|landing| landing.held(load));
        let landing =
            held.and_then(|held| held.landings.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned());
        match landing {
            Some(landing) => landing.await,
            None => Ok(()),
        }
    }

    /// Makes a whole part a blob of containerd's: it takes over what lies in its store with the right name (its
    /// `content_sharing_policy`), and this namespace has it from then on.
    async fn adopt_blob(&self, load: &Load, blob: &Blob, labels: &Labels) -> Result<(), Fault> {
        // Asked once more: a host that took the window over meanwhile may have written to it while it was copied.
        let Some((landing, held)) = self.landing.as_ref().and_then(|l| Some((l, l.held(load)?))) else {
            return Err(Fault::Conflict("the window is not this load's any more".to_owned()));
        };
        // What waits here is the disk and containerd's database: a few at a time.
        let _turn = landing.turns.acquire().await.map_err(failed("window"))?;
        for _ in 0..PUT_MAX {
            let (parts, digest, kept) = (held.parts.clone(), blob.digest.clone(), landing.kept(&blob.digest));
            let put = tokio::task::spawn_blocking(move || parts.put(&digest, &kept));
            put.await.map_err(failed("window"))?.map_err(failed("window"))?;
            if self.register(load, blob, labels).await? {
                return Ok(());
            }
        }
        let message = format!("containerd does not see {}, which lies in its store", blob.digest);
        Err(Fault::Failed { call: "content.Write", message })
    }

    /// A layer, uncompressed, that can be read here; its content is known to be right.
    pub(super) fn plain(&self, load: &Load, layer: &Layer) -> Option<PathBuf> {
        let landing = self.landing.as_ref()?;
        let is_plain = layer.blob.digest == layer.diff;
        let kind = if is_plain { Kind::Blob } else { Kind::Layer };
        let part = landing.held(load).and_then(|held| held.parts.whole(kind, &layer.diff));
        // containerd's own is whole as soon as it has its name.
        part.or_else(|| is_plain.then(|| landing.kept(&layer.diff)).filter(|path| path.exists()))
    }

    /// Gives the window back with all that is left in it.
    pub(super) async fn close_window(&self, load: &Load) {
        let Some(landing) = self.landing.clone() else { return };
        if landing.held(load).is_none() {
            return;
        }
        landing.hold(None);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || parts::clear(&landing.parts())).await {
            tracing::warn!(%error, "parts of a load stay until the next one");
        }
    }
}
