//! `skerry logs`: the console of a cluster's machine, or the log of one of its services.

use super::{Command, Context, Named};
use crate::cluster::access::{self, Answered, Api};
use crate::cluster::emulator::SERIAL_LOG;
use crate::cluster::milestones::Lines;
use crate::cluster::{Cluster, life};
use crate::exit::{Code, Failure};
use crate::output;
use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Args, FromArgMatches};
use serde_json::json;
use std::io::{Read, Write};

/// The line of the table.
pub const COMMAND: Command = Command {
    name: "logs",
    about: "Show the console of a cluster's machine, or the log of one of its services",
    hidden: false,
    arguments: |command| Arguments::augment_args(command),
    run: |matches, context| {
        let arguments = Arguments::from_arg_matches(matches)?;
        context.runtime.block_on(run(&arguments, context))
    },
};

/// Bytes of a log that are read at most: twice what a machine keeps of its console.
const LOG_BYTES_MAX: u64 = 16 << 20;

#[derive(Args)]
struct Arguments {
    #[command(flatten)]
    named: Named,
    /// A service of the machine, such as node or containerd [default: the machine's console]
    service: Option<String>,
    /// Go on with the lines of the console as they come
    #[arg(short, long, conflicts_with = "service")]
    follow: bool,
    /// Lines of a service's log
    #[arg(long, value_name = "COUNT", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1000))]
    lines: u32,
}

async fn run(arguments: &Arguments, context: &Context) -> Result<()> {
    let cluster = Cluster::existing(&arguments.named.name)?;
    match &arguments.service {
        Some(service) => {
            life::running(&cluster).await?;
            let (cluster, service, lines) = (cluster.clone(), service.clone(), arguments.lines);
            context.runtime.spawn_blocking(move || of_service(&cluster, &service, lines)).await?
        }
        // Ends when nobody reads any more, too.
        None if arguments.follow => match follow(&cluster, context).await {
            Err(error) if error.downcast_ref().is_some_and(output::is_closed) => Ok(()),
            other => other,
        },
        None => Ok(output::unless_closed(show(&read(&cluster)?))?),
    }
}

/// The console of the running machine, or of the last one.
fn read(cluster: &Cluster) -> Result<Vec<String>> {
    let path = cluster.path(SERIAL_LOG);
    let file = std::fs::File::open(&path).map_err(|error| {
        Failure::new(Code::NoCluster, format!("no machine of cluster {:?} has said anything: {error}", cluster.name))
    })?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES_MAX).read_to_end(&mut bytes).with_context(|| format!("reading {}", path.display()))?;
    bytes.push(b'\n');
    Ok(Lines::default().push(&bytes))
}

fn show(lines: &[String]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    lines.iter().try_for_each(|line| writeln!(out, "{line}"))
}

async fn follow(cluster: &Cluster, context: &Context) -> Result<()> {
    let mut supervisor = life::running(cluster).await?;
    supervisor.send(&json!({"do": "console"})).await?;
    show(&read(cluster)?)?;
    loop {
        let line = tokio::select! {
            line = supervisor.next::<String>() => line?,
            () = context.interrupt.wait() => return Ok(()),
        };
        match line {
            Some(line) => show(&[line])?,
            None => return Ok(()),
        }
    }
}

fn of_service(cluster: &Cluster, service: &str, lines: u32) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !service.chars().all(plain) {
        bail!(Failure::new(Code::Usage, format!("{service:?} is no name of a service")));
    }
    let api = Api::of(cluster)?;
    let answer = api.get(&format!("/skerry/v1/logs/{service}?lines={lines}"));
    let answer = answer.map_err(|error| match error.downcast_ref::<Answered>() {
        Some(answered) if answered.code == 404 => {
            let failure = Failure::new(Code::Usage, answered.message.clone());
            anyhow!(match services(&api) {
                Ok(names) => failure.advice(format!("there are {}", names.join(", "))),
                Err(_) => failure,
            })
        }
        _ => error,
    })?;
    let shown = std::io::copy(&mut answer.into_body().into_reader(), &mut std::io::stdout()).map(drop);
    output::unless_closed(shown).context("showing the log")
}

fn services(api: &Api) -> Result<Vec<String>> {
    let answer = access::json_of(api.get("/skerry/v1/logs")?)?;
    Ok(answer["services"].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect())
}
