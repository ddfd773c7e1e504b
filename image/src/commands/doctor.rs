//! `skerry doctor`: looks at everything on the host that a cluster needs, and says what to do about what is missing.
//! It changes nothing.

mod clusters;
mod host;

use super::{Command, Context};
use crate::exit::{Code, Failure};
use anyhow::{Result, bail};
use clap::{Args, FromArgMatches};
use serde::Serialize;
use std::path::PathBuf;
use std::pin::Pin;

/// The line of the table.
pub const COMMAND: Command = Command {
    name: "doctor",
    about: "Check this host and its clusters, and say what to do; ends with 3 when something is missing",
    hidden: false,
    arguments: |command| Arguments::augment_args(command),
    run: |matches, context| {
        let arguments = Arguments::from_arg_matches(matches)?;
        context.runtime.block_on(run(&arguments, context))
    },
};

#[derive(Args)]
struct Arguments {
    /// Folder of the image [default: the one beside this program]
    #[arg(long, env = "SKERRY_IMAGE", value_name = "FOLDER")]
    image: Option<PathBuf>,
    /// Leave out what takes seconds: booting a machine
    #[arg(long)]
    quick: bool,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Health {
    /// As it should be.
    Ok,
    /// It works, and could be better.
    Warn,
    /// Clusters do not work without it.
    Fail,
}

/// What a check has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    check: &'static str,
    health: Health,
    message: String,
    remedy: Option<String>,
}

/// A finding that is still without the name of its check.
type Found = (Health, String, Option<String>);

fn ok(message: impl Into<String>) -> Found {
    (Health::Ok, message.into(), None)
}

fn warn(message: impl Into<String>, remedy: impl Into<String>) -> Found {
    (Health::Warn, message.into(), Some(remedy.into()))
}

fn fail(message: impl Into<String>, remedy: impl Into<String>) -> Found {
    (Health::Fail, message.into(), Some(remedy.into()))
}

/// An error as a finding, with its own advice.
fn failed(error: anyhow::Error) -> Found {
    let failure = Failure::of(error);
    (Health::Fail, failure.message, failure.advice)
}

type Findings<'a> = Pin<Box<dyn Future<Output = Vec<Found>> + 'a>>;

struct Check {
    name: &'static str,
    look: for<'a> fn(&'a Arguments, &'a Context) -> Findings<'a>,
}

/// Every check, in the order in which a start needs what it looks at.
const CHECKS: &[Check] = &[
    Check { name: "emulator", look: |_, _| Box::pin(async { vec![host::emulator()] }) },
    Check { name: "image", look: |arguments, _| Box::pin(async { vec![host::image(arguments)] }) },
    Check { name: "acceleration", look: |arguments, context| Box::pin(host::acceleration(arguments, context)) },
    Check { name: "processors", look: |_, _| Box::pin(async { vec![host::processors()] }) },
    Check { name: "memory", look: |_, _| Box::pin(async { vec![host::memory()] }) },
    Check { name: "disk", look: |_, _| Box::pin(async { vec![host::disk()] }) },
    Check { name: "ports", look: |_, _| Box::pin(async { vec![host::ports()] }) },
    Check { name: "preferences", look: |_, _| Box::pin(async { vec![host::preferences()] }) },
    Check { name: "proxy", look: |_, _| Box::pin(async { host::proxy() }) },
    Check { name: "kubectl", look: |arguments, _| Box::pin(async { vec![host::kubectl(arguments)] }) },
    Check { name: "kubeconfig", look: |_, _| Box::pin(async { clusters::contexts() }) },
    Check { name: "clusters", look: |_, _| Box::pin(clusters::look()) },
];

async fn run(arguments: &Arguments, context: &Context) -> Result<()> {
    let mut findings = Vec::new();
    for check in CHECKS {
        context.interrupt.check()?;
        for (health, message, remedy) in (check.look)(arguments, context).await {
            findings.push(Finding { check: check.name, health, message, remedy });
        }
    }
    let count = |health: Health| findings.iter().filter(|finding| finding.health == health).count();
    let (warnings, failures) = (count(Health::Warn), count(Health::Fail));
    context.output.data(&text(&findings), &findings)?;
    if failures > 0 {
        let failure = Failure::new(Code::HostLacks, format!("{failures} of these checks failed"));
        // The findings were the answer; in JSON a second object would spoil it.
        if context.output.format == crate::output::Format::Json {
            return Err(failure.told().into());
        }
        bail!(failure.advice("what to do stands below each"));
    }
    context.output.say(&match warnings {
        0 => "All is well.".to_owned(),
        1 => "Clusters work here; one thing could be better.".to_owned(),
        many => format!("Clusters work here; {many} things could be better."),
    });
    Ok(())
}

fn text(findings: &[Finding]) -> String {
    let mut lines = Vec::new();
    for Finding { check, health, message, remedy } in findings {
        let mark = match health {
            Health::Ok => "ok  ",
            Health::Warn => "warn",
            Health::Fail => "FAIL",
        };
        lines.push(format!("{mark}  {check:<13} {message}"));
        lines.extend(remedy.iter().map(|remedy| format!("{:19} {remedy}", "")));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remedy_stands_below_what_it_is_for() {
        let findings = [
            Finding { check: "emulator", health: Health::Ok, message: "QEMU 7.2".to_owned(), remedy: None },
            Finding {
                check: "disk",
                health: Health::Fail,
                message: "full".to_owned(),
                remedy: Some("free some".to_owned()),
            },
        ];
        assert_eq!(
            text(&findings),
            "ok    emulator      QEMU 7.2\nFAIL  disk          full\n                    free some"
        );
    }

    #[test]
    fn checks_have_names_of_their_own() {
        let names: std::collections::BTreeSet<&str> = CHECKS.iter().map(|check| check.name).collect();
        assert_eq!(names.len(), CHECKS.len());
    }
}
