//! The pod network plugin; everything it does is in [`network::cni`].

use std::process::ExitCode;

fn main() -> ExitCode {
    network::cni::main()
}
