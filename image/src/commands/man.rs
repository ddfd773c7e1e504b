//! `skerry man`: manual pages, made from the definitions of commands and options.

use super::{Command, Context};
use crate::cli;
use crate::output;
use anyhow::{Context as _, Result};
use clap::{Args, FromArgMatches};
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;

/// The line of the table.
pub const COMMAND: Command = Command {
    name: "man",
    about: "Write the manual pages into a folder, or print the first one",
    hidden: false,
    arguments: |command| Arguments::augment_args(command),
    run: |matches, context| run(&Arguments::from_arg_matches(matches)?, context),
};

#[derive(Args)]
struct Arguments {
    /// A folder for one page for each command, such as ~/.local/share/man/man1
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

fn run(arguments: &Arguments, context: &Context) -> Result<()> {
    let Some(folder) = &arguments.out else {
        let mut page = Vec::new();
        clap_mangen::Man::new(cli::shown()).render(&mut page)?;
        return Ok(output::unless_closed(std::io::stdout().write_all(&page))?);
    };
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    clap_mangen::generate_to(cli::shown(), folder).with_context(|| format!("writing into {}", folder.display()))?;
    context.output.say(&format!("The pages are in {}.  Try:  man -l {0}/skerry.1", folder.display()));
    Ok(context.output.data("", &json!({"folder": folder}))?)
}
