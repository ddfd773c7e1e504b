//! The phases of the boot, one file each; `boot::PHASES` is their order.

pub mod cgroups;
pub mod clock;
pub mod config;
pub mod control;
pub mod devices;
pub mod disk;
pub mod entropy;
pub mod greeting;
pub mod hostname;
pub mod identity;
pub mod mounts;
pub mod network;
pub mod registries;
pub mod services;
pub mod sysctls;
pub mod trust;
