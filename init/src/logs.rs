//! The services' output: taken line by line into a ring of two files a service, with the last lines at hand.

pub mod lines;
pub mod ring;

/// The folder of all service logs.
pub const FOLDER: &str = "/var/log/skerry";
