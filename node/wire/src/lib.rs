//! Streaming: channels over WebSocket and SPDY/3.1, and the two protocols that Kubernetes runs on them, remote commands
//! (exec, attach) and port forwarding.
//!
//! Pure core: `channel`, `status`, `spdy::frame`, `spdy::headers`. The rest moves bytes over an upgraded connection that
//! the caller hands in. Facts: `k8s.io/streaming`, `k8s.io/cri-streaming`, `github.com/moby/spdystream`.
//!
//! It must not know HTTP routing, TLS or any object but the Status that ends a command.

pub mod channel;
pub mod command;
pub mod forward;
pub mod handshake;
pub mod reader;
pub mod spdy;
pub mod status;
pub mod stream;
pub mod tunnel;
pub mod websocket;

pub use command::{Session, Version, Want};
pub use forward::{Forward, Forwards};
pub use status::Outcome;
pub use stream::Stream;
pub use tunnel::Tunnel;

#[cfg(test)]
mod tests;
