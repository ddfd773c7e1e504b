//! The API server: TLS, authentication, authorization, admission, verbs, watches, discovery.
//!
//! Pure core: request parsing, authorization decisions, admission plans, tables.
//!
//! It must not know controllers, scheduler, kubelet or the network.
