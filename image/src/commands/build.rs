//! `skerry build`: makes kernel and root file system from this checkout and the package mirror.

use super::{Command, Context};
use crate::build::disk::{FORMATS, Format};
use crate::build::{self, Order};
use clap::{Args, FromArgMatches};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// The line of the table.
pub const COMMAND: Command = Command {
    name: "build",
    about: "Build the machine image: kernel and root file system, and disks and CDs of them",
    hidden: false,
    arguments: |command| Arguments::augment_args(command),
    run: |matches, context| run(Arguments::from_arg_matches(matches)?, context),
};

#[derive(Args)]
struct Arguments {
    /// Fetch the newest versions of all packages and write them to the lock file
    #[arg(long)]
    update_lock: bool,
    /// Leave the Docker engine out
    #[arg(long)]
    without_docker: bool,
    /// Put a shell on the console: for diagnosis, never for release
    #[arg(long)]
    debug: bool,
    /// For development: pack the image even when programs of this workspace have not been built
    #[arg(long)]
    allow_missing_own: bool,
    /// Where the image goes [default: target/image in the checkout]
    #[arg(long, value_name = "FOLDER")]
    target: Option<PathBuf>,
    /// Disk images to make besides kernel and root: raw, qcow2, vdi, vmdk, ova, iso, several with commas, or all
    #[arg(long, value_name = "FORMAT", value_delimiter = ',', value_parser = formats)]
    format: Vec<Formats>,
    /// Make all formats and put them into this new folder, with the host command, sums and a bill of materials
    #[arg(long, value_name = "FOLDER")]
    release: Option<PathBuf>,
}

/// What one word of `--format` asks for: places in the table.
#[derive(Clone)]
struct Formats(Vec<usize>);

/// `direct` is what is always made: kernel and root.
fn formats(word: &str) -> Result<Formats, String> {
    if word == "direct" {
        return Ok(Formats(Vec::new()));
    }
    let found: Vec<usize> = (0..FORMATS.len()).filter(|index| word == "all" || FORMATS[*index].name == word).collect();
    let names: Vec<&str> = FORMATS.iter().map(|format| format.name).collect();
    if found.is_empty() {
        Err(format!("the formats are direct, {} and all", names.join(", ")))
    } else {
        Ok(Formats(found))
    }
}

/// Each once, in the order of the table.
fn chosen(arguments: &Arguments) -> Vec<&'static Format> {
    if arguments.release.is_some() {
        return FORMATS.iter().collect();
    }
    let places: BTreeSet<usize> = arguments.format.iter().flat_map(|formats| formats.0.clone()).collect();
    places.into_iter().map(|index| &FORMATS[index]).collect()
}

fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let formats = chosen(&arguments);
    let order = Order {
        formats,
        release: arguments.release,
        update_lock: arguments.update_lock,
        without_docker: arguments.without_docker,
        debug: arguments.debug,
        allow_missing_own: arguments.allow_missing_own,
        target: arguments.target,
    };
    let made = build::run(&order, &context.output, &context.interrupt)?;
    Ok(context.output.data(&made.summary(), &made.manifest)?)
}
