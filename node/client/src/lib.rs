//! What every component speaks to the API server: get, list, watch, patch, informers and work queues, in process or over HTTPS.
//!
//! Pure core: the informer's cache and the work queue's ordering.
//!
//! It must not know the API server's insides or the store.

pub mod transport;

pub use transport::{Answer, Body, BoxError, Transport, TransportError, whole};
