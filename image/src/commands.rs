//! The table of commands: one file and one line each.

mod build;
mod version;

use crate::interrupt::Interrupt;
use crate::output::Output;
use clap::ArgMatches;
use tokio::runtime::Handle;

/// What every command is handed.
pub struct Context {
    /// Where messages and data go.
    pub output: Output,
    /// For commands that talk to sockets: `context.runtime.block_on(...)`.
    pub runtime: Handle,
    /// Ctrl-C and SIGTERM; long work asks it between steps.
    pub interrupt: Interrupt,
}

/// One command of `skerry`.
pub struct Command {
    /// The word the user types.
    pub name: &'static str,
    /// One line for `skerry --help`.
    pub about: &'static str,
    /// Left out of the help: for processes that `skerry` starts of itself.
    pub hidden: bool,
    /// Adds the command's own arguments.
    pub arguments: fn(clap::Command) -> clap::Command,
    /// Does it. An error that is an `exit::Failure` decides the exit code, any other is a bug of ours.
    pub run: fn(&ArgMatches, &Context) -> anyhow::Result<()>,
}

/// Every command, in the order of the help.
pub const COMMANDS: &[Command] = &[build::COMMAND, version::COMMAND];
