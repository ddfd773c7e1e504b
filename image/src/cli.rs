//! The command line as clap sees it, made from the table of commands; and the defaults that a user prefers for its
//! options, by the options' own names.

use crate::cluster::preferences::Preferences;
use crate::commands::COMMANDS;
use crate::exit::{Code, Failure};
use crate::output::Format;
use clap::{Arg, Command};

/// An option that has such a variable may have another default.
const VARIABLE: &str = "SKERRY_";

/// The command line with its own defaults.
pub fn bare() -> Command {
    let format = Arg::new("output").short('o').long("output").global(true).value_name("FORMAT");
    let format = format.value_parser(clap::value_parser!(Format)).default_value("text");
    let top = Command::new("skerry")
        .about("A whole Kubernetes cluster in one small machine image")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(format.help("How results are printed: text for people, json for programs"));
    COMMANDS.iter().fold(top, |top, command| {
        // The table speaks last: arguments that are shared bring their own words along.
        let built = (command.arguments)(Command::new(command.name).hide(command.hidden));
        top.subcommand(built.about(command.about).long_about(None))
    })
}

/// The command line as it is described to people: without what `skerry` starts of itself.
pub fn shown() -> Command {
    let hidden = |name: &str| COMMANDS.iter().any(|command| command.hidden && command.name == name);
    let whole = bare();
    let commands: Vec<Command> = whole.get_subcommands().filter(|c| !hidden(c.get_name())).cloned().collect();
    let mut top = Command::new("skerry").version(env!("CARGO_PKG_VERSION")).subcommand_required(true);
    if let Some(about) = whole.get_about() {
        top = top.about(about.clone());
    }
    top.args(whole.get_arguments().cloned()).subcommands(commands)
}

/// The command line with the defaults that a user prefers. A variable goes before them, a flag before both.
///
/// # Errors
/// `Refused` for a key that no option has and for a value that its option does not take.
pub fn preferring(preferences: &Preferences) -> Result<Command, Failure> {
    let mut top = bare();
    for (key, value) in preferences {
        check(key, value)?;
        // As long as the process: clap keeps defaults by reference.
        top = set(top, key, value.clone().leak());
    }
    Ok(top)
}

/// Gives an option of a command, and of all commands below it, another default.
fn set(mut command: Command, key: &str, value: &'static str) -> Command {
    let found = command.get_arguments().find(|arg| arg.get_long() == Some(key) && is_preferable(arg));
    if let Some(id) = found.map(|arg| arg.get_id().clone()) {
        command = command.mut_arg(id, |arg| arg.default_value(value));
    }
    let below: Vec<String> = command.get_subcommands().map(|inner| inner.get_name().to_owned()).collect();
    below.into_iter().fold(command, |command, name| command.mut_subcommand(name, |inner| set(inner, key, value)))
}

fn is_preferable(arg: &Arg) -> bool {
    arg.get_env().is_some_and(|name| name.to_string_lossy().starts_with(VARIABLE))
}

/// Every option of a command and of all below it that may have another default.
fn preferable(command: &Command) -> Vec<&Arg> {
    let own = command.get_arguments().filter(|arg| is_preferable(arg));
    own.chain(command.get_subcommands().flat_map(preferable)).collect()
}

/// An option that may have another default.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Its name.
    pub name: String,
    /// The variable that goes before a preferred default.
    pub variable: String,
    /// What it is, in its own words.
    pub help: String,
}

/// Every option that may have another default, by name.
pub fn keys() -> Vec<Key> {
    let top = bare();
    let mut all: Vec<Key> = Vec::new();
    for arg in preferable(&top) {
        let Some(name) = arg.get_long() else { continue };
        if !all.iter().any(|key| key.name == name) {
            let variable = arg.get_env().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            all.push(Key { name: name.to_owned(), variable, help });
        }
    }
    all.sort();
    all
}

/// Whether an option is there and takes a value.
///
/// # Errors
/// `Refused`, naming the key and what would do.
pub fn check(key: &str, value: &str) -> Result<(), Failure> {
    let top = bare();
    let options: Vec<&Arg> = preferable(&top).into_iter().filter(|arg| arg.get_long() == Some(key)).collect();
    if options.is_empty() {
        let names: Vec<String> = keys().into_iter().map(|key| key.name).collect();
        let failure = Failure::new(Code::Refused, format!("{key}: there is no such preference"));
        return Err(failure.advice(format!("there are {}", names.join(", "))));
    }
    for arg in options {
        // Parsed as by the option, but alone: what it conflicts with is not here.
        let mut like = Arg::new("value").long(key.to_owned().leak() as &str).action(arg.get_action().clone());
        like = like.value_parser(arg.get_value_parser().clone());
        if let Some(delimiter) = arg.get_value_delimiter() {
            like = like.value_delimiter(delimiter);
        }
        let alone = Command::new("skerry").no_binary_name(true).disable_help_flag(true).arg(like);
        if let Err(error) = alone.try_get_matches_from([format!("--{key}={value}")]) {
            let text = error.render().to_string();
            let why = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
            let failure = Failure::new(Code::Refused, format!("{key}: {why}"));
            return Err(failure.advice(format!("skerry config set {key} VALUE, or skerry config unset {key}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preferences(pairs: &[(&str, &str)]) -> Preferences {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn memory(preferences: &Preferences, words: &[&str]) -> Option<u64> {
        let matches = preferring(preferences).unwrap().try_get_matches_from(words).unwrap();
        matches.subcommand().unwrap().1.get_one::<u64>("memory").copied()
    }

    #[test]
    fn every_command_says_of_itself_what_the_table_says() {
        for command in COMMANDS {
            let built = bare();
            let found = built.find_subcommand(command.name).unwrap();
            assert_eq!(found.get_about().map(ToString::to_string).as_deref(), Some(command.about));
        }
    }

    #[test]
    fn the_command_line_has_no_contradictions() {
        bare().debug_assert();
        shown().debug_assert();
        preferring(&preferences(&[("cpus", "4"), ("name", "x"), ("timeout", "9s")])).unwrap().debug_assert();
    }

    #[test]
    fn an_unknown_flag_is_wrong_usage() {
        let error = bare().try_get_matches_from(["skerry", "version", "--no-such-flag"]).expect_err("an error");
        assert!(error.use_stderr());
    }

    #[test]
    fn a_flag_goes_before_what_is_preferred() {
        let prefers = preferences(&[("memory", "4G")]);
        assert_eq!(memory(&prefers, &["skerry", "start"]), Some(4 << 30));
        assert_eq!(memory(&prefers, &["skerry", "start", "--memory", "1G"]), Some(1 << 30));
        assert_eq!(memory(&Preferences::new(), &["skerry", "start"]), None);
    }

    #[test]
    fn what_is_wrong_is_refused_by_the_keys_name() {
        for (key, value, words) in [
            ("memory", "lots", "write a size"),
            ("memory", "4M", "at least"),
            ("cpus", "0", "1..="),
            ("cups", "2", "there are"),
            ("output", "json", "there are"),
        ] {
            let failure = check(key, value).unwrap_err();
            assert_eq!(failure.code, Code::Refused);
            let text = format!("{} {}", failure.message, failure.advice.unwrap_or_default());
            assert!(text.starts_with(&format!("{key}: ")) && text.contains(words), "{text}");
        }
        check("wait", "api").unwrap();
    }

    #[test]
    fn hidden_commands_are_not_described() {
        assert!(shown().find_subcommand("supervise").is_none());
        assert!(shown().find_subcommand("start").is_some());
    }
}
