//! The API server: TLS, authentication, authorization, admission, verbs, watches, discovery.
//!
//! Pure core: request parsing, authorization decisions, admission plans, tables.
//!
//! It must not know controllers, scheduler, kubelet or the network.
//!
//! A request flows as `chain.rs` lists it; a write as `write.rs` says at its top.

pub mod admission;
mod ahead;
pub mod allocate;
pub mod authn;
pub mod authz;
pub mod bootstrap;
pub mod browser;
pub mod builtin;
pub mod call;
pub mod caller;
pub mod catalog;
pub mod chain;
pub mod clock;
mod codec;
mod collection;
mod computed;
mod delete;
mod discovery;
pub mod encode;
mod impersonate;
pub mod inprocess;
mod list;
pub mod machine;
mod managed;
mod metadata;
pub mod monitor;
pub mod negotiate;
pub mod objects;
pub mod openapi;
mod options;
pub mod outgoing;
mod patch;
mod paths;
mod read;
pub mod reply;
pub mod request;
mod reviews;
pub mod serve;
pub mod server;
pub mod sessions;
mod socket;
mod subresources;
mod table;
pub mod usage;
mod verbs;
pub mod version;
mod watch;
pub mod write;
