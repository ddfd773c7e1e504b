//! What must survive: power cuts, failing and full disks, killed processes, damage, and other writers.

#![allow(clippy::unwrap_used, reason = "clippy spares test functions, but not what they call; here all is test")]

mod disk;
mod file;
mod kill;
mod ops;
mod power;
mod shared;
