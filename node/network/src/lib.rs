//! The pod network plugin, the nftables service proxy and the cluster DNS.
//!
//! Pure core: the ruleset and the DNS answers.
//!
//! It must know neither apiserver nor store.

pub mod cidr;
pub mod cni;
pub mod dns;
pub mod docker;
pub mod links;
pub mod metrics;
pub mod nft;
pub mod proxy;
pub mod setup;
