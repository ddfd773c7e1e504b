//! The kubelet's own API, port 10250: logs, remote commands, port forwarding, pods, statistics.
//!
//! Pure core: authorization's mapping of paths, the log reader's lines and tails, the forms of statistics.
//!
//! It must not know how pods are run: what it shows of them comes through [`View`], and what it does to them through
//! [`Runtime`].

pub mod view;

pub use view::{Container, Measured, Ran, Running, Runtime, Sandbox, State, Streams, View};
