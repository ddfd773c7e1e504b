//! Docker beside the pods: what stands between dockerd and the container engine, and the way to dockerd from outside.
//! dockerd itself sleeps and wakes in the hands of init; nothing here starts or stops it.

pub mod engine;
pub mod front;
mod grpc;

/// dockerd's socket, which init holds and whose first caller wakes it.
pub const SOCKET: &str = "/run/docker.sock";
/// Where dockerd looks for the container engine; init's table names the same.
pub const ENGINE: &str = "/run/skerry/docker-engine.sock";
