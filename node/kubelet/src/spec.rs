//! What the engine is asked to make: the configuration of sandboxes and containers, pure from the pod and what is known
//! of node and image. As upstream's `pkg/kubelet/kuberuntime`.
//!
//! It must not know how the engine is called.

pub mod container;
pub mod dns;
pub mod hosts;
pub mod resources;
pub mod sandbox;
pub mod security;
#[cfg(test)]
mod tests;
