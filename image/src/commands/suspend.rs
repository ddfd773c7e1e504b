//! `skerry suspend`: saves a cluster's machine as it runs to a file and ends its emulator; `skerry start` lets it go on.
//! `skerry stop` does the same where it can.

use super::{Command, Context, Named};
use crate::cluster::access::Api;
use crate::cluster::ask::{End, Report, Supervisor};
use crate::cluster::settings::{Driver, Settings};
use crate::cluster::{Cluster, life, saved};
use crate::exit::{Code, Failure};
use crate::steps::Step;
use anyhow::{Context as _, Result, bail};
use clap::{Args, FromArgMatches};
use nix::sys::statvfs::statvfs;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// What the devices have to tell beside the memory, and room for the cluster's other files, bytes.
const SPARE: u64 = 64 << 20;
/// How long the machine may take to write out its disk: one that is well has hardly anything to write.
const FLUSH_WAIT: Duration = Duration::from_secs(20);
/// How long the machine may take to be gone once its memory is saved, or to go on again.
const END_WAIT: Duration = Duration::from_secs(30);

/// The line of the table.
pub const COMMAND: Command = Command {
    name: "suspend",
    about: "Save a running cluster to disk and free its memory; start lets it go on where it was",
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
    /// How long to wait, such as 90s or 5m
    #[arg(long, env = "SKERRY_TIMEOUT", value_name = "TIME", default_value = "5m", value_parser = super::duration)]
    timeout: Duration,
}

async fn run(arguments: &Arguments, context: &Context) -> Result<()> {
    let cluster = Cluster::existing(&arguments.named.name)?;
    let _lock = cluster.lock()?;
    let answer = |bytes: u64| json!({"cluster": cluster.name, "saved_bytes": bytes});
    let running = life::reach(&cluster).await?;
    if running.is_none() && saved::exists(&cluster) {
        context.output.say(&format!("Cluster {:?} is suspended already.", cluster.name));
        return Ok(context.output.data("", &answer(cluster.path(saved::MEMORY).metadata()?.len()))?);
    }
    let mut supervisor = life::running(&cluster).await?;
    let report: Report = supervisor.ask(&json!({"do": "status"})).await?;
    check(&cluster, &report)?;
    let step = Step::begin(&context.output, format!("Suspended {:?}", cluster.name));
    let bytes = keep(&cluster, supervisor, &report, context, &step, arguments.timeout).await?;
    step.done(&format!("{} MiB", bytes >> 20));
    Ok(context.output.data("", &answer(bytes))?)
}

/// Saves the memory of a machine that was checked, and ends it; how many bytes it became.
///
/// # Errors
/// When it was not saved: then the machine runs on. When nobody knows how it ended.
pub async fn keep(
    cluster: &Cluster,
    mut supervisor: Supervisor,
    report: &Report,
    context: &Context,
    step: &Step,
    timeout: Duration,
) -> Result<u64> {
    let deadline = Instant::now() + timeout;
    flush(cluster, context, deadline).await?;
    // Looked at from the beginning, since the supervisor ends with the machine.
    let mut reports = watch(cluster).await?;
    let bytes = save(&mut supervisor, context, step, u64::from(report.memory_mb) << 20, deadline).await;
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(error) => {
            // Hanging up lets the machine go on, which is waited for.
            drop(supervisor);
            until(&mut watch(cluster).await?, |report| report.paused.is_none() || report.end.is_some()).await?;
            return Err(error);
        }
    };
    match until(&mut reports, |report| report.end.is_some()).await?.end {
        Some(End::Suspended) => Ok(bytes),
        end => {
            let how = end.as_ref().map(End::words).unwrap_or_default();
            bail!("suspending cluster {:?}: the machine {how}; skerry start boots it", cluster.name);
        }
    }
}

/// Has the machine write out its disk: should its memory be of no use later, the disk lacks nothing.
async fn flush(cluster: &Cluster, context: &Context, deadline: Instant) -> Result<()> {
    let api = Api::of(cluster)?;
    let asked = tokio::task::spawn_blocking(move || api.post("/skerry/v1/flush", "application/json", &mut &b"{}"[..]));
    let answered = tokio::select! {
        answered = timeout_at(deadline.min(Instant::now() + FLUSH_WAIT), asked) => answered,
        () = context.interrupt.wait() => { context.interrupt.check()?; return Ok(()) }
    };
    let answered = answered.context("the machine does not write out its disk in time")??;
    answered.map(drop).context("the machine does not write out its disk")
}

