//! What machine tests stand on: the machine, programs with time limits, HTTP, terminals. All waiting happens here.

mod http;
mod load;
mod machine;
mod program;
mod stream;
mod terminal;

pub use http::{get, post};
pub use load::Load;
pub use machine::Machine;
pub use program::eventually;
pub use stream::Stream;
pub use terminal::Terminal;
