//! The kubelet: pod workers, the pure plan, CRI runtime, volumes, probes, logs, streaming, stats.
//!
//! Pure core: `plan`, `status`, back-off and probe decisions.
//!
//! It must know neither apiserver nor store.

pub mod cri;
pub mod env;
pub mod images;
pub mod labels;
pub mod memory;
pub mod objects;
pub mod observed;
pub mod plan;
pub mod pod;
pub mod probe;
pub mod restart;
pub mod server;
pub mod status;
pub mod volumes;
