//! The `skerry` command: builds the image, boots it, talks to it.
//!
//! This file parses the command line, runs one line of the table in `commands` and turns its outcome into an exit
//! code. It knows no command by name.

use clap::{Arg, ArgMatches, Command};
use image::commands::{COMMANDS, Context};
use image::exit::{Code, Failure};
use image::interrupt::Interrupt;
use image::output::{self, Format, Output};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let output = Output::new(output::wanted(&arguments));
    match cli().try_get_matches_from(arguments) {
        Ok(matches) => finish(&output, run(&matches, &output)),
        Err(error) => misused(&output, &error),
    }
}

/// The command line as clap sees it, made from the table.
fn cli() -> Command {
    let format = Arg::new("output").short('o').long("output").global(true).value_name("FORMAT");
    let format = format.value_parser(clap::value_parser!(Format)).default_value("text");
    let top = Command::new("skerry")
        .about("A whole Kubernetes cluster in one small machine image")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(format.help("How results are printed: text for people, json for programs"));
    COMMANDS.iter().fold(top, |top, command| {
        // The table speaks last: arguments that are shared bring their own words along.
        let built = (command.arguments)(Command::new(command.name).hide(command.hidden));
        top.subcommand(built.about(command.about).long_about(None))
    })
}

/// Runs the chosen command with a runtime and the interrupt at hand.
fn run(matches: &ArgMatches, output: &Output) -> anyhow::Result<()> {
    let (name, inner) = matches.subcommand().expect("clap requires a subcommand");
    let command = COMMANDS.iter().find(|command| command.name == name).expect("clap knows only the table's commands");
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
    fn every_command_says_of_itself_what_the_table_says() {
        for command in COMMANDS {
            let built = cli();
            let found = built.find_subcommand(command.name).unwrap();
            assert_eq!(found.get_about().map(ToString::to_string).as_deref(), Some(command.about));
        }
    }

    #[test]
    fn the_command_line_has_no_contradictions() {
        cli().debug_assert();
    }

    #[test]
    fn no_two_commands_share_a_name() {
        let mut names: Vec<_> = COMMANDS.iter().map(|command| command.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), COMMANDS.len());
    }

    #[test]
    fn an_unknown_flag_is_wrong_usage() {
        let error = cli().try_get_matches_from(["skerry", "version", "--no-such-flag"]).expect_err("an error");
        assert!(error.use_stderr());
    }
}
