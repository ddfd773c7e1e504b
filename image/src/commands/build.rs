//! `skerry build`: makes kernel and root file system from this checkout and the package mirror.

use super::{Command, Context};
use crate::build::{self, Order};
use clap::{Args, FromArgMatches};
use std::path::PathBuf;

/// The line of the table.
pub const COMMAND: Command = Command {
    name: "build",
    about: "Build the machine image: kernel and root file system",
    hidden: false,
    arguments: |command| Arguments::augment_args(command),
    run: |matches, context| run(Arguments::from_arg_matches(matches)?, context),
};

#[derive(Args)]
struct Arguments {
    /// Fetch the newest versions of all packages and write them to the lock file
    #[arg(long)]
    update_lock: bool,
    /// Leave the Docker engine out
    #[arg(long)]
    without_docker: bool,
    /// Put a shell on the console: for diagnosis, never for release
    #[arg(long)]
    debug: bool,
    /// For development: pack the image even when programs of this workspace have not been built
    #[arg(long)]
    allow_missing_own: bool,
    /// Where the image goes [default: target/image in the checkout]
    #[arg(long, value_name = "FOLDER")]
    target: Option<PathBuf>,
}

fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let order = Order {
        update_lock: arguments.update_lock,
        without_docker: arguments.without_docker,
        debug: arguments.debug,
        allow_missing_own: arguments.allow_missing_own,
        target: arguments.target,
    };
    let made = build::run(&order, &context.output, &context.interrupt)?;
    Ok(context.output.data(&made.summary(), &made.manifest)?)
}
