//! The kubelet: pod workers, the pure plan, CRI runtime, volumes, probes, logs, streaming, stats.
//!
//! Pure core: `plan`, `status`, back-off and probe decisions.
//!
//! It must know neither apiserver nor store.

mod act;
mod admit;
mod cgroups;
pub mod config;
pub mod context;
pub mod cri;
pub mod env;
mod hooks;
pub mod images;
mod inbox;
mod kubelet;
pub mod labels;
pub mod memory;
mod message;
mod node;
pub mod objects;
mod observe;
pub mod observed;
pub mod plan;
pub mod pod;
mod pods;
pub mod probe;
mod pull;
mod purge;
pub mod registry;
mod relist;
mod report;
pub mod restart;
mod rotate;
pub mod server;
pub mod spec;
mod start;
pub mod status;
mod stop;
pub mod view;
pub mod volumes;
mod worker;

pub use config::{Cgroups, Config};
pub use kubelet::{Kubelet, run};
