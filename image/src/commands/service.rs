//! `skerry service`: where Services of the cluster are reached on the host. It opens nothing: what it prints can be
//! clicked in a terminal and taken by scripts.

mod list;
mod ready;
mod url;

use super::{Command, Context, Named};
use crate::cluster::access::{self, Answered, Api};
use crate::cluster::ask::{Report, Supervisor};
use crate::cluster::{Cluster, life};
use crate::exit::{Code, Failure};
use crate::supervisor::forwards::Forward;
use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Args, FromArgMatches, Subcommand};
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The line of the table.
pub const COMMAND: Command = Command {
    name: "service",
    about: "Show where Services of the cluster are reached on this host",
    hidden: false,
    arguments: |command| Arguments::augment_args(command),
    run: |matches, context| {
        let arguments = Arguments::from_arg_matches(matches)?;
        context.runtime.block_on(run(&arguments, context))
    },
};

/// How long a port may take to appear on the host after its Service is there: it is a matter of milliseconds.
const APPEAR_WAIT: Duration = Duration::from_secs(10);

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    /// The Service
    #[arg(value_name = "SERVICE")]
    service: Option<String>,
    /// Its namespace
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// Print addresses only, one a line
    #[arg(long)]
    url: bool,
    /// Wait until the Service is there and one of its pods is ready
    #[arg(long)]
    wait: bool,
    /// How long to wait, such as 90s or 5m
    #[arg(long, env = "SKERRY_TIMEOUT", value_name = "TIME", default_value = "2m", value_parser = super::duration)]
    timeout: Duration,
    #[command(flatten)]
    named: Named,
}

#[derive(Subcommand)]
enum Action {
    /// Every Service that is reached on this host, or should be
    List(Named),
}

/// One port of a Service on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Line {
    namespace: String,
    name: String,
    #[serde(rename = "type")]
    kind: String,
    port: u16,
    port_name: String,
    protocol: String,
    target_port: String,
    url: Option<String>,
    note: Option<String>,
}

async fn run(arguments: &Arguments, context: &Context) -> Result<()> {
    let named = match &arguments.action {
        Some(Action::List(named)) => named,
        None => &arguments.named,
    };
    let cluster = Cluster::existing(&named.name)?;
    life::running(&cluster).await?;
    match (&arguments.action, &arguments.service) {
        (Some(_), _) => list::run(&cluster, context).await,
        (None, Some(name)) => one(arguments, name, &cluster, context).await,
        (None, None) => bail!(Failure::new(Code::Usage, "name a Service").advice("skerry service list shows them")),
    }
}

/// A call that blocks, beside the runtime.
async fn get(context: &Context, cluster: &Cluster, path: String) -> Result<Value> {
    let api = Api::of(cluster)?;
    context.runtime.spawn_blocking(move || access::json_of(api.get(&path)?)).await?
}

async fn one(arguments: &Arguments, name: &str, cluster: &Cluster, context: &Context) -> Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    if !name.chars().chain(arguments.namespace.chars()).all(plain) {
        bail!(Failure::new(Code::Usage, format!("{name:?} in {:?} is no name of a Service", arguments.namespace)));
    }
    let deadline = Instant::now() + arguments.timeout;
    if arguments.wait {
        ready::wait(cluster, &arguments.namespace, name, deadline, context).await?;
    }
    let path = format!("/api/v1/namespaces/{}/services/{name}", arguments.namespace);
    let service = get(context, cluster, path).await.map_err(|error| absent(error, &arguments.namespace, name))?;
    let kind = service["spec"]["type"].as_str().unwrap_or("ClusterIP");
    if !matches!(kind, "NodePort" | "LoadBalancer") {
        let failure = format!(
            "Service {}/{name} is of type {kind}, which is reached inside the cluster only",
            arguments.namespace
        );
        let patch = "-p '{\"spec\":{\"type\":\"NodePort\"}}'";
        bail!(Failure::new(Code::Refused, failure).advice(format!(
            "kubectl -n {0} patch service {name} {patch}, or kubectl -n {0} port-forward service/{name} 8080:PORT",
            arguments.namespace
        )));
    }
    let lines = appear(cluster, &service, deadline.min(Instant::now() + APPEAR_WAIT), context).await?;
    let reached: Vec<&Line> = lines.iter().filter(|line| line.url.is_some()).collect();
    if reached.is_empty() {
        let why = lines.iter().find_map(|line| line.note.clone()).unwrap_or_else(|| "it has no port yet".to_owned());
        let failure = Failure::new(
            Code::Taken,
            format!("Service {}/{name} has no port on this host: {why}", arguments.namespace),
        );
        bail!(failure.advice("skerry service list shows which ports are in use"));
    }
    let text = if arguments.url {
        reached.iter().filter_map(|line| line.url.as_deref()).collect::<Vec<_>>().join("\n")
    } else {
        list::text(&lines)
    };
    Ok(context.output.data(&text, &lines)?)
}

