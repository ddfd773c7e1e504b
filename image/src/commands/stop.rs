//! `skerry stop`: presses the machine's power button and waits until it is off.

use super::{Command, Context, Named};
use crate::cluster::ask::Supervisor;
use crate::cluster::wait::Wait;
use crate::cluster::{Cluster, life, saved};
use crate::exit::{Code, Failure};
use crate::steps::Step;
use anyhow::Result;
use clap::{Args, FromArgMatches};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// The line of the table.
pub const COMMAND: Command = Command {
    name: "stop",
    about: "Shut a cluster's machine down; its state stays",
    hidden: false,
    arguments: |command| Arguments::augment_args(command),
    run: |matches, context| {
        let arguments = Arguments::from_arg_matches(matches)?;
        context.runtime.block_on(run(&arguments, context))
    },
};

#[derive(Args)]
struct Arguments {
    #[command(flatten)]
    named: Named,
    /// Cut the power instead of shutting down: what was not yet written is lost
    #[arg(long)]
    force: bool,
    /// How long to wait, such as 90s or 5m
    #[arg(long, env = "SKERRY_TIMEOUT", value_name = "TIME", default_value = "90s", value_parser = super::duration)]
    timeout: Duration,
}

async fn run(arguments: &Arguments, context: &Context) -> Result<()> {
    let cluster = Cluster::existing(&arguments.named.name)?;
    let _lock = cluster.lock()?;
    let answer = |was_running: bool| json!({"cluster": cluster.name, "was_running": was_running});
    let Some(mut supervisor) = life::reach(&cluster).await? else {
        context.output.say(&match saved::exists(&cluster) {
            true => {
                format!("Cluster {0:?} is suspended and stays so: skerry start --name {0} lets it go on.", cluster.name)
            }
            false => format!("Cluster {:?} is not running.", cluster.name),
        });
        return Ok(context.output.data("", &answer(false))?);
    };
    let step = Step::begin(&context.output, format!("Stopped {:?}", cluster.name));
    let Some(watch) = Supervisor::connect(&cluster).await? else {
        // It ended by itself in between, which is what was asked for.
        return Ok(context.output.data("", &answer(true))?);
    };
    let mut wait = Wait::begin(&cluster, watch, Instant::now() + arguments.timeout, &context.interrupt).await?;
    let order = if arguments.force { "cut" } else { "power-button" };
    let asked = supervisor.ask::<Value>(&json!({"do": order})).await;
    if let Err(error) = asked
        && !arguments.force
    {
        return Err(error);
    }
    wait.end().await.map_err(|error| match error.downcast_ref::<Failure>() {
        Some(failure) if failure.code == Code::TimedOut && !arguments.force => Failure::new(
            Code::TimedOut,
            format!("cluster {:?} did not shut down in {} s", cluster.name, arguments.timeout.as_secs()),
        )
        .advice(format!("skerry stop --force --name {} cuts its power", cluster.name))
        .into(),
        _ => error,
    })?;
    step.done("");
    Ok(context.output.data("", &answer(true))?)
}
