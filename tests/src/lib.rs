//! What every test layer shares: finding the repository and the built programs, and waiting with a deadline.

pub mod images;
pub mod judge;
pub mod sockets;
