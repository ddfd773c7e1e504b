//! What every component speaks to the API server: get, list, watch, patch, informers and work queues, in process or over HTTPS.
//!
//! Pure core: the informer's cache and the work queue's ordering.
//!
//! It must not know the API server's insides or the store.

pub mod backoff;
mod cache;
mod client;
mod decode;
pub mod discovery;
pub mod events;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
mod https;
pub mod informer;
mod informers;
mod options;
pub mod queue;
mod resource;
mod store;
pub mod transport;
mod verbs;
mod watch;

pub use cache::Progress;
pub use client::{ANSWER_BYTES_MAX, Client, PUT_OFF_RETRIES_MAX, PUT_OFF_SECONDS_MAX};
pub use events::Recorder;
pub use https::{CONNECT_WAIT, Credentials, HttpsTransport, PING_AFTER, PING_WAIT};
pub use informers::Informers;
pub use options::{DeleteOptions, ListOptions, PAGE_OBJECTS, Patch, Preconditions, Propagation, Selection};
pub use queue::{After, Queue};
pub use resource::{Meta, Object, ObjectKey, Partial, ResourceRef};
pub use store::{Change, IndexFn, Store};
pub use transport::{Answer, Body, BoxError, Transport, TransportError, whole};
pub use verbs::{Api, Page, PageMeta};
pub use watch::{EVENT_BYTES_MAX, Event, WatchOptions, WatchStream};

/// A future that the crate it comes from has compiled. The body of a plain `async fn` is compiled by whoever polls it,
/// which made the binary compile every part of the cluster anew, alone and on one processor; the long lives that it
/// starts come as these.
pub type Boxed<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
