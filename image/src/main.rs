//! The `skerry` command: builds the image, boots it, talks to it.
//!
//! This file parses the command line, runs one line of the table in `commands` and turns its outcome into an exit
//! code. It knows no command by name.

use clap::ArgMatches;
use image::cli;
use image::cluster::preferences;
use image::commands::{self, COMMANDS, Context};
use image::exit::{Code, Failure};
use image::interrupt::Interrupt;
use image::output::{self, Format, Output};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let output = Output::new(output::wanted(&arguments));
    let preferred = preferences::read().and_then(|known| Ok(cli::preferring(&known)?));
    let (line, damage) = match preferred {
        Ok(line) => (line, None),
        Err(error) => (cli::bare(), Some(error)),
    };
    match line.try_get_matches_from(arguments) {
        Ok(matches) => finish(&output, run(&matches, &output, damage)),
        Err(error) => misused(&output, &error),
    }
}

/// Runs the chosen command with a runtime and the interrupt at hand. When the user's preferences cannot be read, only
/// commands that need none go on.
fn run(matches: &ArgMatches, output: &Output, damage: Option<anyhow::Error>) -> anyhow::Result<()> {
    let (name, inner) = matches.subcommand().expect("clap requires a subcommand");
    let command = COMMANDS.iter().find(|command| command.name == name).expect("clap knows only the table's commands");
    if let Some(error) = damage.filter(|_| !commands::works_without_preferences(name)) {
        return Err(error);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let interrupt = Interrupt::listen(runtime.handle())?;
    let context = Context { output: output.clone(), runtime: runtime.handle().clone(), interrupt };
    let outcome = (command.run)(inner, &context);
    runtime.shutdown_background();
    outcome
}

/// Prints what went wrong, if anything did, and gives the exit code of the contract.
fn finish(output: &Output, outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let failure = Failure::of(error);
            output.failure(&failure);
            failure.code.into()
        }
    }
}

/// Help and version are answers, everything else that clap reports is wrong usage.
fn misused(output: &Output, error: &clap::Error) -> ExitCode {
    if output.format == Format::Json && error.use_stderr() {
        let failure = Failure::new(Code::Usage, error.render().to_string().trim()).advice("see skerry --help");
        output.failure(&failure);
        return failure.code.into();
    }
    // A closed standard output is the reader's choice, not a failure of ours.
    let _ = error.print();
    if error.use_stderr() { Code::Usage.into() } else { ExitCode::SUCCESS }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_commands_share_a_name() {
        let mut names: Vec<_> = COMMANDS.iter().map(|command| command.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), COMMANDS.len());
    }
}
