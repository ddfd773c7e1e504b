//! `skerry supervise`: the process beside a machine. Started by other commands, never by hand: it tells its starter by
//! one line of JSON on standard output that it can be talked to, or why not.

use super::{Command, Context};
use crate::cluster::Cluster;
use crate::cluster::emulator::Accelerator;
use crate::exit::Failure;
use crate::supervisor::{self, Order};
use clap::{Args, FromArgMatches};
use serde_json::json;
use std::io::Write;

/// The line of the table.
pub const COMMAND: Command = Command {
    name: "supervise",
    about: "Watch over a machine (started by other commands)",
    hidden: true,
    arguments: |command| Arguments::augment_args(command),
    run: |matches, context| run(&Arguments::from_arg_matches(matches)?, context),
};

#[derive(Args)]
struct Arguments {
    /// The cluster, whose folder is the working folder
    name: String,
    /// Start the machine in this way, instead of taking over one that runs
    #[arg(long, value_parser = ["kvm", "tcg"])]
    launch: Option<String>,
    /// Let the suspended machine go on instead of booting one
    #[arg(long, requires = "launch")]
    resume: bool,
}

fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<()> {
    let cluster = Cluster::named(&arguments.name)?;
    let accelerator = match arguments.launch.as_deref() {
        None => None,
        Some("kvm") => Some(Accelerator::Kvm),
        Some(_) => Some(Accelerator::Tcg),
    };
    let order = match accelerator {
        None => Order::Attach,
        Some(accelerator) if arguments.resume => Order::Resume(accelerator),
        Some(accelerator) => Order::Launch(accelerator),
    };
    let mut ready = false;
    let done = context.runtime.block_on(supervisor::run(&cluster, order, || {
        ready = true;
        tell(&json!({"ok": true}));
    }));
    if let Err(error) = done {
        supervisor::log(&format!("{error:#}"));
        if !ready {
            tell(&serde_json::to_value(Failure::of(error))?);
        }
    }
    Ok(())
}

/// One line for whoever started us. It may be gone, which changes nothing.
fn tell(value: &serde_json::Value) {
    drop(writeln!(std::io::stdout(), "{value}"));
}
