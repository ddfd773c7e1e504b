//! The judge: builds the upstream release, starts upstream's control plane or ours, runs upstream's own tests and
//! compares single answers. It knows both sides only by their command lines and their HTTP interface.

pub mod build;
pub mod certs;
pub mod differential;
pub mod golden;
pub mod https;
pub mod kubeconfig;
pub mod native;
pub mod peer;
pub mod process;
pub mod ratchet;
pub mod record;
pub mod release;
pub mod runs;
pub mod stand_in;
pub mod suite;
pub mod verdict;
