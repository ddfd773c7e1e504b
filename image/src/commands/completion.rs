//! `skerry completion`: a script by which a shell completes commands and options, made from their definitions.

use super::{Command, Context};
use crate::cli;
use crate::output;
use anyhow::Result;
use clap::{Args, FromArgMatches};
use clap_complete::Shell;
use std::io::Write;

/// The line of the table.
pub const COMMAND: Command = Command {
    name: "completion",
    about: "Print a script that completes commands in your shell",
    hidden: false,
    arguments: |command| Arguments::augment_args(command),
    run: |matches, _: &Context| run(&Arguments::from_arg_matches(matches)?),
};

#[derive(Args)]
struct Arguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

fn run(arguments: &Arguments) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut cli::shown(), "skerry", &mut script);
    Ok(output::unless_closed(std::io::stdout().write_all(&script))?)
}
