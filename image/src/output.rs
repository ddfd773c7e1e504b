//! Where words go: messages for people on standard error, results on standard output, as text or as one JSON object.

use crate::exit::Failure;
use serde::Serialize;
use std::ffi::OsString;
use std::io::{IsTerminal, Write};

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One object for programs.
    Json,
}

/// Prints. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Output {
    /// How results are printed.
    pub format: Format,
    /// Whether standard error is a terminal that can move its cursor: bars only there.
    pub terminal: bool,
    /// Whether it shows colours, and its user wants them (<https://no-color.org>).
    pub colour: bool,
}

impl Output {
    /// For this process.
    pub fn new(format: Format) -> Output {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let terminal = std::io::stderr().is_terminal() && set("TERM").is_none_or(|kind| kind != "dumb");
        Output { format, terminal, colour: terminal && set("NO_COLOR").is_none() }
    }

    /// One line for people. A standard error that is closed loses it.
    pub fn say(&self, line: &str) {
        let _ = writeln!(std::io::stderr(), "{line}");
    }

    /// A warning for people.
    pub fn warn(&self, line: &str) {
        self.say(&format!("warning: {line}"));
    }

    /// The result of a command: `text` for people, `value` for programs.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn data(&self, text: &str, value: &impl Serialize) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        unless_closed(match self.format {
            Format::Text if text.is_empty() => Ok(()),
            Format::Text => writeln!(out, "{text}"),
            Format::Json => {
                serde_json::to_writer(&mut out, value).map_err(std::io::Error::from).and_then(|()| writeln!(out))
            }
        })
    }

    /// What went wrong and what to do about it. JSON goes to standard output: there it is the result.
    pub fn failure(&self, failure: &Failure) {
        if self.format == Format::Json {
            if failure.told {
                return;
            }
            // Nothing is left to be told to when even this cannot be written.
            let _ = self.data("", failure);
            return;
        }
        let (red, off) = if self.colour { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
        self.say(&format!("{red}error:{off} {}", failure.message));
        if let Some(advice) = &failure.advice {
            self.say(&format!("  {advice}"));
        }
    }
}

/// What came of writing a result. Who closes our standard output, as `head` does, wants no more of it: that is no failure.
///
/// # Errors
/// Any other than that.
pub fn unless_closed(written: std::io::Result<()>) -> std::io::Result<()> {
    match written {
        Err(error) if is_closed(&error) => Ok(()),
        other => other,
    }
}

/// Whether an error of writing a result says that nobody reads any more.
pub fn is_closed(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::BrokenPipe
}

/// The format asked for, read before the command line is parsed: wrong usage is reported in it too.
pub fn wanted(arguments: &[OsString]) -> Format {
    let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
    let apart = words.windows(2).any(|pair| (pair[0] == "-o" || pair[0] == "--output") && pair[1] == "json");
    let joined = words.iter().any(|word| word == "-ojson" || word == "-o=json" || word == "--output=json");
    if apart || joined { Format::Json } else { Format::Text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_json_is_seen_before_parsing() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        for line in ["skerry -o json x", "skerry x -ojson", "skerry x --output=json", "skerry x --output json"] {
            assert_eq!(wanted(&words(line)), Format::Json, "{line}");
        }
        assert_eq!(wanted(&words("skerry x -o text")), Format::Text);
    }
}
