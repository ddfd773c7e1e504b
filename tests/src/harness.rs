//! What machine tests and measurements stand on: the machine, programs with time limits, HTTP, terminals. All waiting
//! happens here. Whatever goes wrong is a panic, which whoever runs a step catches.

mod browser;
mod built;
mod docker;
mod emulated;
mod http;
mod load;
mod machine;
mod page;
mod program;
pub mod registry;
mod stream;
mod terminal;

pub use browser::Browser;
pub use built::{Built, target};
pub use docker::Docker;
pub use emulated::{Emulated, firmware};
pub use http::{get, post};
pub use load::Load;
pub use machine::Machine;
pub use page::Page;
pub use program::{Outcome, eventually, promptly, run};
pub use stream::Stream;
pub use terminal::Terminal;
