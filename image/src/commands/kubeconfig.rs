//! `skerry kubeconfig`: the way into a cluster, for kubectl or for whoever reads files.

use super::{Command, Context, Named};
use crate::cluster::ask::Report;
use crate::cluster::emulator::CODE;
use crate::cluster::{Cluster, access, context as user, enter, life};
use crate::exit::{Code, Failure};
use crate::output;
use anyhow::Result;
use clap::{Args, FromArgMatches};
use serde_json::json;
use std::io::Write;
use std::time::Duration;
use tokio::time::Instant;

/// The line of the table.
pub const COMMAND: Command = Command {
    name: "kubeconfig",
    about: "Put a cluster's context into your kubeconfig, or print it",
    hidden: false,
    arguments: |command| Arguments::augment_args(command),
    run: |matches, context| {
        let arguments = Arguments::from_arg_matches(matches)?;
        context.runtime.block_on(run(&arguments, context))
    },
};

/// How long a login may take when the API has said that it is there.
const LOGIN_WAIT: Duration = Duration::from_secs(30);

#[derive(Args)]
struct Arguments {
    #[command(flatten)]
    named: Named,
    /// Print a kubeconfig of this cluster alone on standard output, and change no file
    #[arg(long)]
    print: bool,
}

async fn run(arguments: &Arguments, context: &Context) -> Result<()> {
    let cluster = Cluster::existing(&arguments.named.name)?;
    // Nobody has logged in yet when the machine was started without waiting for it.
    if cluster.path(CODE).exists()
        && let Some(mut supervisor) = life::reach(&cluster).await?
    {
        let report: Report = supervisor.ask(&json!({"do": "status"})).await?;
        if report.milestone("api").is_some() {
            enter::enter(&cluster, report.port, Instant::now() + LOGIN_WAIT, &context.interrupt).await?;
        }
    }
    let entry = access::entry(&cluster)?.ok_or_else(|| {
        Failure::new(Code::NoCluster, format!("nobody has logged in to cluster {:?} yet", cluster.name))
            .advice(format!("skerry start --name {}", cluster.name))
    })?;
    if arguments.print {
        let text = pki::kubeconfig::write(&entry)?;
        return Ok(output::unless_closed(std::io::stdout().write_all(text.as_bytes()))?);
    }
    let path = user::merge(&entry)?;
    context.output.say(&format!("Context {:?} is in {} and current.", cluster.name, path.display()));
    Ok(context.output.data("", &json!({"context": cluster.name, "kubeconfig": path}))?)
}
