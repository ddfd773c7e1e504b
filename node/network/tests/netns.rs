//! The pod network and the service proxy in real network namespaces, with the real plugin and the kernel's nftables.
//!
//! These tests need root, `ip` and `nft`; without root they fail and say so. Each test has a machine of its own.

#![allow(clippy::unwrap_used, reason = "clippy spares test functions, but not what they call; here all is test")]

#[path = "netns/machine.rs"]
mod machine;
#[path = "netns/pods.rs"]
mod pods;
#[path = "netns/services.rs"]
mod services;
