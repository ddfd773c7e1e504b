//! `skerry kubeconfig`: the way into a cluster, for kubectl or for whoever reads files.

use super::{Command, Context, Named};
use crate::cluster::{Cluster, access, context as user};
use crate::exit::{Code, Failure};
use anyhow::Result;
use clap::{Args, FromArgMatches};
use serde_json::json;
use std::io::Write;

/// The line of the table.
pub const COMMAND: Command = Command {
    name: "kubeconfig",
    about: "Put a cluster's context into your kubeconfig, or print it",
    hidden: false,
    arguments: |command| Arguments::augment_args(command),
    run: |matches, context| run(&Arguments::from_arg_matches(matches)?, context),
};

#[derive(Args)]
struct Arguments {
    #[command(flatten)]
    named: Named,
    /// Print a kubeconfig of this cluster alone on standard output, and change no file
    #[arg(long)]
    print: bool,
}

fn run(arguments: &Arguments, context: &Context) -> Result<()> {
    let cluster = Cluster::existing(&arguments.named.name)?;
    let entry = access::entry(&cluster)?.ok_or_else(|| {
        Failure::new(Code::NoCluster, format!("nobody has logged in to cluster {:?} yet", cluster.name))
            .advice(format!("skerry start --name {}", cluster.name))
    })?;
    if arguments.print {
        let text = pki::kubeconfig::write(&entry)?;
        return Ok(std::io::stdout().write_all(text.as_bytes())?);
    }
    let path = user::merge(&entry)?;
    context.output.say(&format!("Context {:?} is in {} and current.", cluster.name, path.display()));
    Ok(context.output.data("", &json!({"context": cluster.name, "kubeconfig": path}))?)
}
