//! `skerry virtualbox-machine`: the process that stands in for the emulator of a machine in VirtualBox. Started by the
//! supervisor, never by hand.

use super::{Command, Context};
use crate::virtualbox::machine;
use clap::{Args, FromArgMatches};

/// The line of the table.
pub const COMMAND: Command = Command {
    name: WORD,
    about: "Run a machine of VirtualBox (started by other commands)",
    hidden: true,
    arguments: |command| Arguments::augment_args(command),
    run: |matches, context| run(&Arguments::from_arg_matches(matches)?, context),
};

/// The command's name, for who starts it.
pub const WORD: &str = "virtualbox-machine";

#[derive(Args)]
struct Arguments {
    /// The machine, whose folder is the working folder
    name: String,
}

/// An error goes to standard error as the emulator's own words do, and to the exit code.
fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<()> {
    context.runtime.block_on(machine::run(arguments.name.clone()))
}
