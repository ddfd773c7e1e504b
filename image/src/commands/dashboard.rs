//! `skerry dashboard`: logs a browser in to a cluster's dashboard, and leads it there until Ctrl-C.

use super::{Command, Context, Named};
use crate::cluster::access::{self, Api, json_of};
use crate::cluster::ask::Report;
use crate::cluster::relay::{Relay, listen};
use crate::cluster::{Cluster, life};
use crate::exit::{Code, Failure};
use anyhow::{Context as _, Result, anyhow};
use clap::{Args, FromArgMatches};
use serde_json::json;
use std::io::Write;
use std::process::Stdio;

/// The line of the table.
pub const COMMAND: Command = Command {
    name: "dashboard",
    about: "Open a cluster's dashboard in the browser",
    hidden: false,
    arguments: |command| Arguments::augment_args(command),
    run: |matches, context| {
        let arguments = Arguments::from_arg_matches(matches)?;
        context.runtime.block_on(run(&arguments, context))
    },
};

/// Tried first, so that a browser finds its session and its settings again.
const USUAL_PORT: u16 = 6480;

#[derive(Args)]
struct Arguments {
    #[command(flatten)]
    named: Named,
    /// Print the address on standard output, and open no browser
    #[arg(long)]
    url: bool,
    /// Port on 127.0.0.1 [default: 6480 or any free one]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
}

async fn run(arguments: &Arguments, context: &Context) -> Result<()> {
    let cluster = Cluster::existing(&arguments.named.name)?;
    let mut supervisor = life::running(&cluster).await?;
    let entry = access::entry(&cluster)?.ok_or_else(|| {
        Failure::new(Code::NoCluster, format!("nobody has logged in to cluster {:?} yet", cluster.name))
            .advice(format!("skerry start --name {}", cluster.name))
    })?;
    let relay = Relay::new(&entry)?;
    let (listener, port) = listen(arguments.port, USUAL_PORT).await.map_err(|error| {
        anyhow!(Failure::new(Code::Taken, format!("{error:#}")).advice("choose another one with --port"))
    })?;
    let api = Api::new(&entry)?;
    let ticket = context.runtime.spawn_blocking(move || ticket(&api)).await??;
    let url = format!("http://127.0.0.1:{port}/dashboard/#ticket={ticket}");
    let carrying = tokio::spawn(relay.run(listener));
    context.output.data(if arguments.url { &url } else { "" }, &json!({"url": url, "port": port}))?;
    std::io::stdout().flush()?;
    if !arguments.url && !opened(&url) {
        context.output.say(&format!("Open this in a browser, within two minutes; it is good once:\n\n  {url}\n"));
    }
    context.output.say("The dashboard is there until Ctrl-C.");
    supervisor.send(&json!({"do": "watch"})).await?;
    tokio::select! {
        () = context.interrupt.wait() => Ok(()),
        ended = carrying => ended.context("leading to the dashboard")?,
        words = end(&mut supervisor) => {
            Err(Failure::new(Code::NoCluster, format!("the machine of cluster {:?} {}", cluster.name, words?)).into())
        }
    }
}

/// Asks for a login, as the administrator.
fn ticket(api: &Api) -> Result<String> {
    let answer = json_of(api.post("/skerry/v1/dashboard/ticket", "application/json", &mut std::io::empty())?)?;
    answer["ticket"].as_str().map(str::to_owned).context("the machine's answer has no ticket")
}

/// Hands the address to the desktop, where there is one. The address is not a secret for long, and good once.
fn opened(url: &str) -> bool {
    let desktop = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    let open = || {
        let mut command = std::process::Command::new("xdg-open");
        command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()
    };
    desktop && open().is_ok_and(|status| status.success())
}

/// Waits until the machine has ended, and tells how.
async fn end(supervisor: &mut crate::cluster::ask::Supervisor) -> Result<String> {
    while let Some(report) = supervisor.next::<Report>().await? {
        if let Some(end) = report.end {
            return Ok(end.words());
        }
    }
    Ok("is gone".to_owned())
}
