//! The kubelet: pod workers, the pure plan, CRI runtime, volumes, probes, logs, streaming, stats.
//!
//! Pure core: `plan`, `status`, back-off and probe decisions.
//!
//! It must know neither apiserver nor store.

pub mod cri;
pub mod env;
pub mod images;
pub mod objects;
pub mod probe;
pub mod server;
pub mod volumes;