fn absent(error: anyhow::Error, namespace: &str, name: &str) -> anyhow::Error {
    match error.downcast_ref::<Answered>().map(|answered| answered.code) {
        Some(404) => anyhow!(
            Failure::new(Code::Refused, format!("there is no Service {namespace}/{name}"))
                .advice("skerry service list shows them; -n names another namespace, --wait waits for it")
        ),
        _ => error,
    }
}

/// The ports of a Service, once the supervisor has seen all of them.
async fn appear(cluster: &Cluster, service: &Value, deadline: Instant, context: &Context) -> Result<Vec<Line>> {
    let mut supervisor: Supervisor = life::running(cluster).await?;
    supervisor.send(&json!({"do": "watch"})).await?;
    loop {
        let next = tokio::select! {
            next = timeout_at(deadline, supervisor.next::<Report>()) => next,
            () = context.interrupt.wait() => { context.interrupt.check()?; continue }
        };
        // One that ends in time has reported at least once.
        let Ok(report) = next else {
            bail!(Failure::new(Code::TimedOut, "timed out waiting for: a port on this host"))
        };
        let report = report?.context("the machine has ended")?;
        let lines = lines(service, &report);
        if !lines.is_empty() && lines.iter().all(|line| line.url.is_some() || line.note.is_some()) {
            return Ok(lines);
        }
    }
}

/// The ports of a Service as the host has them; one that is still to appear has neither address nor note.
fn lines(service: &Value, report: &Report) -> Vec<Line> {
    let text = |field: &str| service["metadata"][field].as_str().unwrap_or_default().to_owned();
    let owner = format!("{}/{}", text("namespace"), text("name"));
    let mut lines = Vec::new();
    for entry in service["spec"]["ports"].as_array().into_iter().flatten() {
        let port = entry["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
        let protocol = entry["protocol"].as_str().unwrap_or("TCP");
        let mine = |forward: &&Forward| {
            forward.service == owner && forward.port == port && forward.protocol.word().eq_ignore_ascii_case(protocol)
        };
        let mut found: Vec<&Forward> = report.forwards.iter().filter(mine).collect();
        // The Service's own number first, where a balancer has it.
        found.sort_by_key(|forward| (forward.preferred != port, forward.host));
        let line = Line {
            namespace: text("namespace"),
            name: text("name"),
            kind: service["spec"]["type"].as_str().unwrap_or_default().to_owned(),
            port,
            port_name: entry["name"].as_str().unwrap_or_default().to_owned(),
            protocol: protocol.to_owned(),
            target_port: match &entry["targetPort"] {
                Value::String(name) => name.clone(),
                Value::Null => port.to_string(),
                number => number.to_string(),
            },
            url: None,
            note: None,
        };
        for forward in &found {
            let url = Some(url::of(entry, forward.host));
            lines.push(Line { url, note: forward.instead(), ..line.clone() });
        }
        let without = |one: &&crate::supervisor::forwards::Unreachable| {
            one.service == owner && one.port == port && one.protocol.eq_ignore_ascii_case(protocol)
        };
        match report.unreachable.iter().find(without) {
            Some(one) => lines.push(Line { note: Some(one.why.clone()), ..line }),
            None if found.is_empty() => lines.push(line),
            None => {}
        }
    }
    lines
}

#[cfg(test)]
mod tests;