/// What can be said before the machine is touched.
///
/// # Errors
/// When it cannot be suspended: `HostLacks` for want of room.
pub fn check(cluster: &Cluster, report: &Report) -> Result<()> {
    let (name, stop) = (&cluster.name, format!("skerry stop --name {} keeps all that is on disk", cluster.name));
    if Settings::read(cluster)?.driver != Driver::Qemu {
        bail!(Failure::new(Code::Usage, "only machines in QEMU are suspended").advice(stop));
    }
    if let Some(why) = &report.paused {
        bail!(Failure::new(Code::NoCluster, format!("cluster {name:?} stands still: {why}")));
    }
    if report.milestone("ready").is_none() || report.milestone("shutdown").is_some() {
        let failure =
            Failure::new(Code::NoCluster, format!("cluster {name:?} is not ready, so it cannot be suspended"));
        bail!(failure.advice(format!("skerry start --name {name} waits until it is; {stop}")));
    }
    if saved::launched(cluster).is_none() {
        let failure = Failure::new(Code::NoCluster, format!("cluster {name:?} was started by an older skerry"));
        bail!(failure.advice(format!("skerry stop and skerry start it once; {stop}")));
    }
    let found = statvfs(&cluster.folder).with_context(|| format!("looking at {}", cluster.folder.display()))?;
    let free = found.blocks_available().saturating_mul(found.fragment_size());
    room(free, u64::from(report.memory_mb) << 20).map_err(|why| {
        let place = cluster.folder.display();
        Failure::new(Code::HostLacks, format!("no room for the memory in {place}: {why}"))
            .advice(format!("free some space; {stop}"))
    })?;
    Ok(())
}

/// Whether `memory` bytes have room where `free` bytes are free.
fn room(free: u64, memory: u64) -> Result<(), String> {
    let needed = memory + SPARE;
    if free >= needed {
        return Ok(());
    }
    Err(format!("{} MiB are free and {} may be needed", free >> 20, needed >> 20))
}

/// Has the supervisor save the memory, and shows how far it is; how many bytes it became.
async fn save(
    supervisor: &mut Supervisor,
    context: &Context,
    step: &Step,
    memory: u64,
    deadline: Instant,
) -> Result<u64> {
    supervisor.send(&json!({"do": "suspend"})).await?;
    loop {
        let line = tokio::select! {
            line = timeout_at(deadline, supervisor.next::<Value>()) => line,
            () = context.interrupt.wait() => { context.interrupt.check()?; continue }
        };
        let Ok(line) = line else {
            let failure =
                Failure::new(Code::TimedOut, "timed out while the memory was being saved; the machine runs on");
            bail!(failure.advice("--timeout waits longer"));
        };
        let line = line?.context("the supervisor of the machine has died; try again")?;
        let bytes = line["saved_bytes"].as_u64().unwrap_or(0);
        if line["done"] == true {
            return Ok(bytes);
        }
        step.bytes(bytes, memory);
    }
}

/// Reports of the machine, as they change.
async fn watch(cluster: &Cluster) -> Result<Supervisor> {
    let mut reports = Supervisor::connect(cluster).await?.context("the supervisor was there a moment ago")?;
    reports.send(&json!({"do": "watch"})).await?;
    Ok(reports)
}

/// The first report that is as wanted.
async fn until(reports: &mut Supervisor, wanted: impl Fn(&Report) -> bool) -> Result<Report> {
    let found = async {
        loop {
            let report =
                reports.next::<Report>().await?.context("the supervisor of the machine has died; try again")?;
            if wanted(&report) {
                return anyhow::Ok(report);
            }
        }
    };
    tokio::time::timeout(END_WAIT, found)
        .await
        .context("the machine neither ends nor goes on; skerry status says more")?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_needs_room_for_all_of_it_and_a_little_more() {
        room((2048 << 20) + SPARE, 2048 << 20).unwrap();
        let why = room(2000 << 20, 2048 << 20).unwrap_err();
        assert_eq!(why, "2000 MiB are free and 2112 may be needed");
    }
}
