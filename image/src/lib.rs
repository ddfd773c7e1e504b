//! What the `skerry` command is made of. `main.rs` only parses and dispatches; the tests use the resolver of packages
//! from here, so that their images are made from the same verified files as the product.

pub mod archive;
pub mod build;
pub mod cli;
pub mod cluster;
pub mod commands;
pub mod config_disk;
pub mod docker;
pub mod exit;
pub mod interrupt;
pub mod load;
pub mod output;
pub mod steps;
pub mod supervisor;
pub mod virtualbox;
