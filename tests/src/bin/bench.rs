//! `scripts/bench`: reads the command line, measures by way of `tests::bench`, writes the table.

use ::tests::bench::{PARTS, Part, Wish};
use ::tests::harness::target;
use anyhow::Context;
use clap::Parser;
use clap::builder::PossibleValue;
use std::path::PathBuf;
use std::process::ExitCode;

/// Everything.
const ALL: &str = "all";

/// Measures the booted machine and prints the figures as a table in Markdown.
///
/// SKERRY_BIN and SKERRY_IMAGE name another `skerry` and another folder of an image than those of the build. What
/// fails is told below the table, the rest is measured all the same, and the exit code is 1.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    /// What to measure
    #[arg(value_name = "PART", required = true, value_parser = parts())]
    parts: Vec<String>,
    /// Boots of each kind
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    boots: u16,
    /// Memory of the machine, MiB [default: what `skerry start` takes]
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u32).range(64..))]
    memory: Option<u32>,
    /// Where the table is written too [default: target/bench/DATE.md]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn parts() -> Vec<PossibleValue> {
    let all = PossibleValue::new(ALL).help("all of these");
    PARTS.iter().map(|part| PossibleValue::new(part.name).help(part.about)).chain([all]).collect()
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let wanted = |part: &&Part| arguments.parts.iter().any(|word| word == part.name || word == ALL);
    let wish = Wish { boots: arguments.boots, memory_mb: arguments.memory };
    let outcome = ::tests::bench::run(&PARTS.iter().filter(wanted).collect::<Vec<_>>(), wish)?;
    print!("{}", outcome.text);
    let place = arguments.out.unwrap_or_else(usual_place);
    if let Some(folder) = place.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    std::fs::write(&place, &outcome.text).with_context(|| format!("writing {}", place.display()))?;
    eprintln!("the table is in {}", place.display());
    Ok(if outcome.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A file of this minute below `target/`.
fn usual_place() -> PathBuf {
    let name = format!("{}.md", jiff::Zoned::now().strftime("%Y-%m-%dT%H%M"));
    target().join("bench").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_has_no_contradictions() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn each_part_is_chosen_by_its_name_and_anything_else_refused() {
        for part in PARTS {
            Arguments::try_parse_from(["bench", part.name, "--boots", "1"]).unwrap();
        }
        assert!(Arguments::try_parse_from(["bench", "nonsense"]).is_err());
        assert!(Arguments::try_parse_from(["bench"]).is_err());
    }
}
