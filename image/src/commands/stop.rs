//! `skerry stop`: keeps the machine's memory, so that the next start goes on within a second; or presses its power button,
//! where that is asked for or cannot be, and waits until it is off.

use super::{Command, Context, Named, suspend};
use crate::cluster::ask::{Report, Supervisor};
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
    about: "Stop a cluster and keep everything; start lets it go on where it was",
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
    /// Shut the machine down instead of keeping its memory: the next start boots it anew
    #[arg(long)]
    power_off: bool,
    /// Cut the power instead of shutting down: what was not yet written is lost
    #[arg(long, conflicts_with = "power_off")]
    force: bool,
    /// How long to wait, such as 90s or 5m
    #[arg(long, env = "SKERRY_TIMEOUT", value_name = "TIME", default_value = "90s", value_parser = super::duration)]
    timeout: Duration,
}

async fn run(arguments: &Arguments, context: &Context) -> Result<()> {
    let cluster = Cluster::existing(&arguments.named.name)?;
    let _lock = cluster.lock()?;
    let answer = |was_running: bool, kept: u64| json!({"cluster": cluster.name, "was_running": was_running, "saved_bytes": kept});
    let Some(mut supervisor) = life::reach(&cluster).await? else {
        context.output.say(&match saved::exists(&cluster) {
            true => format!("Cluster {0:?} is stopped: skerry start --name {0} lets it go on.", cluster.name),
            false => format!("Cluster {:?} is not running.", cluster.name),
        });
        return Ok(context.output.data("", &answer(false, 0))?);
    };
    if !arguments.force && !arguments.power_off {
        if let Some(kept) = keep(&cluster, supervisor, arguments.timeout, context).await? {
            return Ok(context.output.data("", &answer(true, kept))?);
        }
        // Another connection, for the first one was given away.
        let Some(again) = life::reach(&cluster).await? else {
            return Ok(context.output.data("", &answer(true, 0))?);
        };
        supervisor = again;
    }
    let step = Step::begin(&context.output, format!("Shut {:?} down", cluster.name));
    let Some(watch) = Supervisor::connect(&cluster).await? else {
        // It ended by itself in between, which is what was asked for.
        return Ok(context.output.data("", &answer(true, 0))?);
    };
    let mut wait = Wait::begin(&cluster, watch, Instant::now() + arguments.timeout, &context.interrupt).await?;
    let pressed = async {
        if !arguments.force {
            wait.listens().await?;
        }
        let order = if arguments.force { "cut" } else { "power-button" };
        let asked = supervisor.ask::<Value>(&json!({"do": order})).await;
        if let Err(error) = asked
            && !arguments.force
        {
            return Err(error);
        }
        wait.end().await
    };
    pressed.await.map_err(|error| match error.downcast_ref::<Failure>() {
        Some(failure) if failure.code == Code::TimedOut && !arguments.force => Failure::new(
            Code::TimedOut,
            format!("cluster {:?} did not shut down in {} s", cluster.name, arguments.timeout.as_secs()),
        )
        .advice(format!("skerry stop --force --name {} cuts its power", cluster.name))
        .into(),
        _ => error,
    })?;
    step.done("");
    Ok(context.output.data("", &answer(true, 0))?)
}

/// Keeps the memory of a machine that runs, and ends it: how many bytes it became. None when it has to be shut down, of
/// which the user is told where he may expect otherwise.
async fn keep(
    cluster: &Cluster,
    mut supervisor: Supervisor,
    timeout: Duration,
    context: &Context,
) -> Result<Option<u64>> {
    let report: Report = supervisor.ask(&json!({"do": "status"})).await?;
    let why = |error: &anyhow::Error| {
        context.output.warn(&format!("the memory of {:?} is not kept: {error:#}", cluster.name));
    };
    if let Err(error) = suspend::check(cluster, &report) {
        // Of a machine that is not up, and of one in VirtualBox, there is nothing to keep.
        if Failure::of_kind(&error, Code::HostLacks) {
            why(&error);
        }
        return Ok(None);
    }
    let step = Step::begin(&context.output, format!("Stopped {:?}", cluster.name));
    match suspend::keep(cluster, supervisor, &report, context, &step, timeout).await {
        Ok(bytes) => {
            step.done(&format!("{} MiB of memory kept", bytes >> 20));
            Ok(Some(bytes))
        }
        Err(error) => {
            drop(step);
            context.interrupt.check()?;
            why(&error);
            Ok(None)
        }
    }
}
