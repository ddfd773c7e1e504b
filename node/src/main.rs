//! The `node` binary: arguments, configuration, wiring and supervision of every cluster part.

fn main() {}
