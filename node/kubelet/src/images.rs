//! Images without a registry: what the machine lacks of an image comes in by content, is unpacked, and is an image of
//! the pods and of Docker alike, for both share one namespace of containerd. Also lists, removes and collects images,
//! and sees to the sandbox image.
//!
//! A load is three steps, and may break off after any of them: `begin` opens a lease and says what is missing, `ingest`
//! takes one blob, `finish` makes the image. From the host that the machine runs on, blobs come through the window instead
//! (`landing`), and most of the last step is done before it is asked for. Nothing is collected while the lease holds; a
//! load that nobody finishes is forgotten when it expires.
//!
//! It must not know pods. Pulling from registries is the CRI's.

mod adopt;
mod begin;
mod blob;
mod collect;
mod digest;
mod export;
mod fault;
mod finish;
mod foreign;
pub mod garbage;
mod import;
mod ingest;
mod landing;
mod list;
mod manifest;
mod name;
mod plan;
mod present;
mod remove;
mod rename;
mod resolve;
mod sandbox;
pub mod shared;
mod spread;
mod unpack;
mod usage;

pub use begin::{Begun, Blob, Load, Missing};
pub use collect::Collector;
pub use digest::Digest;
pub use export::Contents;
pub use fault::Fault;
pub use finish::{Finished, Target};
pub use foreign::Foreign;
pub use landing::{Arrived, Kind, Offer, Piece};
pub use list::Listed;
pub use name::normalise;
pub use sandbox::NAME as SANDBOX;

use futures_util::{StreamExt, TryStreamExt, stream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};

/// The namespace of containerd that the pods and Docker share.
pub const NAMESPACE: &str = "k8s.io";
/// Where images are unpacked: the snapshotter that the CRI is configured with.
pub const SNAPSHOTTER: &str = "overlayfs";

/// Calls for one image at once. containerd changes its database one after the other, but what is around that takes all
/// processors of a usual machine; more would only wait.
const AT_ONCE: usize = 4;
/// How long a call may take that only touches containerd's database.
const CALL_WAIT: Duration = Duration::from_secs(30);
/// How long the socket may take to accept; it is on this machine.
const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// The images of this machine. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Images {
    channel: Channel,
    /// Where loads from this machine's host arrive; none where there is no such host.
    landing: Option<Arc<landing::Landing>>,
}

impl Images {
    /// Those behind a containerd's socket. The connection is opened by the first call, and again after a restart.
    ///
    /// # Errors
    /// When the path cannot be an address.
    pub fn at(socket: &Path) -> Result<Images, Fault> {
        let address = format!("unix://{}", socket.display());
        let endpoint = Endpoint::from_shared(address)
            .map_err(|error| Fault::invalid("socket", format!("{}: {error}", socket.display())))?;
        Ok(Images { channel: endpoint.connect_timeout(CONNECT_WAIT).connect_lazy(), landing: None })
    }

    fn client(&self) -> containerd_client::Client {
        self.channel.clone().into()
    }
}

/// The results of these in their order, or the first failure. A few are under way at once.
async fn at_once<T, F: Future<Output = Result<T, Fault>>>(all: Vec<F>) -> Result<Vec<T>, Fault> {
    stream::iter(all).buffered(AT_ONCE).try_collect().await
}

/// A call in our namespace.
fn call<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("containerd-namespace", MetadataValue::from_static(NAMESPACE));
    request.set_timeout(CALL_WAIT);
    request
}

/// The same on behalf of a load: what the call makes or touches is held by the load's lease.
fn call_for<T>(load: &Load, message: T) -> tonic::Request<T> {
    let mut request = call(message);
    let lease = MetadataValue::try_from(load.lease()).expect("a lease's name is plain ASCII");
    request.metadata_mut().insert("containerd-lease", lease);
    request
}
