//! The table of commands: one file and one line each.

mod build;
mod completion;
mod config;
mod dashboard;
mod delete;
mod docker_env;
mod doctor;
mod image;
mod kubeconfig;
mod list;
mod login;
mod logs;
mod man;
mod service;
mod start;
mod status;
mod stop;
mod supervise;
mod suspend;
mod version;
mod virtualbox;
mod why;

use crate::interrupt::Interrupt;
use crate::output::Output;
use clap::ArgMatches;
use std::time::Duration;
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

pub use virtualbox::WORD as VIRTUALBOX_MACHINE;

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
pub const COMMANDS: &[Command] = &[
    start::COMMAND,
    stop::COMMAND,
    suspend::COMMAND,
    delete::COMMAND,
    status::COMMAND,
    service::COMMAND,
    dashboard::COMMAND,
    why::COMMAND,
    image::COMMAND,
    docker_env::COMMAND,
    list::COMMAND,
    kubeconfig::COMMAND,
    login::COMMAND,
    logs::COMMAND,
    doctor::COMMAND,
    config::COMMAND,
    completion::COMMAND,
    man::COMMAND,
    build::COMMAND,
    version::COMMAND,
    supervise::COMMAND,
    virtualbox::COMMAND,
];

/// Whether a command goes on when the user's preferences cannot be read: it mends them, or asks for nothing.
pub fn works_without_preferences(name: &str) -> bool {
    [config::COMMAND, doctor::COMMAND, completion::COMMAND, man::COMMAND, version::COMMAND]
        .iter()
        .any(|command| command.name == name)
}

/// The argument by which commands that work on one cluster name it.
#[derive(clap::Args)]
struct Named {
    /// Name of the cluster
    #[arg(long, env = "SKERRY_NAME", default_value = "skerry")]
    name: String,
}

/// A time written as `90s`, `5m` or `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "write a time as 90s, 5m or 1h".to_owned();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let unit = match &text[digits.len()..] {
        "s" | "" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(wrong()),
    };
    // A day is longer than anybody waits, and keeps deadlines within what clocks can count.
    const SECONDS_MAX: u64 = 24 * 3600;
    let seconds = number.checked_mul(unit).filter(|seconds| (1..=SECONDS_MAX).contains(seconds)).ok_or_else(wrong)?;
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "0s", "m", "-1s", "1.5m", "5x", "99999h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
