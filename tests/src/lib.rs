//! What the test programs share: the machine under test, the images in it, the judge, and the measuring of figures.

pub mod bench;
pub mod harness;
pub mod images;
pub mod judge;
pub mod sockets;
