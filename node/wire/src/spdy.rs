//! SPDY/3.1 as Kubernetes speaks it: many streams over one connection.

pub mod connection;
mod dictionary;
pub mod frame;
pub mod headers;

pub use connection::{Connection, Incoming, Side};
pub use headers::Headers;
