//! The pod network plugin, the nftables service proxy and the cluster DNS.
//!
//! Pure core: the ruleset and the DNS answers.
//!
//! It must know neither apiserver nor store.
