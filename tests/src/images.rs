//! Container images for the machine tests, made from Debian's packages: no registry and no container engine is needed.
//!
//! `catalog` says what is in them, `rootfs` turns packages into trees, `layer` and `archive` turn trees into bytes,
//! which are the same every time.

pub mod archive;
pub mod catalog;
mod layer;
mod rootfs;
mod workshop;

pub use workshop::Workshop;
