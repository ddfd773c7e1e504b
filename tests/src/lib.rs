//! What the test programs share: the machine under test, the images in it, and the judge.

pub mod harness;
pub mod images;
pub mod judge;
pub mod sockets;
