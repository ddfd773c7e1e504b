//! `skerry config`: the defaults that a user prefers for options.

use super::{Command, Context};
use crate::cli::{self, Key};
use crate::cluster::preferences::{self, Preferences};
use crate::exit::{Code, Failure};
use anyhow::{Result, bail};
use clap::{Args, FromArgMatches, Subcommand};
use serde::Serialize;
use serde_json::json;

/// The line of the table.
pub const COMMAND: Command = Command {
    name: "config",
    about: "Show and change your own defaults of options",
    hidden: false,
    arguments: |command| Arguments::augment_args(command),
    run: |matches, context| run(&Arguments::from_arg_matches(matches)?, context),
};

#[derive(Args)]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Show every key with its value and where that comes from
    List,
    /// Print the value of a key
    Get {
        /// The name of an option, such as memory
        key: String,
    },
    /// Make a value the default of an option
    Set {
        /// The name of an option, such as memory
        key: String,
        /// The value, as it would be typed
        value: String,
    },
    /// Go back to the option's own default
    Unset {
        /// The name of an option, such as memory
        key: String,
    },
}

/// A key as it stands.
#[derive(Serialize)]
struct Line {
    key: String,
    value: Option<String>,
    source: &'static str,
    variable: String,
    help: String,
}

fn run(arguments: &Arguments, context: &Context) -> Result<()> {
    match &arguments.action {
        Action::List => {
            let known = preferences::read()?;
            let lines: Vec<Line> = cli::keys().into_iter().map(|key| line(key, &known)).collect();
            let mut text = format!("{:<18} {:<14} {:<12} {}", "KEY", "VALUE", "FROM", "WHAT");
            for Line { key, value, source, help, .. } in &lines {
                let value = value.as_deref().unwrap_or("-");
                text.push_str(&format!("\n{key:<18} {value:<14} {source:<12} {help}"));
            }
            context.output.data(&text, &lines)?;
            context.output.say(&format!("The file is {}.", preferences::path()?.display()));
        }
        Action::Get { key } => {
            let known = preferences::read()?;
            let Some(found) = cli::keys().into_iter().find(|known| known.name == *key) else {
                // Says which keys there are.
                return Ok(cli::check(key, "")?);
            };
            let line = line(found, &known);
            let Some(value) = &line.value else {
                let failure = Failure::new(Code::Refused, format!("{key}: nothing is preferred"));
                bail!(
                    failure.advice(format!("skerry config set {key} VALUE; skerry start --help tells its own default"))
                );
            };
            context.output.data(value, &line)?;
        }
        Action::Set { key, value } => {
            cli::check(key, value)?;
            let mut known = preferences::read()?;
            known.insert(key.clone(), value.clone());
            preferences::write(&known)?;
            context.output.say(&format!("{key} is {value} where nothing else is said."));
            context.output.data("", &json!({"key": key, "value": value}))?;
        }
        Action::Unset { key } => {
            let mut known = preferences::read()?;
            // A key that an older skerry knew can be taken out, too.
            if known.remove(key).is_none() && !cli::keys().iter().any(|known| known.name == *key) {
                return Ok(cli::check(key, "")?);
            }
            preferences::write(&known)?;
            context.output.data("", &json!({"key": key, "value": null}))?;
        }
    }
    Ok(())
}

fn line(key: Key, known: &Preferences) -> Line {
    let variable = std::env::var(&key.variable).ok().filter(|value| !value.is_empty());
    let (value, source) = match (variable, known.get(&key.name)) {
        (Some(value), _) => (Some(value), "environment"),
        (None, Some(value)) => (Some(value.clone()), "config"),
        (None, None) => (None, "default"),
    };
    Line { key: key.name, value, source, variable: key.variable, help: key.help }
}
